/** The `ar` archive that a Debian package is (deb(5), ar(5)): a magic line, then members with a header of 60 ASCII bytes. */
import { Reader } from '../../base/bytes.ts'
import { WireError } from '../../base/errors.ts'

export interface ArMember {
  readonly name: string
  readonly bytes: Uint8Array
}

const MAGIC = '!<arch>\n'
/** A package has three members; some carry a signature beside them. */
const MEMBERS_MAX = 16

/**
 * The members in their order; their bytes are views on the input.
 * @throws {WireError} when a header is broken, a size runs past the end, or there are more than 16 members
 */
export function parseAr(bytes: Uint8Array): ArMember[] {
  const reader = new Reader(bytes, 'ar archive')
  if (reader.latin1(MAGIC.length, 'magic') !== MAGIC) throw new WireError('ar archive', 'no !<arch> at its start')
  const members: ArMember[] = []
  while (reader.left > 0) {
    if (members.length === MEMBERS_MAX) throw new WireError('ar archive', `more than ${MEMBERS_MAX} members`)
    const header = reader.latin1(60, 'member header')
    const size = header.slice(48, 58).trimEnd()
    if (!/^\d{1,10}$/.test(size) || header.slice(58) !== '`\n')
      throw new WireError('ar archive', `header of member ${members.length + 1} is broken`)
    const name = header.slice(0, 16).trimEnd().replace(/\/$/, '')
    const body = reader.take(Number(size), `member ${JSON.stringify(name)}`)
    if (body.length % 2 === 1 && reader.left > 0) reader.skip(1, 'padding')
    members.push({ name, bytes: body })
  }
  return members
}
