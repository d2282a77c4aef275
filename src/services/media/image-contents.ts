/** An image as all of a boot: kernel and initrd of the kit, what runs, and the root, which is read when it is touched. */
import { AppError } from '../../base/errors.ts'
import type { Extent } from '../../formats/extents.ts'
import { assignments, quoteWords } from '../../formats/shell/quote.ts'
import type { Workload } from '../containers/workload.ts'
import type { Kit } from '../kits/kits.ts'
import { biosFiles, kitFile, REMOVABLE_PATHS, textContent, type Contents, type ReadWhole } from './contents.ts'

/** A device of an image, to be read from the medium. */
export interface MediumRoot {
  /** 64 hexadecimal digits. */
  readonly rootHash: string
  readonly sizeBytes: number
  readonly dataBlocks: number
  readonly hashStartBlock: number
  readonly content: readonly Extent[]
}

export interface ImageOnMedium {
  readonly kit: Kit
  readonly workload: Workload
  readonly root: MediumRoot
  /** Lower-case hexadecimal. */
  readonly imageId: string
  /** As the person named it. */
  readonly name: string
  readonly label: string
  readonly kernelParams: readonly string[]
  readonly madeAtSeconds: number
}

const PLAIN = /^[A-Za-z0-9_-]+$/
const EFI_LOADERS = { amd64: 'systemd-bootx64.efi', arm64: 'systemd-bootaa64.efi' } as const

/**
 * systemd-boot for UEFI, ISOLINUX for BIOS: each gives the kernel its arguments. No secret is on it.
 * @throws {AppError} not_found when the kit is of an older recipe; invalid for a label that no argument can have
 */
export async function imageContents(image: ImageOnMedium, read: ReadWhole): Promise<Contents> {
  const { kit, root, label, madeAtSeconds } = image
  if (!PLAIN.test(label))
    throw new AppError(
      'invalid',
      `Cannot use "${label}" as the label of a medium that boots an image: it stands among the kernel's arguments, so it is letters, digits, _ and - alone`,
    )
  const params = [`bareboat.media=${label}`, `bareboat.roothash=${root.rootHash}`, ...image.kernelParams]
  const pair = { kernel: kitFile(kit, 'kernel'), initrd: kitFile(kit, 'initrd') }
  return {
    ...(await pairContents(kit, pair, params, read)),
    files: [{ path: 'bareboat/spec', content: textContent(orders(image)) }],
    root: root.content,
    madeAtSeconds,
  }
}

/**
 * A kernel and an initrd, which are started with these arguments.
 * @param kit has the programs that start them
 * @throws {AppError} not_found when the kit is of an older recipe
 */
export async function pairContents(
  kit: Kit,
  { kernel, initrd }: { readonly kernel: readonly Extent[]; readonly initrd: readonly Extent[] },
  kernelParams: readonly string[],
  read: ReadWhole,
): Promise<Contents> {
  const architecture = kit.manifest.architecture === 'arm64' ? 'arm64' : 'amd64'
  const params = kernelParams.join(' ')
  const entry = ['title Bareboat', 'linux /bareboat/kernel', 'initrd /bareboat/initrd', `options ${params}`, '']
  const menu = ['LINUX /bareboat/kernel', 'INITRD /bareboat/initrd', `APPEND ${params}`]
  return {
    efi: [
      { path: REMOVABLE_PATHS[architecture], content: kitFile(kit, `media/${EFI_LOADERS[architecture]}`) },
      { path: 'loader/loader.conf', content: textContent('timeout 0\neditor no\n') },
      { path: 'loader/entries/bareboat.conf', content: textContent(entry.join('\n')) },
      { path: 'bareboat/kernel', content: kernel },
      { path: 'bareboat/initrd', content: initrd },
    ],
    files: [],
    ...(architecture === 'amd64' ? { bios: await biosFiles(kit, menu, [], read) } : {}),
    folders: [],
    madeAtSeconds: 0,
  }
}

/** What guest/init reads: as renderSpec, without what a server is for. */
function orders({ workload, root, imageId, name }: ImageOnMedium): string {
  const hostname = imageId.slice(0, 12)
  const hasHostname = workload.env.some((pair) => pair.startsWith('HOSTNAME='))
  return assignments({
    BB_ID: imageId,
    BB_NAME: name,
    BB_MODE: workload.mode,
    BB_ROOTFS: 'media',
    BB_DATA_BLOCKS: String(root.dataBlocks),
    BB_HASH_START: String(root.hashStartBlock),
    BB_DEVICE_BYTES: String(root.sizeBytes),
    BB_HOSTNAME: hostname,
    BB_INIT: workload.argv[0]!,
    BB_TTY: '0',
    BB_STDIN: '0',
    BB_WORKDIR: workload.workdir,
    BB_UID: String(workload.uid),
    BB_GID: String(workload.gid),
    BB_GROUPS: workload.groups.join(','),
    BB_ARGV: quoteWords(workload.argv),
    BB_ENV: quoteWords(hasHostname ? workload.env : [...workload.env, `HOSTNAME=${hostname}`]),
  })
}
