/**
 * The tar inside a Debian package: ustar with GNU long names (deb(5)). It is read whole in memory, because the packages that a
 * kit is made of are chosen by us; layers of images go through `formats/tar`, which streams.
 */
import { Reader } from '../../base/bytes.ts'
import { WireError } from '../../base/errors.ts'

export interface TarMember {
  /** Path without a leading `./` or `/`. */
  readonly path: string
  readonly type: 'file' | 'directory' | 'symlink' | 'hardlink' | 'other'
  /** Permission bits. */
  readonly mode: number
  readonly target: string
  readonly bytes: Uint8Array
}

const BLOCK = 512
const TYPES = new Map<string, TarMember['type']>([
  ['0', 'file'],
  ['\0', 'file'],
  ['5', 'directory'],
  ['2', 'symlink'],
  ['1', 'hardlink'],
])

/**
 * Members in their order; bytes are views on the input.
 * @throws {WireError} on a wrong checksum, a size past the end, or a path with `..`
 */
export function parseTarMembers(bytes: Uint8Array): TarMember[] {
  const reader = new Reader(bytes, 'tar of a package')
  const members: TarMember[] = []
  let longName: string | undefined
  let longTarget: string | undefined
  while (reader.left >= BLOCK) {
    const header = reader.take(BLOCK, 'header')
    if (header.every((byte) => byte === 0)) break
    checkSum(header)
    const size = octal(header, 124, 12)
    const body = reader.take(size, 'member')
    reader.skip(Math.min(reader.left, (BLOCK - (size % BLOCK)) % BLOCK))
    const type = text(header, 156, 1) || '\0'
    if (type === 'L') longName = text(body, 0, body.length)
    else if (type === 'K') longTarget = text(body, 0, body.length)
    else if (type !== 'x' && type !== 'g') {
      const prefix = text(header, 345, 155)
      const short = prefix === '' ? text(header, 0, 100) : `${prefix}/${text(header, 0, 100)}`
      members.push({
        path: cleanPath(longName ?? short),
        type: TYPES.get(type) ?? 'other',
        mode: octal(header, 100, 8) & 0o7777,
        target: longTarget ?? text(header, 157, 100),
        bytes: body,
      })
      longName = longTarget = undefined
    }
  }
  return members
}

function cleanPath(path: string): string {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.')
  if (parts.includes('..')) throw new WireError('tar of a package', `path ${JSON.stringify(path)} climbs out`)
  return parts.join('/')
}

function text(bytes: Uint8Array, at: number, length: number): string {
  const field = bytes.subarray(at, at + length)
  const end = field.indexOf(0)
  return new TextDecoder('latin1').decode(end < 0 ? field : field.subarray(0, end))
}

function octal(header: Uint8Array, at: number, length: number): number {
  const value = text(header, at, length).trim()
  if (!/^[0-7]{0,11}$/.test(value)) throw new WireError('tar of a package', `number ${JSON.stringify(value)}`)
  return value === '' ? 0 : Number.parseInt(value, 8)
}

function checkSum(header: Uint8Array): void {
  let sum = 0
  for (let i = 0; i < BLOCK; i++) sum += i >= 148 && i < 156 ? 0x20 : header[i]!
  if (sum !== octal(header, 148, 8)) throw new WireError('tar of a package', 'a header has a wrong checksum')
}
