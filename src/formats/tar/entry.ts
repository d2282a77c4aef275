/** Puts together what a header block, its PAX records and GNU's long names say of one entry. */
import { byteString, displayPath, type ByteString } from './byte-string.ts'
import type { Budget } from './budget.ts'
import { HeaderError, type TarHeader } from './header.ts'
import { NO_DATA, type LayerEntry, type LayerEntryKind } from './layer-index.ts'
import * as limits from './limits.ts'
import { relativePath } from './name.ts'
import { decimal, paxTime, type PaxRecords } from './pax.ts'
import { paxPairs, sparseRuns, type SparseMap } from './sparse.ts'
import { xattrsOf } from './xattr.ts'

/** What came before a header block and speaks of it. */
export interface PendingHeaders {
  readonly longName?: ByteString
  readonly longLink?: ByteString
  readonly local?: PaxRecords
}

/** An entry but for the place of its data, which is known when its sparse map is read. */
export interface EntryPlan {
  readonly entry: LayerEntry
  /** Bytes of this entry in the archive, a sparse map in front of the data included. */
  readonly packedBytes: number
  /** The map itself, or where it is: behind the header block (old GNU) or in front of the data (1.0). */
  readonly sparse: SparseMap | 'behind header' | 'before data' | undefined
}

const KINDS: Readonly<Record<string, LayerEntryKind>> = {
  '\0': 'file',
  '0': 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '3': 'character',
  '4': 'block',
  '5': 'directory',
  '6': 'fifo',
  // Contiguous file: an ordinary one everywhere but on Masscomp.
  '7': 'file',
  // GNU incremental: a directory whose payload lists its names.
  D: 'directory',
  S: 'file',
}

type Lookup = (key: string) => ByteString | undefined

/** @throws {HeaderError} when a value is none, or passes a limit */
export function planEntry(
  header: TarHeader,
  pending: PendingHeaders & { globals: PaxRecords['values'] },
  budget: Budget,
): EntryPlan {
  const value: Lookup = (key) => lookup(key, pending)
  const name = pending.longName ?? value('GNU.sparse.name') ?? value('path') ?? header.name
  const kind = kindOf(header.typeflag, name)
  const path = pathOf(name)
  if (path === '' && kind !== 'directory') throw new HeaderError(`the root as a ${kind}`)
  const target = targetOf(kind, pending.longLink ?? value('linkpath') ?? header.linkName)
  const xattrs = xattrsOf(pending.globals, pending.local?.values)
  const entry: LayerEntry = {
    kind,
    path,
    mode: header.mode & 0o7777,
    ...ownerOf(header, value),
    ...timeOf(header, value('mtime')),
    size: 0,
    data: NO_DATA,
    target,
    ...deviceOf(kind, header, value),
    xattrs,
  }
  const hasPayload = kind === 'file' || header.typeflag === 'D'
  const packedBytes = hasPayload ? decimalOr(value('size'), 'size', header.size) : 0
  if (kind !== 'file') return { entry, packedBytes, sparse: undefined }
  const sparse = header.typeflag === 'S' ? 'behind header' : paxSparse(value, pending.local, budget)
  const sizeKey = value('GNU.sparse.realsize') ?? value('GNU.sparse.size')
  const size = sparse === undefined ? packedBytes : decimalOr(sizeKey, 'sparse size', packedBytes)
  return { entry: { ...entry, size }, packedBytes, sparse }
}

/**
 * The entry with its data at `offset` of the blob.
 * @param size logical size  @param packedBytes how many bytes of data the archive holds
 * @throws {HeaderError} when the map does not fit, or a limit is passed
 */
export function placeEntry(
  entry: LayerEntry,
  size: number,
  offset: number,
  packedBytes: number,
  map: SparseMap | undefined,
  budget: Budget,
): LayerEntry {
  if (entry.kind !== 'file') return entry
  if (size < 0) throw new HeaderError(`a size of ${size} bytes`)
  budget.file(size)
  if (map === undefined) return size === 0 ? entry : { ...entry, size, data: [{ at: 0, offset, length: size }] }
  const data = sparseRuns(map, size, offset, packedBytes)
  budget.dataRuns(data.length)
  return { ...entry, size, data: data.length === 0 ? NO_DATA : data }
}

function lookup(key: string, { local, globals }: PendingHeaders & { globals: PaxRecords['values'] }) {
  const bytes = local?.values.get(key) ?? globals.get(key)
  if (bytes === undefined || bytes.length === 0) return undefined
  if (bytes.includes(0)) throw new HeaderError(`a NUL in the PAX record ${displayPath(key)}`)
  return byteString(bytes)
}

function kindOf(typeflag: string, name: ByteString): LayerEntryKind {
  const kind = KINDS[typeflag]
  if (kind === undefined) throw new HeaderError(`unknown type ${JSON.stringify(typeflag)}`)
  // V7 had no type for directories: the slash says it.
  return typeflag === '\0' && name.endsWith('/') ? 'directory' : kind
}

function pathOf(name: ByteString): ByteString {
  const path = relativePath(name)
  if (typeof path !== 'string') throw new HeaderError(path.refused)
  return path
}

function targetOf(kind: LayerEntryKind, target: ByteString): ByteString {
  if (kind !== 'symlink' && kind !== 'hardlink') return ''
  const path = kind === 'hardlink' ? relativePath(target) : target
  if (typeof path !== 'string') throw new HeaderError(`${path.refused} of its link target`)
  if (path === '') throw new HeaderError('a link to nothing')
  if (path.length > limits.PATH_BYTES)
    throw new HeaderError(`a link target of ${path.length} bytes, at most ${limits.PATH_BYTES}`)
  return path
}

function ownerOf(header: TarHeader, value: Lookup) {
  const uid = decimalOr(value('uid'), 'uid', header.uid)
  const gid = decimalOr(value('gid'), 'gid', header.gid)
  for (const id of [uid, gid])
    if (id < 0 || id > limits.ID_MAX) throw new HeaderError(`owner ${id} is not a user or group id`)
  return { uid, gid }
}

function timeOf(header: TarHeader, mtime: ByteString | undefined) {
  const { seconds, nanoseconds } =
    mtime === undefined ? { seconds: header.mtimeSeconds, nanoseconds: 0 } : paxTime(mtime)
  return { mtimeSeconds: seconds, mtimeNanoseconds: nanoseconds }
}

function deviceOf(kind: LayerEntryKind, header: TarHeader, value: Lookup) {
  if (kind !== 'character' && kind !== 'block') return { deviceMajor: 0, deviceMinor: 0 }
  const deviceMajor = decimalOr(value('SCHILY.devmajor'), 'device major', header.deviceMajor)
  const deviceMinor = decimalOr(value('SCHILY.devminor'), 'device minor', header.deviceMinor)
  const isMajor = deviceMajor >= 0 && deviceMajor <= limits.DEVICE_MAJOR_MAX
  if (!isMajor || deviceMinor < 0 || deviceMinor > limits.DEVICE_MINOR_MAX)
    throw new HeaderError(`device ${deviceMajor}:${deviceMinor} is not one that Linux has`)
  return { deviceMajor, deviceMinor }
}

function decimalOr(value: ByteString | undefined, field: string, otherwise: number): number {
  return value === undefined ? otherwise : decimal(value, field)
}

function paxSparse(value: Lookup, local: PaxRecords | undefined, budget: Budget): EntryPlan['sparse'] {
  if (local === undefined) return undefined
  const version = `${value('GNU.sparse.major') ?? '0'}.${value('GNU.sparse.minor') ?? '0'}`
  if (version === '1.0') return 'before data'
  const map = value('GNU.sparse.map')
  const count = value('GNU.sparse.numblocks')
  if (map === undefined && count === undefined && local.sparsePairs.length === 0) {
    if (version !== '0.0') throw new HeaderError(`sparse format ${version} is not known`)
    return undefined
  }
  if (version !== '0.0' && version !== '0.1') throw new HeaderError(`sparse format ${version} is not known`)
  const texts = map === undefined ? local.sparsePairs : map.split(',')
  budget.sparsePairs(texts.length / 2)
  if (decimalOr(count, 'GNU.sparse.numblocks', texts.length / 2) * 2 !== texts.length)
    throw new HeaderError('a sparse map of another length than it states')
  return paxPairs(texts)
}
