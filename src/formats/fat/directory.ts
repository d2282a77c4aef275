/** Directories of a FAT file system (Microsoft FAT specification 1.03, "FAT Directory Structure"). */
import { Writer } from '../../base/bytes.ts'
import type { Folder } from '../folders.ts'
import { ATTRIBUTES, entriesOf, ENTRY_BYTES, fatNames, longEntries, paddedLabel, type FatName } from './names.ts'

/** Where something begins, how large it is and when it was changed. A directory's size is written as 0. */
export interface Placed {
  /** 0 where it is empty. */
  readonly first: number
  readonly sizeBytes: number
  /** Since 1970. */
  readonly seconds: number
}

export interface DirectoryContext {
  readonly root: Folder
  /** Cluster of the directory, and of the one that it is in, where that is not the root. */
  readonly own: number
  readonly parentFirst: number
  /** By the folder or file of the list. */
  readonly placed: ReadonlyMap<object, Placed>
  readonly label: string
  readonly madeAtSeconds: number
}

/**
 * The names of what is in a directory, folders first, and the bytes that it takes.
 * @throws {AppError} unsupported, as fatNames
 */
export function directoryEntries(folder: Folder, root: Folder): { readonly names: FatName[]; readonly bytes: number } {
  const names = namesOf(folder)
  // The label in the root; `.` and `..` elsewhere.
  const own = folder === root ? 1 : 2
  return { names, bytes: names.reduce((sum, name) => sum + entriesOf(name), own) * ENTRY_BYTES }
}

export function directoryBytes(folder: Folder, context: DirectoryContext): Uint8Array {
  const { root, own, parentFirst, placed, label, madeAtSeconds } = context
  const { names, bytes } = directoryEntries(folder, root)
  const out = new Writer(bytes)
  const at = { sizeBytes: 0, seconds: madeAtSeconds }
  if (folder === root) entry(out, paddedLabel(label), ATTRIBUTES.volume, { ...at, first: 0 })
  else {
    entry(out, '.'.padEnd(11), ATTRIBUTES.directory, { ...at, first: own })
    entry(out, '..'.padEnd(11), ATTRIBUTES.directory, { ...at, first: parentFirst })
  }
  for (const [index, child] of [...folder.folders, ...folder.files].entries()) {
    const name = names[index]!
    out.bytes(longEntries(name))
    const attributes = index < folder.folders.length ? ATTRIBUTES.directory : ATTRIBUTES.archive
    entry(out, name.short, attributes, placed.get(child)!)
  }
  return out.done()
}

const known = new WeakMap<Folder, FatName[]>()

function namesOf(folder: Folder): FatName[] {
  let names = known.get(folder)
  if (names === undefined) known.set(folder, (names = fatNames([...folder.folders, ...folder.files])))
  return names
}

function entry(out: Writer, short: string, attributes: number, { first, sizeBytes, seconds }: Placed): void {
  const { date, time } = dosTime(seconds)
  out.utf8(short).u8(attributes).u8(0).u8(0).u16le(time).u16le(date).u16le(date)
  out
    .u16le(first >>> 16)
    .u16le(time)
    .u16le(date)
    .u16le(first & 0xffff)
    .u32le(sizeBytes)
}

/** In two seconds, UTC, within what the format can say. */
function dosTime(seconds: number): { readonly date: number; readonly time: number } {
  const within = Math.min(Math.max(seconds, Date.UTC(1980, 0, 1) / 1000), Date.UTC(2107, 11, 31, 23, 59, 58) / 1000)
  const at = new Date(within * 1000)
  return {
    date: ((at.getUTCFullYear() - 1980) << 9) | ((at.getUTCMonth() + 1) << 5) | at.getUTCDate(),
    time: (at.getUTCHours() << 11) | (at.getUTCMinutes() << 5) | (at.getUTCSeconds() >> 1),
  }
}
