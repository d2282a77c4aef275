/**
 * The magic packet of Wake-on-LAN (AMD publication 20213, "Magic Packet Technology"): six bytes FF, then sixteen times the MAC address of the card
 * that is to wake its machine. SecureOn adds a password of six bytes, or four in the notation of an IPv4 address, as ether-wake sends it.
 */
import { Reader, Writer, toHex, fromHex } from '../../base/bytes.ts'
import { WireError } from '../../base/errors.ts'

export interface MagicPacket {
  /** Six pairs of lower-case hexadecimal digits, separated by colons. */
  readonly mac: string
  /** SecureOn: 4 or 6 bytes. Secret. */
  readonly password?: Uint8Array
}

/** The discard service, where tools send magic packets today, and the echo service, where older ones do. Cards look at neither. */
export const WAKE_PORTS = [9, 7] as const

const WHAT = 'magic packet'
const REPETITIONS = 16

/** The payload of one UDP datagram: 102, 106 or 108 bytes. */
export function serializeMagicPacket({ mac, password }: MagicPacket): Uint8Array {
  const writer = new Writer(108).bytes(new Uint8Array(6).fill(0xff))
  const address = fromHex(mac.replaceAll(':', ''))
  for (let n = 0; n < REPETITIONS; n++) writer.bytes(address)
  if (password) writer.bytes(password)
  return writer.done()
}

/**
 * Reads a payload that is a magic packet and nothing else. (A card finds the pattern anywhere in a frame.)
 * @throws {WireError} when it does not begin with the six bytes, the addresses differ, or the rest is no password
 */
export function parseMagicPacket(bytes: Uint8Array): MagicPacket {
  const reader = new Reader(bytes, WHAT)
  if (reader.take(6, 'start').some((byte) => byte !== 0xff)) throw new WireError(WHAT, 'it does not begin with six FF')
  const address = toHex(reader.take(6, 'address'))
  for (let n = 1; n < REPETITIONS; n++) {
    const other = toHex(reader.take(6, 'address'))
    if (other !== address) throw new WireError(WHAT, `address ${n + 1} is ${other}, the first is ${address}`)
  }
  const mac = address.replace(/..(?!$)/g, '$&:')
  if (reader.left === 0) return { mac }
  if (reader.left !== 4 && reader.left !== 6)
    throw new WireError(WHAT, `${reader.left} bytes follow the addresses; a password has 4 or 6`)
  return { mac, password: reader.rest().slice() }
}

/** One line for a log. The password is never in it. */
export function describeMagicPacket({ mac, password }: MagicPacket): string {
  return `wake ${mac}${password ? ' with a password' : ''}`
}
