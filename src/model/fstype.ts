/** Where the root lives by the names of the Bare Metal Container manual (seed 002, `bmc run --fstype`), and what goes with it. */
import { AppError } from '../base/errors.ts'

const ROOTFS_OF_FSTYPE: Readonly<Record<string, string>> = { nfs: 'nfs', ramfs: 'ram', isofs: 'image' }

/**
 * What `--rootfs` says for a `--fstype` of the manual.
 * @throws {AppError} unsupported for s-ramfs, invalid for what the manual does not have
 */
export function rootfsOfFstype(fstype: string): string {
  if (fstype === 's-ramfs')
    throw new AppError(
      'unsupported',
      'Cannot use --fstype "s-ramfs": machines do not prove with their TPM what they have booted yet; --rootfs lazy or image checks every byte of the root, --fstype ramfs is the same without proof',
    )
  const rootfs = Object.hasOwn(ROOTFS_OF_FSTYPE, fstype) ? ROOTFS_OF_FSTYPE[fstype] : undefined
  if (rootfs === undefined)
    throw new AppError('invalid', `Cannot use --fstype "${fstype}": it is not nfs, ramfs, s-ramfs or isofs`)
  return rootfs
}

/** @throws {AppError} invalid when `resetAtime` is set beside what it cannot go with */
export function refuseResetAtime(options: {
  readonly resetAtime: boolean
  readonly rootfs?: string | undefined
  readonly remove: boolean
}): void {
  if (!options.resetAtime) return
  if (options.rootfs !== 'nfs')
    throw new AppError(
      'invalid',
      `Cannot run with --reset-atime${options.rootfs === undefined ? '' : ` and --rootfs ${options.rootfs}`}: --reset-atime=true requires --fstype=nfs`,
    )
  if (options.remove)
    throw new AppError(
      'invalid',
      'Cannot run with --reset-atime and --rm: the list of files that were read goes with the container',
    )
}
