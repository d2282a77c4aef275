/** The options of `run`, and what is asked of the server for them. */
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { AppError, systemCode } from '../../base/errors.ts'
import type { RunRequest } from '../../client/containers.ts'
import { rootfsOfFstype } from '../../model/fstype.ts'
import type { Arch } from '../../model/machine.ts'
import { IMAGE_FORMATS, ROOTFS_KINDS } from '../../model/rootfs.ts'
import type { Io } from '../io.ts'
import { parseDuration } from '../when.ts'
import { fromCaller, parseEnvironmentFile } from './environment.ts'

export interface RunFlags {
  detach?: boolean
  interactive?: boolean
  tty?: boolean
  name?: string
  machine?: string
  group?: string
  rank: string[]
  env: string[]
  envFile: string[]
  workdir?: string
  user?: string
  entrypoint?: string
  hostname?: string
  kernel?: string
  initrd?: string
  kernelParam: string[]
  rootfs?: string
  imageFormat?: string
  fill?: boolean
  fstype?: string
  resetAtime?: boolean
  cidfile?: string
  via?: string
  early?: string
  timeout?: string
  rm?: boolean
  restart?: string
  label: string[]
  pull?: string
  stopTimeout?: string
  platform?: string
  detachKeys: string
  quiet?: boolean
  json?: boolean
}

/**
 * What `run` asks for. Only what was given is said; the rest is the server's to decide.
 * @throws {AppError} invalid
 */
export function toRequest(image: string, command: readonly string[], flags: RunFlags, io: Io): RunRequest {
  if (flags.rm === true && flags.restart !== undefined && flags.restart !== 'no')
    throw new AppError('invalid', 'Cannot use both --restart and --rm: conflicting options')
  if (flags.interactive === true && flags.tty === true && flags.detach !== true && io.stdin.isTTY !== true)
    throw new AppError('invalid', 'Cannot use a terminal (-t): the input device is not a TTY')
  return defined({
    image,
    command: [...command],
    name: flags.name,
    machine: flags.machine,
    group: flags.group,
    rank: flags.rank,
    env: [...readEnvironmentFiles(flags.envFile, io), ...fromCaller(flags.env, io.env)],
    workdir: flags.workdir,
    user: flags.user,
    entrypoint: flags.entrypoint === undefined ? undefined : flags.entrypoint === '' ? [] : [flags.entrypoint],
    hostname: flags.hostname,
    kernel: flags.kernel,
    initrd: flags.initrd,
    kernelParams: flags.kernelParam,
    rootfs: oneOf('--rootfs', rootfsOf(flags), ROOTFS_KINDS),
    imageFormat: oneOf('--image-format', flags.imageFormat, IMAGE_FORMATS),
    fill: flags.fill,
    via: oneOf('--via', flags.via, ['network', 'media'] as const),
    early: oneOf('--early', flags.early, ['auto', 'true', 'false'] as const),
    timeoutSeconds: seconds('--timeout', flags.timeout),
    remove: flags.rm,
    restart: flags.restart,
    labels: parseLabels(flags.label),
    pull: oneOf('--pull', flags.pull, ['missing', 'always', 'never'] as const),
    stopTimeoutSeconds: seconds('--stop-timeout', flags.stopTimeout),
    platform: parsePlatform(flags.platform),
    tty: flags.tty,
    stdin: flags.interactive,
    resetAtime: flags.resetAtime,
  })
}

/** @throws {AppError} invalid, unsupported */
function rootfsOf({ rootfs, fstype }: RunFlags): string | undefined {
  if (fstype === undefined) return rootfs
  const named = rootfsOfFstype(fstype)
  if (rootfs !== undefined && rootfs !== named)
    throw new AppError('invalid', `Cannot use both --fstype ${fstype} and --rootfs ${rootfs}: conflicting options`)
  return named
}

/** The variables of environment files, in order. @throws {AppError} invalid, naming the file */
export function readEnvironmentFiles(files: readonly string[], io: Io): string[] {
  return files.flatMap((file) => readEnvironmentFile(file, io))
}

/** `KEY=VALUE` each; a key alone has an empty value. */
export function parseLabels(entries: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    entries.map((entry) => {
      const equals = entry.indexOf('=')
      if (entry === '' || equals === 0) throw new AppError('invalid', `Cannot set label "${entry}": it has no name`)
      return equals === -1 ? [entry, ''] : [entry.slice(0, equals), entry.slice(equals + 1)]
    }),
  )
}

/**
 * Seconds, as a number or a duration such as `3m`.
 * @throws {AppError} invalid
 */
export function seconds(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const value = /^\d+$/.test(text) ? Number(text) : (parseDuration(text) ?? Number.NaN) / 1000
  if (!Number.isSafeInteger(value) || value < 0)
    throw new AppError(
      'invalid',
      `Cannot use ${option} "${text}": it is neither whole seconds nor a duration such as 3m`,
    )
  return value
}

/** @throws {AppError} invalid, when `text` is none of `values` */
export function oneOf<T extends string>(option: string, text: string | undefined, values: readonly T[]): T | undefined {
  if (text === undefined) return undefined
  const value = values.find((one) => one === text)
  if (value === undefined)
    throw new AppError('invalid', `Cannot use ${option} "${text}": it is not ${values.join(', ')}`)
  return value
}

/** The entries of an object whose value is there. */
export function defined<T extends object>(object: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>
  }
}

function parsePlatform(text: string | undefined): Arch | undefined {
  return oneOf('--platform', text?.replace(/^linux\//, '').replace(/^arm64\/v8$/, 'arm64'), ['amd64', 'arm64'] as const)
}

function readEnvironmentFile(file: string, io: Io): string[] {
  try {
    return parseEnvironmentFile(readFileSync(resolve(io.cwd, file)), file, io.env)
  } catch (cause) {
    if (cause instanceof AppError) throw cause
    throw new AppError('invalid', `Cannot read environment file "${file}": ${systemCode(cause) ?? 'unreadable'}`, {
      cause,
    })
  }
}
