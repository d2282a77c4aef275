/** A layer as a list of changes, and as the tar that image-spec layer.md makes of it. */
import { AppError } from '../../base/errors.ts'
import type { Extent } from '../extents.ts'
import { displayPath, type ByteString } from '../tar/byte-string.ts'
import { BLOCK_BYTES } from '../tar/header.ts'
import { headerBlocks, TYPEFLAGS, type EntryMetadata } from '../tar/header-blocks.ts'
import { NO_XATTRS, type LayerEntry } from '../tar/layer-index.ts'
import { NAME_BYTES, PATH_BYTES } from '../tar/limits.ts'
import { sparseMapOf } from '../tar/sparse.ts'
import { ExtentSink } from './extent-sink.ts'
import { OPAQUE_NAME, WHITEOUT_PREFIX } from './whiteout.ts'

export type LayerChange =
  /** The data of the entry lies in `blob`. */
  | { readonly kind: 'put'; readonly entry: LayerEntry; readonly blob: string }
  | { readonly kind: 'remove'; readonly path: ByteString }
  /** Hides all that lower layers have in the directory. */
  | { readonly kind: 'opaque'; readonly path: ByteString }

const WHITEOUT: EntryMetadata = {
  mode: 0,
  uid: 0,
  gid: 0,
  mtimeSeconds: 0,
  mtimeNanoseconds: 0,
  deviceMajor: 0,
  deviceMinor: 0,
  xattrs: NO_XATTRS,
}

/**
 * The entry of a change in the tar of a layer, padded to blocks.
 * @throws {AppError} unsupported when a layer cannot say it: a name that would be a whiteout, or too long for one
 */
export function changeExtents(change: LayerChange): Extent[] {
  switch (change.kind) {
    case 'put':
      return put(change.entry, change.blob)
    case 'remove':
      return whiteout(change.path, directoryOf(change.path) + WHITEOUT_PREFIX + lastNameOf(change.path))
    case 'opaque':
      return whiteout(change.path, change.path === '' ? OPAQUE_NAME : `${change.path}/${OPAQUE_NAME}`)
    default:
      return change satisfies never
  }
}

/** What stands at the end of a tar. */
export const LAYER_END: Extent = Object.freeze({ kind: 'zeros', length: 2 * BLOCK_BYTES })

function put(entry: LayerEntry, blob: string): Extent[] {
  const { kind, path, target, size, data } = entry
  if (path.split('/').some((name) => name.startsWith(WHITEOUT_PREFIX)))
    throw refusal(path, `a layer takes names with "${WHITEOUT_PREFIX}" for removals`)
  const name = kind === 'directory' ? `${path === '' ? '.' : path}/` : path
  const fields = { entry, typeflag: TYPEFLAGS[kind], name, target }
  const sink = new ExtentSink()
  if (kind !== 'file') return sink.bytes(headerBlocks({ ...fields, size: 0 }).bytes()).done()
  const extents = data.map(({ offset, length }) => ({ kind: 'blob', blob, offset, length }) as const)
  const dataBytes = data.reduce((sum, { length }) => sum + length, 0)
  if (dataBytes === size) sink.bytes(headerBlocks({ ...fields, size }).bytes())
  else {
    const map = sparseMapOf(data, size)
    sink.bytes(headerBlocks({ ...fields, size: map.length + dataBytes, sparseSize: size }).bytes()).bytes(map)
  }
  return sink.extents(extents).align(BLOCK_BYTES).done()
}

function whiteout(path: ByteString, name: ByteString): Extent[] {
  if (name.length > PATH_BYTES || lastNameOf(name).length > NAME_BYTES)
    throw refusal(path, 'its name is too long for a layer to say that it was removed')
  const header = headerBlocks({ entry: WHITEOUT, typeflag: TYPEFLAGS.file, name, target: '', size: 0 })
  return [{ kind: 'bytes', bytes: header.bytes() }]
}

function refusal(path: ByteString, why: string): AppError {
  return new AppError('unsupported', `Cannot put "${displayPath(path)}" into a layer: ${why}`)
}

/** With its slash; empty for names in the root. */
function directoryOf(path: ByteString): ByteString {
  return path.slice(0, path.lastIndexOf('/') + 1)
}

function lastNameOf(path: ByteString): ByteString {
  return path.slice(path.lastIndexOf('/') + 1)
}
