/**
 * Files as an ISO 9660 file system (ECMA-119, level 3) with Rock Ridge names, bootable by El Torito and as a flash drive. Data stay
 * extents of where they are.
 */
import { AppError } from '../../base/errors.ts'
import { sizeOf, type Extent } from '../extents.ts'
import { foldersOf, type Folder, type FolderFile, type NamedFile } from '../folders.ts'
import { bootCatalog, hybridRecord, withBootInfo, type BootImages } from './boot.ts'
import { directoryBytes, folderNames, pathTable, type Place } from './directories.ts'
import { extensionFields, MAX_NAME_BYTES, SECTOR_BYTES } from './records.ts'
import { bootDescriptor, isoLabel, primaryDescriptor, terminator } from './volume.ts'

export interface IsoOptions {
  readonly label: string
  /** The time of all that has none of its own, seconds since 1970. */
  readonly madeAtSeconds: number
  /** Of the master boot record, 32 bits. */
  readonly diskId: number
  /** ISOLINUX, and its code for a flash drive. */
  readonly bios?: { readonly path: string; readonly image: Uint8Array; readonly hybridCode: Uint8Array }
  /** A FAT file system that UEFI starts from. */
  readonly efi?: readonly Extent[]
  readonly folders?: readonly string[]
  /** Of the whole image; without it the least, in whole MiB. */
  readonly sizeBytes?: number
}

const SYSTEM_SECTORS = 16
const MAX_SECTORS = 2 ** 32 - 1
/** Flash drives are counted in cylinders of 1 MiB by those who count so. */
const MEBIBYTE = 1 << 20

/**
 * The image as extents; the same files and options give the same bytes.
 * @throws {AppError} invalid where it does not fit into the size or a path or the label is none; unsupported, naming the file, where
 * its name is too long
 */
export function isoImage(files: readonly NamedFile[], options: IsoOptions): Extent[] {
  const { bios, efi, madeAtSeconds } = options
  isoLabel(options.label)
  const own = bios === undefined ? [] : [{ path: bios.path, content: literal(bios.image) }]
  const root = foldersOf([...files, ...own], options.folders)
  const folders = inLevels(root)
  const names = new Map(folders.map((folder) => [folder, folderNames(checked(folder))] as const))

  let next = SYSTEM_SECTORS
  const take = (bytes: number): Place => {
    const lba = next
    next += sectorsOf(bytes)
    return { lba, sizeBytes: bytes }
  }
  const primaryLba = take(SECTOR_BYTES).lba
  const isBootable = bios !== undefined || efi !== undefined
  if (isBootable) take(SECTOR_BYTES)
  take(SECTOR_BYTES)
  const catalog = isBootable ? take(SECTOR_BYTES).lba : 0
  const extension = take(SECTOR_BYTES).lba
  const tableBytes = pathTable(folders, names, () => 0, true).length
  const littleTable = take(tableBytes).lba
  const bigTable = take(tableBytes).lba
  const places = new Map<Folder | FolderFile, Place>()
  for (const folder of folders) places.set(folder, take(names.get(folder)!.bytes))
  for (const folder of folders) for (const file of folder.files) places.set(file, take(file.sizeBytes))
  const efiPlace = efi === undefined ? undefined : take(sizeOf(efi))
  const totalSectors = totalOf(next, options.sizeBytes)

  const biosFile = bios && folders.flatMap((folder) => folder.files).find(({ path }) => path === bios.path)
  const images: BootImages = {
    ...(biosFile === undefined ? {} : { bios: { lba: places.get(biosFile)!.lba } }),
    ...(efiPlace === undefined ? {} : { efi: efiPlace }),
  }
  const lbaOf = (folder: Folder): number => places.get(folder)!.lba
  const sink = new Sectors()
  const hybrid = bios === undefined ? {} : { code: bios.hybridCode }
  sink.literal(
    isBootable ? hybridRecord({ ...images, ...hybrid, diskId: options.diskId, totalSectors }) : new Uint8Array(0),
  )
  sink.skipTo(primaryLba)
  const volume = { totalSectors, tableBytes, littleTable, bigTable, root: places.get(root)!, madeAtSeconds }
  sink.literal(primaryDescriptor({ ...volume, label: options.label }))
  if (isBootable) sink.literal(bootDescriptor(catalog))
  sink.literal(terminator())
  if (isBootable) sink.literal(bootCatalog(images))
  sink.literal(extensionFields())
  sink.literal(pathTable(folders, names, lbaOf, true))
  sink.literal(pathTable(folders, names, lbaOf, false))
  const parents = new Map(folders.flatMap((parent) => parent.folders.map((child) => [child, parent] as const)))
  for (const folder of folders)
    sink.literal(
      directoryBytes(folder, parents.get(folder) ?? folder, names.get(folder)!, {
        places,
        madeAtSeconds,
        ...(folder === root ? { extension } : {}),
      }),
    )
  for (const folder of folders)
    for (const file of folder.files)
      sink.add(
        file === biosFile ? literal(withBootInfo(bios!.image, places.get(file)!.lba, primaryLba)) : file.content,
        file.sizeBytes,
      )
  if (efi !== undefined) sink.add(efi, efiPlace!.sizeBytes)
  sink.skipTo(totalSectors)
  return sink.done(options.sizeBytes)
}

/** Extents, each thing from a sector on. */
class Sectors {
  readonly #out: Extent[] = []
  #bytes = 0

  literal(bytes: Uint8Array): void {
    this.add(literal(bytes), bytes.length)
  }

  add(content: readonly Extent[], sizeBytes: number): void {
    if (sizeBytes === 0) return
    this.#out.push(...content)
    this.#bytes += sizeBytes
    this.#zeros(Math.ceil(this.#bytes / SECTOR_BYTES) * SECTOR_BYTES)
  }

  skipTo(lba: number): void {
    this.#zeros(lba * SECTOR_BYTES)
  }

  done(sizeBytes = this.#bytes): Extent[] {
    this.#zeros(sizeBytes)
    return this.#out
  }

  #zeros(to: number): void {
    if (to > this.#bytes) this.#out.push({ kind: 'zeros', length: to - this.#bytes })
    this.#bytes = Math.max(this.#bytes, to)
  }
}

/** Folders level by level, as the path table has them: by the number of the parent, then by name. */
function inLevels(root: Folder): Folder[] {
  const all = [root]
  for (const folder of all) all.push(...folder.folders)
  return all
}

function checked(folder: Folder): Folder {
  for (const { name, path } of [...folder.folders, ...folder.files]) {
    const bytes = Buffer.byteLength(name)
    if (bytes > MAX_NAME_BYTES || name.includes('\0'))
      throw new AppError(
        'unsupported',
        `Cannot put "${path}" on an ISO 9660 file system: its name has ${bytes} bytes, at most ${MAX_NAME_BYTES} are possible`,
      )
  }
  return folder
}

function totalOf(sectors: number, sizeBytes: number | undefined): number {
  const least = sectors * SECTOR_BYTES
  if (sectors > MAX_SECTORS)
    throw new AppError('unsupported', 'Cannot make an ISO 9660 file system of the files: they are larger than 8 TiB')
  if (sizeBytes === undefined) return (Math.ceil(least / MEBIBYTE) * MEBIBYTE) / SECTOR_BYTES
  if (sizeBytes < least)
    throw new AppError(
      'invalid',
      `Cannot put the files on a medium of ${sizeBytes} bytes: ${least - sizeBytes} bytes more are needed`,
    )
  return Math.floor(sizeBytes / SECTOR_BYTES)
}

function sectorsOf(bytes: number): number {
  return Math.ceil(bytes / SECTOR_BYTES)
}

function literal(bytes: Uint8Array): Extent[] {
  return [{ kind: 'bytes', bytes }]
}
