/** Contents in the form that was asked for. The same contents and options always give the same bytes. */
import { createHash, type Hash } from 'node:crypto'
import { AppError } from '../../base/errors.ts'
import { sizeOf, type Extent } from '../../formats/extents.ts'
import { fatImage } from '../../formats/fat/image.ts'
import { ALIGNMENT_BYTES, BACKUP_BYTES, gptDisk, SECTOR_BYTES, type Partition } from '../../formats/gpt/gpt.ts'
import { isoImage } from '../../formats/iso9660/image.ts'
import type { MediaOptions } from '../../model/media.ts'
import type { Contents } from './contents.ts'

/** By these guest/lib/rootfs-media finds a root. */
const ROOT_FILE = 'bareboat/rootfs.erofs'
const ROOT_PARTITION = 'bareboat-root'

/** Of the file system that UEFI reads of an ISO image. */
const SYSTEM_LABEL = 'EFI'

/** @throws {AppError} as fatImage, gptDisk and isoImage */
export function formed(contents: Contents, { format, size, label }: MediaOptions): Extent[] {
  const identity = identityOf(contents, label)
  const { efi, bios, root, folders, madeAtSeconds } = contents
  const own = [...efi, ...contents.files]
  const files = root === undefined ? own : [...own, { path: ROOT_FILE, content: root }]
  const options = { label, madeAtSeconds, folders, serial: identity.serial }
  switch (format) {
    case 'fat32':
      return fatImage(files, size === undefined ? options : { ...options, sizeBytes: size })
    case 'gpt': {
      const rootBytes = root === undefined ? 0 : roundUp(sizeOf(root))
      const room = size === undefined ? {} : { sizeBytes: roomFor(size, rootBytes) }
      const hiddenSectors = ALIGNMENT_BYTES / SECTOR_BYTES
      const system = fatImage(own, { ...options, hiddenSectors, ...room })
      const partitions: Partition[] = [
        { type: 'efiSystem', guid: identity.guid('partition'), name: 'EFI system', content: system },
      ]
      if (root !== undefined)
        partitions.push({ type: 'linuxData', guid: identity.guid('root'), name: ROOT_PARTITION, content: root })
      return gptDisk(partitions, { guid: identity.guid('disk'), ...(size === undefined ? {} : { sizeBytes: size }) })
    }
    case 'iso': {
      const system = { label: SYSTEM_LABEL, madeAtSeconds, serial: identity.serial }
      return isoImage([...files, ...(bios?.files ?? [])], {
        label,
        madeAtSeconds,
        folders,
        diskId: identity.serial,
        ...(efi.length === 0 ? {} : { efi: fatImage(efi, system) }),
        ...(bios === undefined ? {} : { bios: { ...bios, path: 'isolinux/isolinux.bin' } }),
        ...(size === undefined ? {} : { sizeBytes: size }),
      })
    }
    default:
      return format satisfies never
  }
}

/** Bytes of the first partition: what the others leave. */
function roomFor(sizeBytes: number, rootBytes: number): number {
  const beside = ALIGNMENT_BYTES + rootBytes + BACKUP_BYTES
  const left = sizeBytes - beside
  const room = rootBytes === 0 ? left - (left % SECTOR_BYTES) : left - (left % ALIGNMENT_BYTES)
  if (room < SECTOR_BYTES)
    throw new AppError(
      'invalid',
      `Cannot put a partition on a medium of ${sizeBytes} bytes: ${beside} bytes are needed beside it`,
    )
  return room
}

function roundUp(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT_BYTES) * ALIGNMENT_BYTES
}

/** Numbers that name the medium, made of what is on it as far as that is known without reading it. */
function identityOf({ efi, files, madeAtSeconds }: Contents, label: string) {
  const what = createHash('sha256').update(`bareboat medium 1\n${label}\n${madeAtSeconds}\n`)
  for (const { path, content, mtimeSeconds = 0 } of [...efi, ...files].toSorted((a, b) => (a.path < b.path ? -1 : 1))) {
    what.update(`${JSON.stringify(path)} ${sizeOf(content)} ${mtimeSeconds}\n`)
    for (const extent of content) if (extent.kind === 'bytes') what.update(extent.bytes)
  }
  const digest = what.digest()
  return {
    serial: digest.readUInt32LE(0),
    guid: (of: string) => guidOf(createHash('sha256').update(digest).update(of)),
  }
}

/** As RFC 9562 §5.8 has it: version 8. */
function guidOf(hash: Hash): string {
  const bytes = hash.digest().subarray(0, 16)
  bytes[6] = (bytes[6]! & 0x0f) | 0x80
  bytes[8] = (bytes[8]! & 0x3f) | 0x80
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}
