/** What is on a medium, before it has a form. */
import { AppError } from '../../base/errors.ts'
import type { Extent } from '../../formats/extents.ts'
import type { NamedFile } from '../../formats/folders.ts'
import type { IsoFile } from '../../formats/iso9660/reader.ts'
import { renderScript } from '../../formats/ipxe/script.ts'
import { displayPath, textOf } from '../../formats/tar/byte-string.ts'
import { fileExtents, type Tree, type TreeEntry } from '../../formats/tree/tree.ts'
import type { Kit } from '../kits/kits.ts'

export interface Contents {
  /** What UEFI reads before anything of ours runs: an ISO image has it once more, in a file system of its own. */
  readonly efi: readonly NamedFile[]
  readonly files: readonly NamedFile[]
  /** The root of an image: a partition of a GPT disk, else a file. */
  readonly root?: readonly Extent[]
  /** What a BIOS starts; ISO images alone have it. */
  readonly bios?: BiosFiles
  /** Folders that are there though no file is in them. */
  readonly folders: readonly string[]
  /** The time of all that has none of its own, seconds since 1970. */
  readonly madeAtSeconds: number
}

export interface BiosFiles {
  readonly files: readonly NamedFile[]
  /** ISOLINUX, and its code for a flash drive. */
  readonly image: Uint8Array
  readonly hybridCode: Uint8Array
}

/** The bytes of a small file. */
export type ReadWhole = (content: readonly Extent[]) => Promise<Uint8Array>

/** Where UEFI looks on a medium that it knows nothing of (specification 2.10, §3.5.1.1). */
export const REMOVABLE_PATHS = { amd64: 'EFI/BOOT/BOOTX64.EFI', arm64: 'EFI/BOOT/BOOTAA64.EFI' } as const
const RETRY_SECONDS = 3

/**
 * iPXE, and a script beside it that has the machine ask the server what it is to be: everything else comes over HTTP.
 * @param httpUrl where machines reach the HTTP server
 * @param scriptUrl of the script that is asked for, to which the machine adds its MAC; default: whatever the machine is to be
 */
export async function loaderContents(
  kit: Kit,
  httpUrl: string,
  read: ReadWhole,
  scriptUrl = `${httpUrl}/boot/waiting.ipxe`,
): Promise<Contents> {
  const architecture = kit.manifest.architecture === 'arm64' ? 'arm64' : 'amd64'
  const script = textContent(loaderScript(httpUrl, scriptUrl))
  const menu = ['LINUX /bareboat/ipxe.krn', 'INITRD /bareboat/autoexec.ipxe']
  const own = [
    { path: 'bareboat/ipxe.krn', content: kitFile(kit, 'ipxe/ipxe.lkrn') },
    { path: 'bareboat/autoexec.ipxe', content: script },
  ]
  return {
    efi: [
      { path: REMOVABLE_PATHS[architecture], content: kitFile(kit, `ipxe/ipxe-${architecture}.efi`) },
      // iPXE looks for it where it was started from.
      { path: 'EFI/BOOT/autoexec.ipxe', content: script },
    ],
    files: [],
    ...(architecture === 'amd64' ? { bios: await biosFiles(kit, menu, own, read) } : {}),
    folders: [],
    madeAtSeconds: 0,
  }
}

/** ISOLINUX with one entry, which it starts at once. */
export async function biosFiles(
  kit: Kit,
  menu: readonly string[],
  files: readonly NamedFile[],
  read: ReadWhole,
): Promise<BiosFiles> {
  const config = ['DEFAULT bareboat', 'PROMPT 0', 'LABEL bareboat', ...menu.map((line) => `  ${line}`), '']
  return {
    image: await read(kitFile(kit, 'media/isolinux.bin')),
    hybridCode: await read(kitFile(kit, 'media/isohdpfx.bin')),
    files: [
      ...files,
      { path: 'isolinux/isolinux.cfg', content: textContent(config.join('\n')) },
      { path: 'isolinux/ldlinux.c32', content: kitFile(kit, 'media/ldlinux.c32') },
    ],
  }
}

/** Asks until it is answered, whatever is missing: an address, the server, a cable. */
function loaderScript(httpUrl: string, scriptUrl: string): string {
  return renderScript([
    { do: 'echo', text: `Bareboat: this medium asks ${httpUrl} what this machine is to be` },
    { do: 'label', label: 'again' },
    { do: 'dhcp', orElse: 'failed' },
    { do: 'chain-own', url: scriptUrl, orElse: 'failed' },
    { do: 'label', label: 'failed' },
    { do: 'echo', text: `Bareboat: no answer from ${httpUrl}, trying again in ${RETRY_SECONDS} s` },
    { do: 'sleep', seconds: RETRY_SECONDS },
    { do: 'goto', label: 'again' },
  ])
}

/**
 * The files of a directory as a person gave them. A symbolic link becomes the file that it leads to, for a medium has none.
 * @throws {AppError} unsupported, naming what no medium can hold; invalid where there is nothing
 */
export function directoryContents(tree: Tree): Contents {
  const files: NamedFile[] = []
  const folders: string[] = []
  let madeAtSeconds = 0
  for (const entry of tree.entries()) {
    if (entry.path === '') continue
    const path = textOf(entry.path)
    if (path === undefined) throw unsupported(entry, 'its name is not UTF-8')
    if (entry.kind === 'directory') folders.push(path)
    else {
      const file = followed(tree, entry)
      files.push({ path, content: fileExtents(file), mtimeSeconds: file.mtimeSeconds })
      madeAtSeconds = Math.max(madeAtSeconds, file.mtimeSeconds)
    }
  }
  return contentsOf(files, folders, madeAtSeconds)
}

/**
 * The files of an ISO image, to be put into another form.
 * @param blob where the bytes of the image are
 * @throws {AppError} as directoryContents; symbolic links are not followed
 */
export function isoContents(entries: readonly IsoFile[], blob: string): Contents {
  const files: NamedFile[] = []
  let madeAtSeconds = 0
  for (const { path, kind, parts, mtimeSeconds } of entries) {
    if (kind === 'symlink' || kind === 'other')
      throw new AppError(
        'unsupported',
        `Cannot put "${path}" on the medium: it is ${kind === 'symlink' ? 'a symbolic link' : 'no file'}`,
      )
    if (kind === 'directory') continue
    const content = parts.filter(({ length }) => length > 0).map((part) => ({ kind: 'blob' as const, blob, ...part }))
    files.push({ path, content, mtimeSeconds })
    madeAtSeconds = Math.max(madeAtSeconds, mtimeSeconds)
  }
  const folders = entries.filter(({ kind }) => kind === 'directory').map(({ path }) => path)
  return contentsOf(files, folders, madeAtSeconds)
}

function contentsOf(files: readonly NamedFile[], folders: readonly string[], madeAtSeconds: number): Contents {
  if (files.length === 0) throw new AppError('invalid', 'Cannot build a medium: there are no files to put on it')
  const isStarted = files.some(({ path }) => /^EFI\/BOOT\/BOOT\w+\.EFI$/i.test(path))
  const isOfEfi = ({ path }: NamedFile): boolean => isStarted && /^EFI\//i.test(path)
  return { efi: files.filter(isOfEfi), files: files.filter((file) => !isOfEfi(file)), folders, madeAtSeconds }
}

function followed(tree: Tree, entry: TreeEntry): TreeEntry {
  if (entry.kind === 'file') return entry
  if (entry.kind !== 'symlink') throw unsupported(entry, 'it is neither a file nor a directory')
  const target = tree.resolve(entry.path)
  if (target?.kind === 'file') return target
  throw unsupported(
    entry,
    `it is a symbolic link to ${target === undefined ? 'nothing on the medium' : 'what is no file'}`,
  )
}

/** A file of the kit, read where it lies. @throws {AppError} not_found when the kit has none of it */
export function kitFile(kit: Kit, name: string): Extent[] {
  const path = pathOf(kit, name)
  const known = kit.manifest.files[name]
  if (path === undefined || known === undefined)
    throw new AppError(
      'not_found',
      `Cannot build a medium: kit ${kit.digest.slice(7, 19)} has no ${name}; build a newer one with: bareboat kit build`,
    )
  return [{ kind: 'blob', blob: path, offset: 0, length: known.sizeBytes }]
}

function pathOf(kit: Kit, name: string): string | undefined {
  if (name === 'kernel') return kit.kernelPath
  if (name === 'initrd') return kit.initrdPath
  const [folder, base = ''] = name.split('/')
  return (folder === 'ipxe' ? kit.ipxe : kit.media).get(base)
}

export function textContent(value: string): Extent[] {
  return [{ kind: 'bytes', bytes: new TextEncoder().encode(value) }]
}

function unsupported({ path }: TreeEntry, why: string): AppError {
  return new AppError('unsupported', `Cannot put "${displayPath(path)}" on the medium: ${why}`)
}
