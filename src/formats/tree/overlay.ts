/**
 * The upper directory of an overlay file system as changes (Linux Documentation/filesystems/overlayfs.rst, "whiteouts and opaque
 * directories"): a character device 0:0, or an empty file with the attribute `whiteout`, stands for what was removed; a directory
 * with `opaque` = `y` hides what is below. All else there is what was written.
 */
import { AppError } from '../../base/errors.ts'
import { displayPath, type ByteString } from '../tar/byte-string.ts'
import type { LayerEntry } from '../tar/layer-index.ts'
import type { LayerChange } from './changes.ts'

const PREFIX = 'trusted.overlay.'
/** An overlay's own attributes in an upper layer that is itself one of an overlay are kept with this. */
const ESCAPED = 'trusted.overlay.overlay.'
/** Notes that the file system makes for itself: where a file was copied from, and what is in a directory. */
const NOTES: ReadonlySet<string> = new Set([
  'origin',
  'impure',
  'nlink',
  'uuid',
  'upper',
  'protattr',
  'opaque',
  'whiteout',
])

/**
 * @param entries of a tar of the directory, attributes included  @param blob where their data lies
 * @throws {AppError} unsupported for an entry of which only a part is in this layer (`redirect`, `metacopy`)
 */
export function* overlayChanges(entries: Iterable<LayerEntry>, blob: string): Generator<LayerChange> {
  for (const entry of entries) {
    const { kind, path, xattrs } = entry
    const isDevice = kind === 'character' && entry.deviceMajor === 0 && entry.deviceMinor === 0
    if (path !== '' && (isDevice || (kind === 'file' && xattrs.has(`${PREFIX}whiteout`))))
      yield { kind: 'remove', path }
    else {
      yield { kind: 'put', entry: { ...entry, xattrs: ownXattrs(entry) }, blob }
      if (kind === 'directory' && isYes(xattrs.get(`${PREFIX}opaque`))) yield { kind: 'opaque', path }
    }
  }
}

function ownXattrs({ path, xattrs }: LayerEntry): ReadonlyMap<ByteString, Uint8Array> {
  if (!xattrs.keys().some((name) => name.startsWith(PREFIX))) return xattrs
  const own = new Map<ByteString, Uint8Array>()
  for (const [name, value] of xattrs)
    if (name.startsWith(ESCAPED)) own.set(PREFIX + name.slice(ESCAPED.length), value)
    else if (!name.startsWith(PREFIX)) own.set(name, value)
    else if (!NOTES.has(name.slice(PREFIX.length)))
      throw new AppError(
        'unsupported',
        `Cannot put "${displayPath(path)}" into a layer: its attribute "${displayPath(name)}" says that not all of it is there`,
      )
  return own
}

/** `x` says only that whiteouts by attribute may be in it. */
function isYes(value: Uint8Array | undefined): boolean {
  return value?.length === 1 && value[0] === 0x79
}
