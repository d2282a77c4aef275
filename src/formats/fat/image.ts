/**
 * Files as a FAT file system: FAT32, and where that is too large for them FAT16 or FAT12. Every file lies in one run of clusters, so
 * that its data stay extents of where they are; only tables and directories are made (Microsoft FAT specification 1.03).
 */
import { Writer } from '../../base/bytes.ts'
import { AppError } from '../../base/errors.ts'
import type { Extent } from '../extents.ts'
import { allFolders, foldersOf, type Folder, type NamedFile } from '../folders.ts'
import { bootSectors } from './boot-sector.ts'
import { directoryBytes, directoryEntries, type Placed } from './directory.ts'
import { geometryOf, MAX_SECTORS, SECTOR_BYTES, type Geometry } from './geometry.ts'
import { paddedLabel } from './names.ts'

export interface FatOptions {
  readonly label: string
  /** The volume's serial number, 32 bits. */
  readonly serial: number
  /** The time of all that has none of its own, seconds since 1970; the format knows 1980 to 2107. */
  readonly madeAtSeconds: number
  /** Of the whole image; without it the smallest that holds the files, in whole MiB. */
  readonly sizeBytes?: number
  /** Sectors that lie before it on its disk. */
  readonly hiddenSectors?: number
  /** Folders that are there though no file is in them. */
  readonly folders?: readonly string[]
}

const MAX_FILE_BYTES = 0xffff_ffff
/** Of a directory: 65,536 entries. */
const MAX_DIRECTORY_BYTES = 2 << 20
const MEBIBYTE = 1 << 20

/**
 * The image as extents; the same files and options give the same bytes.
 * @throws {AppError} invalid where it does not fit into the size or a path or the label is none; unsupported, naming the file, where
 * it is over 4 GiB - 1 or FAT has no such name
 */
export function fatImage(files: readonly NamedFile[], options: FatOptions): Extent[] {
  paddedLabel(options.label)
  const root = foldersOf(files, options.folders)
  const folders = [...allFolders(root)]
  for (const folder of folders) check(folder)
  const geometry = geometryFor(root, folders, options.sizeBytes)
  const { clusters: all, clusterSectors, bits } = geometry
  const clusterBytes = clusterSectors * SECTOR_BYTES
  const clustersOf = (bytes: number): number => Math.ceil(bytes / clusterBytes)

  const chains: { readonly first: number; readonly count: number }[] = []
  let next = 2
  const take = (bytes: number): number => {
    const count = clustersOf(bytes)
    if (count === 0) return 0
    chains.push({ first: next, count })
    next += count
    return next - count
  }
  const firstOf = new Map<Folder, number>()
  for (const folder of folders)
    firstOf.set(folder, folder === root && bits !== 32 ? 0 : take(directoryEntries(folder, root).bytes))
  const placed = new Map<object, Placed>()
  for (const folder of folders) {
    for (const child of folder.folders)
      placed.set(child, { first: firstOf.get(child)!, sizeBytes: 0, seconds: options.madeAtSeconds })
    for (const file of folder.files) {
      const seconds = file.mtimeSeconds ?? options.madeAtSeconds
      placed.set(file, { first: take(file.sizeBytes), sizeBytes: file.sizeBytes, seconds })
    }
  }
  const free = all - (next - 2)

  const out: Extent[] = [{ kind: 'bytes', bytes: bootSectors(geometry, { ...options, free, next }) }]
  const table = allocationTable(geometry, chains, next)
  for (let copy = 0; copy < 2; copy += 1)
    out.push({ kind: 'bytes', bytes: table }, ...zeros(geometry.fatSectors * SECTOR_BYTES - table.length))
  const parents = new Map(folders.flatMap((parent) => parent.folders.map((child) => [child, parent] as const)))
  for (const folder of folders) {
    const parent = parents.get(folder)
    // The root is cluster 0 to those that are in it, wherever it lies.
    const parentFirst = parent === undefined || parent === root ? 0 : firstOf.get(parent)!
    const bytes = directoryBytes(folder, { root, own: firstOf.get(folder)!, parentFirst, placed, ...options })
    const room =
      folder === root && bits !== 32 ? geometry.rootSectors * SECTOR_BYTES : clustersOf(bytes.length) * clusterBytes
    out.push({ kind: 'bytes', bytes }, ...zeros(room - bytes.length))
  }
  for (const { files: own } of folders)
    for (const { content, sizeBytes } of own)
      out.push(...content, ...zeros(clustersOf(sizeBytes) * clusterBytes - sizeBytes))
  const used = geometry.reservedSectors + 2 * geometry.fatSectors + geometry.rootSectors + (next - 2) * clusterSectors
  out.push(...zeros(sizeFor(geometry, options) - used * SECTOR_BYTES))
  return out
}

function check(folder: Folder): void {
  if (directoryEntries(folder, folder).bytes > MAX_DIRECTORY_BYTES)
    throw new AppError('unsupported', `Cannot put "${folder.path}" on a FAT file system: it has too many files for one`)
  for (const { path, sizeBytes } of folder.files)
    if (sizeBytes > MAX_FILE_BYTES)
      throw new AppError(
        'unsupported',
        `Cannot put "${path}" on a FAT file system: it has ${sizeBytes} bytes, at most ${MAX_FILE_BYTES} are possible in a file`,
      )
}

/** The clusters that everything takes. */
function need(root: Folder, folders: readonly Folder[], { clusterSectors, bits }: Geometry): number {
  const clusterBytes = clusterSectors * SECTOR_BYTES
  let sum = 0
  for (const folder of folders) {
    if (folder !== root || bits === 32) sum += Math.ceil(directoryEntries(folder, root).bytes / clusterBytes)
    for (const { sizeBytes } of folder.files) sum += Math.ceil(sizeBytes / clusterBytes)
  }
  return sum
}

function geometryFor(root: Folder, folders: readonly Folder[], sizeBytes: number | undefined): Geometry {
  const rootEntries = directoryEntries(root, root).bytes / 32
  if (sizeBytes !== undefined) {
    const sectors = Math.floor(sizeBytes / SECTOR_BYTES)
    if (sectors > MAX_SECTORS)
      throw new AppError('unsupported', `Cannot make a FAT file system of ${sizeBytes} bytes: 2 TiB is the most`)
    const geometry = geometryOf(sectors, rootEntries)
    const lacking = need(root, folders, geometry) - geometry.clusters
    if (lacking <= 0) return geometry
    const moreBytes = lacking * geometry.clusterSectors * SECTOR_BYTES
    throw new AppError(
      'invalid',
      `Cannot put the files on a medium of ${sizeBytes} bytes: ${moreBytes} bytes more are needed`,
    )
  }
  for (let mebibytes = 1; ;) {
    const sectors = mebibytes * (MEBIBYTE / SECTOR_BYTES)
    if (sectors > MAX_SECTORS)
      throw new AppError('unsupported', 'Cannot make a FAT file system of the files: they are larger than 2 TiB')
    const geometry = geometryOf(sectors, rootEntries)
    const lacking = (need(root, folders, geometry) - geometry.clusters) * geometry.clusterSectors * SECTOR_BYTES
    if (lacking <= 0) return geometry
    mebibytes += Math.max(1, Math.floor(lacking / MEBIBYTE))
  }
}

/** The size that was asked for, or that was found in whole MiB. */
function sizeFor({ totalSectors }: Geometry, { sizeBytes }: FatOptions): number {
  return sizeBytes ?? Math.ceil((totalSectors * SECTOR_BYTES) / MEBIBYTE) * MEBIBYTE
}

/** The part of the table that says something; what follows it is zeros: free clusters. */
function allocationTable(
  { bits }: Geometry,
  chains: readonly { readonly first: number; readonly count: number }[],
  end: number,
): Uint8Array {
  const last = 2 ** (bits === 32 ? 28 : bits) - 1
  const entries = new Uint32Array(end)
  // Media type and the marks of a volume that is clean and has no errors.
  entries[0] = last - 0xff + 0xf8
  entries[1] = last
  for (const { first, count } of chains) {
    for (let at = first; at < first + count - 1; at += 1) entries[at] = at + 1
    entries[first + count - 1] = last
  }
  const out = new Writer(Math.ceil((end * bits) / 8) + SECTOR_BYTES)
  if (bits === 32) for (const entry of entries) out.u32le(entry)
  else if (bits === 16) for (const entry of entries) out.u16le(entry)
  else
    for (let at = 0; at < end; at += 2) {
      const [low, high] = [entries[at]!, entries[at + 1] ?? 0]
      out
        .u8(low & 0xff)
        .u8((low >> 8) | ((high & 0x0f) << 4))
        .u8(high >> 4)
    }
  return out.align(SECTOR_BYTES).done()
}

function zeros(length: number): Extent[] {
  return length === 0 ? [] : [{ kind: 'zeros', length }]
}
