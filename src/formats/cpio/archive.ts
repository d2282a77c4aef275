/** Small cpio archives out of literal files: initrds and the per-container additions beside them. */
import { Writer } from '../../base/bytes.ts'
import { byteStringOf, bytesOf, displayPath, type ByteString } from '../tar/byte-string.ts'
import { relativePath } from '../tar/name.ts'
import { FILE_TYPE_BITS, newcHeader, newcTrailer, TRAILER } from './newc.ts'

/** One name. Paths and targets are ordinary text; a leading slash is dropped. Owners are root, times 0. */
export type CpioEntry =
  | { readonly kind: 'file'; readonly path: string; readonly bytes: Uint8Array; readonly mode?: number }
  | { readonly kind: 'directory'; readonly path: string; readonly mode?: number }
  | { readonly kind: 'symlink'; readonly path: string; readonly target: string }
  | {
      readonly kind: 'character' | 'block'
      readonly path: string
      readonly major: number
      readonly minor: number
      readonly mode?: number
    }

const MODES = { file: 0o644, directory: 0o755, symlink: 0o777, character: 0o600, block: 0o600 } as const

/**
 * A newc archive of the entries in their order. Directories that no entry makes are put in front of what needs them (0755),
 * for the kernel makes none. The same entries always give the same bytes.
 * @throws {RangeError} when a path leaves the archive, names nothing, or comes twice
 */
export function cpioArchive(entries: readonly CpioEntry[]): Uint8Array {
  const out = new Writer(65_536)
  const own = new Map<ByteString, CpioEntry>()
  for (const entry of entries) {
    const path = pathOf(entry)
    if (own.has(path)) throw new RangeError(`Cannot write a cpio archive: "${displayPath(path)}" comes twice`)
    own.set(path, entry)
  }
  const written = new Map<ByteString, number>()
  for (const path of own.keys())
    for (const part of [...parentsOf(path), path])
      if (!written.has(part)) writeEntry(out, written, own.get(part) ?? { kind: 'directory', path: part }, part)
  return out.bytes(newcTrailer()).align(512).done()
}

function writeEntry(out: Writer, written: Map<ByteString, number>, entry: CpioEntry, path: ByteString): void {
  const inode = written.size + 1
  written.set(path, inode)
  const data = dataOf(entry)
  const isDevice = entry.kind === 'character' || entry.kind === 'block'
  const mode = entry.kind === 'symlink' ? MODES.symlink : (entry.mode ?? MODES[entry.kind])
  out.bytes(
    newcHeader({
      inode,
      mode: FILE_TYPE_BITS[entry.kind] | (mode & 0o7777),
      uid: 0,
      gid: 0,
      linkCount: entry.kind === 'directory' ? 2 : 1,
      mtimeSeconds: 0,
      size: data.length,
      deviceMajor: isDevice ? entry.major : 0,
      deviceMinor: isDevice ? entry.minor : 0,
      name: path === TRAILER ? `./${path}` : path,
    }),
  )
  out.bytes(data).align(4)
}

function dataOf(entry: CpioEntry): Uint8Array {
  if (entry.kind === 'file') return entry.bytes
  return entry.kind === 'symlink' ? bytesOf(byteStringOf(entry.target)) : new Uint8Array(0)
}

function pathOf(entry: CpioEntry): ByteString {
  const path = relativePath(byteStringOf(entry.path))
  if (typeof path !== 'string') throw new RangeError(`Cannot write a cpio archive: "${entry.path}": ${path.refused}`)
  if (path === '') throw new RangeError('Cannot write a cpio archive: an entry without a name')
  return path
}

function parentsOf(path: ByteString): ByteString[] {
  const parents: ByteString[] = []
  for (let slash = path.indexOf('/'); slash >= 0; slash = path.indexOf('/', slash + 1))
    parents.push(path.slice(0, slash))
  return parents
}
