/** A Debian binary package, deb(5): which member holds the control files, which the file system, and how they are packed. */
import { WireError } from '../../base/errors.ts'
import { parseAr } from './ar.ts'

export type DebCompression = 'none' | 'gzip' | 'xz' | 'zstd'

export interface PackedTar {
  readonly compression: DebCompression
  readonly bytes: Uint8Array
}

export interface Deb {
  readonly control: PackedTar
  readonly data: PackedTar
}

const COMPRESSIONS = new Map<string, DebCompression>([
  ['', 'none'],
  ['.gz', 'gzip'],
  ['.xz', 'xz'],
  ['.zst', 'zstd'],
])

/**
 * The two tar archives of a package, still compressed, as views on the input.
 * @throws {WireError} when it is no `ar`, not of format 2.x, or one of the archives is missing or packed in an unknown way
 */
export function parseDeb(bytes: Uint8Array): Deb {
  const members = parseAr(bytes)
  const [first] = members
  if (first?.name !== 'debian-binary') throw new WireError('Debian package', 'its first member is not debian-binary')
  const version = new TextDecoder('latin1').decode(first.bytes.subarray(0, 16))
  if (!/^2\.\d+\n/.test(version)) throw new WireError('Debian package', `unknown format ${JSON.stringify(version)}`)
  const find = (name: string): PackedTar => {
    const member = members.find((m) => m.name.startsWith(`${name}.tar`))
    if (!member) throw new WireError('Debian package', `no ${name}.tar in it`)
    const ending = member.name.slice(`${name}.tar`.length)
    const compression = COMPRESSIONS.get(ending)
    if (!compression) throw new WireError('Debian package', `${name}.tar is packed as "${ending}"`)
    return { compression, bytes: member.bytes }
  }
  return { control: find('control'), data: find('data') }
}
