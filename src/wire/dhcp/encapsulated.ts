/**
 * Options within an option: relay agent information (82), PXE vendor options (43), iPXE's own (175). All have the same
 * shape, (code, length, value); only 43 and 175 know Pad and End.
 */
import { Reader, Writer } from '../../base/bytes.ts'
import { readIpv4 } from './value-codec.ts'

/** Sub-options by code. A code that comes twice keeps its first value. */
export type SubOptions = ReadonlyMap<number, Uint8Array>

/** Relay agent sub-options, RFC 3046 §2.0, RFC 3527 §3. */
export interface RelayAgent {
  readonly circuitId?: Uint8Array
  readonly remoteId?: Uint8Array
  /** The subnet that the client sits on, where giaddr does not say it. */
  readonly linkSelection?: string
}

/**
 * Reads option 82. It has neither Pad nor End (RFC 3046 §2.0).
 * @throws {WireError} when a length runs past the end
 */
export function parseRelayAgent(bytes: Uint8Array): RelayAgent {
  const found = parseSubOptions(bytes, 'relay agent information (option 82)', false)
  const circuitId = found.get(1)
  const remoteId = found.get(2)
  const link = found.get(5)
  return {
    ...(circuitId && { circuitId }),
    ...(remoteId && { remoteId }),
    ...(link && { linkSelection: readIpv4(new Reader(link, 'link selection (option 82.5)'), 'address') }),
  }
}

/**
 * Reads an encapsulated option field of 43 or 175, Pad and End included.
 * @throws {WireError} when a length runs past the end
 */
export function parseEncapsulated(bytes: Uint8Array, what: string): SubOptions {
  return parseSubOptions(bytes, what, true)
}

/** @throws {RangeError} when a value is longer than 255 bytes */
export function serializeEncapsulated(subOptions: SubOptions, { end }: { end: boolean }): Uint8Array {
  const writer = new Writer()
  for (const [code, value] of subOptions) {
    if (value.length > 255) throw new RangeError(`Cannot write sub-option ${code}: ${value.length} bytes, 255 at most`)
    writer.u8(code).u8(value.length).bytes(value)
  }
  if (end) writer.u8(255)
  return writer.done()
}

/**
 * PXE vendor options that say: do not look for boot servers, fetch the boot file that this packet names.
 * PXE 2.1 §2.2.3, tag 6 PXE_DISCOVERY_CONTROL, bit 3.
 */
export const PXE_TAKE_BOOT_FILE: Uint8Array = serializeEncapsulated(new Map([[6, Uint8Array.of(8)]]), { end: true })

/** iPXE option 176 `no-pxedhcp`: without it iPXE waits about 3 s for a proxy DHCP offer. */
export const IPXE_NO_PROXY: Uint8Array = serializeEncapsulated(new Map([[176, Uint8Array.of(1)]]), { end: false })

function parseSubOptions(bytes: Uint8Array, what: string, hasPadAndEnd: boolean): SubOptions {
  const reader = new Reader(bytes, what)
  const found = new Map<number, Uint8Array>()
  while (reader.left > 0) {
    const code = reader.u8()
    if (hasPadAndEnd && code === 0) continue
    if (hasPadAndEnd && code === 255) break
    const value = reader.take(reader.u8(`length of sub-option ${code}`), `sub-option ${code}`)
    if (!found.has(code)) found.set(code, value.slice())
  }
  return found
}
