/** Directories and path tables of an ISO 9660 file system (ECMA-119 §6.8, §6.9, §9.4). */
import { Writer } from '../../base/bytes.ts'
import type { Folder, FolderFile } from '../folders.ts'
import { isoIdentifiers } from './names.ts'
import { directoryRecord, FLAGS, PARENT, rockRidge, rootFields, SECTOR_BYTES, SELF } from './records.ts'

export interface Place {
  readonly lba: number
  readonly sizeBytes: number
}

export interface FolderNames {
  /** What is in the folder, in the order of the identifiers. */
  readonly rows: readonly Row[]
  /** Of the directory, whole sectors. */
  readonly bytes: number
}

interface Row {
  readonly identifier: string
  readonly entry: Folder | FolderFile
  readonly isFolder: boolean
}

export interface DirectoryContext {
  readonly places: ReadonlyMap<Folder | FolderFile, Place>
  readonly madeAtSeconds: number
  /** Where ER lies; for the root alone. */
  readonly extension?: number
}

/** A part of a file is whole sectors and below 4 GiB; one that is larger has several records (§6.5.1). */
const PART_BYTES = 2 ** 32 - SECTOR_BYTES

export function folderNames(folder: Folder): FolderNames {
  const all = [
    ...folder.folders.map((entry) => ({ entry, name: entry.name, isFolder: true })),
    ...folder.files.map((entry) => ({ entry, name: entry.name, isFolder: false })),
  ]
  const identifiers = isoIdentifiers(all)
  const rows = all
    .map(({ entry, isFolder }, index) => ({ entry, isFolder, identifier: identifiers[index]! }))
    .sort((a, b) => (a.identifier < b.identifier ? -1 : 1))
  const names = { rows, bytes: 0 }
  const sizes = recordsOf(folder, folder, names, undefined).map(({ length }) => length)
  return { rows, bytes: packed(sizes) }
}

/** @param parent the root is its own */
export function directoryBytes(
  folder: Folder,
  parent: Folder,
  names: FolderNames,
  context: DirectoryContext,
): Uint8Array {
  const out = new Writer(names.bytes)
  for (const record of recordsOf(folder, parent, names, context)) {
    if ((out.length % SECTOR_BYTES) + record.length > SECTOR_BYTES) out.align(SECTOR_BYTES)
    out.bytes(record)
  }
  return out.zeros(names.bytes - out.length).done()
}

/** §9.4. @param isLittle the byte order  @param folders level by level */
export function pathTable(
  folders: readonly Folder[],
  names: ReadonlyMap<Folder, FolderNames>,
  lbaOf: (folder: Folder) => number,
  isLittle: boolean,
): Uint8Array {
  const rows: { readonly folder: Folder; readonly identifier: string; readonly parent: number }[] = []
  const queue = [{ folder: folders[0]!, identifier: SELF, parent: 1 }]
  for (const row of queue) {
    rows.push(row)
    for (const { entry, isFolder, identifier } of names.get(row.folder)!.rows)
      if (isFolder) queue.push({ folder: entry as Folder, identifier, parent: rows.length })
  }
  const out = new Writer()
  for (const { folder, identifier, parent } of rows) {
    out.u8(identifier.length).u8(0)
    // A parent that 16 bits cannot count is of no use to anybody; those who read names read directories.
    const number = Math.min(parent, 0xffff)
    if (isLittle) out.u32le(lbaOf(folder)).u16le(number)
    else out.u32(lbaOf(folder)).u16(number)
    out.bytes(Buffer.from(identifier, 'latin1')).zeros(identifier.length % 2)
  }
  return out.done()
}

/** The records of a directory. Without a context they have their lengths only. */
function recordsOf(
  folder: Folder,
  parent: Folder,
  { rows }: FolderNames,
  context: DirectoryContext | undefined,
): Uint8Array[] {
  const made = context?.madeAtSeconds ?? 0
  const place = (of: Folder | FolderFile): Place => context?.places.get(of) ?? { lba: 0, sizeBytes: 0 }
  const links = (of: Folder): number => 2 + of.folders.length
  // While lengths are counted every directory is taken for the root, whose record is the longest: what is too much stays zeros.
  const isRoot = folder === parent
  const self = rockRidge(undefined, true, links(folder), made)
  const fields = isRoot ? Buffer.concat([rootFields(context?.extension ?? 0), self]) : self
  const records = [
    directoryRecord({ ...place(folder), identifier: SELF, flags: FLAGS.directory, seconds: made, extra: fields }),
    directoryRecord({
      ...place(parent),
      identifier: PARENT,
      flags: FLAGS.directory,
      seconds: made,
      extra: rockRidge(undefined, true, links(parent), made),
    }),
  ]
  for (const { entry, identifier, isFolder } of rows) {
    if (isFolder) {
      const extra = rockRidge(entry.name, true, links(entry as Folder), made)
      records.push(directoryRecord({ ...place(entry), identifier, flags: FLAGS.directory, seconds: made, extra }))
      continue
    }
    const { sizeBytes, mtimeSeconds: seconds = made } = entry as FolderFile
    const { lba } = place(entry)
    const extra = rockRidge(entry.name, false, 1, seconds)
    for (let at = 0; at === 0 || at < sizeBytes; at += PART_BYTES)
      records.push(
        directoryRecord({
          identifier,
          lba: sizeBytes === 0 ? 0 : lba + at / SECTOR_BYTES,
          sizeBytes: Math.min(PART_BYTES, sizeBytes - at),
          flags: at + PART_BYTES < sizeBytes ? FLAGS.goesOn : 0,
          seconds,
          extra,
        }),
      )
  }
  return records
}

/** How many bytes records of these lengths take when none crosses a sector. */
function packed(lengths: readonly number[]): number {
  let at = 0
  for (const length of lengths) {
    if ((at % SECTOR_BYTES) + length > SECTOR_BYTES) at = Math.ceil(at / SECTOR_BYTES) * SECTOR_BYTES
    at += length
  }
  return Math.ceil(at / SECTOR_BYTES) * SECTOR_BYTES
}
