/** Writes the cpio archive that the kernel unpacks as its first root ("newc", Documentation/driver-api/early-userspace). */
import { Writer } from '../../base/bytes.ts'

export interface InitrdEntry {
  /** Without a leading slash. */
  readonly path: string
  readonly type: 'file' | 'directory' | 'symlink' | 'device'
  /** Permission bits. */
  readonly mode: number
  /** Contents of a file; the target of a symbolic link. */
  readonly bytes?: Uint8Array
  /** Major and minor of a character device. */
  readonly device?: readonly [major: number, minor: number]
}

const TYPE_BITS = { file: 0o100000, directory: 0o040000, symlink: 0o120000, device: 0o020000 } as const

/** The same entries always give the same bytes: sorted by path, owned by root, of the year 1970; parents are added. */
export function newcArchive(entries: readonly InitrdEntry[]): Uint8Array {
  const all = new Map(entries.map((entry) => [entry.path, entry]))
  for (const { path } of entries)
    for (let at = path.lastIndexOf('/'); at > 0; at = path.lastIndexOf('/', at - 1)) {
      const parent = path.slice(0, at)
      if (!all.has(parent)) all.set(parent, { path: parent, type: 'directory', mode: 0o755 })
    }
  const writer = new Writer(1 << 20)
  let inode = 1
  for (const entry of [...all.values()].toSorted((a, b) => (a.path < b.path ? -1 : 1))) append(writer, inode++, entry)
  append(writer, 0, { path: 'TRAILER!!!', type: 'file', mode: 0 }, 0)
  return writer.align(512).done()
}

function append(writer: Writer, inode: number, entry: InitrdEntry, typeBits: number = TYPE_BITS[entry.type]): void {
  const name = new TextEncoder().encode(entry.path)
  const body = entry.bytes ?? new Uint8Array()
  const [major, minor] = entry.device ?? [0, 0]
  const fields = [
    inode,
    typeBits | entry.mode,
    0,
    0,
    entry.type === 'directory' ? 2 : 1,
    0,
    body.length,
    0,
    0,
    major,
    minor,
    name.length + 1,
    0,
  ]
  writer.utf8('070701')
  for (const field of fields) writer.utf8(field.toString(16).padStart(8, '0'))
  writer.bytes(name).u8(0).align(4).bytes(body).align(4)
}
