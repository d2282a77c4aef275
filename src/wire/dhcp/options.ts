/** The DHCP options that we know: one line each. The type of a packet's options is derived from this table. */
import { Reader, Writer } from '../../base/bytes.ts'
import { WireError } from '../../base/errors.ts'
import {
  clientUuid,
  ip,
  ips,
  messageType,
  presence,
  raw,
  text,
  u16,
  u16s,
  u32,
  u8,
  type ValueCodec,
} from './value-codec.ts'

export const OPTIONS = {
  subnetMask: { code: 1, codec: ip, ref: 'RFC 2132 §3.3' },
  router: { code: 3, codec: ips, ref: 'RFC 2132 §3.5' },
  nameServer: { code: 6, codec: ips, ref: 'RFC 2132 §3.8' },
  hostName: { code: 12, codec: text, ref: 'RFC 2132 §3.14' },
  domainName: { code: 15, codec: text, ref: 'RFC 2132 §3.17' },
  rootPath: { code: 17, codec: text, ref: 'RFC 2132 §3.19' },
  interfaceMtu: { code: 26, codec: u16, ref: 'RFC 2132 §5.1' },
  broadcastAddress: { code: 28, codec: ip, ref: 'RFC 2132 §5.3' },
  ntpServer: { code: 42, codec: ips, ref: 'RFC 2132 §8.3' },
  vendorSpecific: { code: 43, codec: raw, ref: 'RFC 2132 §8.4' },
  requestedAddress: { code: 50, codec: ip, ref: 'RFC 2132 §9.1' },
  leaseTime: { code: 51, codec: u32, ref: 'RFC 2132 §9.2, seconds' },
  overload: { code: 52, codec: u8, ref: 'RFC 2132 §9.3' },
  messageType: { code: 53, codec: messageType, ref: 'RFC 2132 §9.6' },
  serverId: { code: 54, codec: ip, ref: 'RFC 2132 §9.7' },
  parameterList: { code: 55, codec: raw, ref: 'RFC 2132 §9.8, one code a byte' },
  message: { code: 56, codec: text, ref: 'RFC 2132 §9.9' },
  maxMessageSize: { code: 57, codec: u16, ref: 'RFC 2132 §9.10, bytes with IP and UDP headers' },
  renewalTime: { code: 58, codec: u32, ref: 'RFC 2132 §9.11, seconds' },
  rebindingTime: { code: 59, codec: u32, ref: 'RFC 2132 §9.12, seconds' },
  vendorClass: { code: 60, codec: text, ref: 'RFC 2132 §9.13' },
  clientId: { code: 61, codec: raw, ref: 'RFC 2132 §9.14' },
  tftpServerName: { code: 66, codec: text, ref: 'RFC 2132 §9.4' },
  bootFileName: { code: 67, codec: text, ref: 'RFC 2132 §9.5' },
  userClass: { code: 77, codec: raw, ref: 'RFC 3004 §4, often plain text' },
  rapidCommit: { code: 80, codec: presence, ref: 'RFC 4039 §4' },
  relayAgent: { code: 82, codec: raw, ref: 'RFC 3046 §2, kept whole for its echo; see relay-agent.ts' },
  clientArch: { code: 93, codec: u16s, ref: 'RFC 4578 §2.1' },
  clientInterface: { code: 94, codec: raw, ref: 'RFC 4578 §2.2' },
  clientUuid: { code: 97, codec: clientUuid, ref: 'RFC 4578 §2.3' },
  subnetSelection: { code: 118, codec: ip, ref: 'RFC 3011 §2' },
  ipxe: { code: 175, codec: raw, ref: 'iPXE encapsulated options; see encapsulated.ts' },
} as const

type Table = typeof OPTIONS
export type OptionName = keyof Table

/** `{ router?: string[], leaseTime?: number, … }`, derived from the table. */
export type Options = { [K in OptionName]?: Table[K]['codec'] extends ValueCodec<infer T> ? T : never }

interface Row {
  readonly name: OptionName
  readonly code: number
  readonly codec: ValueCodec<unknown>
}
const ROWS: readonly Row[] = Object.entries(OPTIONS).map(([name, { code, codec }]) => ({
  name: name as OptionName,
  code,
  codec: codec as ValueCodec<unknown>,
}))
const BY_CODE = new Map(ROWS.map((row) => [row.code, row]))
const BY_NAME = new Map<string, Row>(ROWS.map((row) => [row.name, row]))

const PAD = 0
const END = 255

/** Values by code, as they stand in a field of options, not yet read. */
export type RawOptions = Map<number, Uint8Array[]>

/**
 * Adds the options of one field to `into`. Bytes after End, and a missing End, are let pass (docs/hardware.md).
 * @throws {WireError} when a length runs past the end of the field
 */
export function gatherOptions(bytes: Uint8Array, into: RawOptions, what = 'DHCP options'): void {
  const reader = new Reader(bytes, what)
  while (reader.left > 0) {
    const code = reader.u8()
    if (code === PAD) continue
    if (code === END) return
    const value = reader.take(reader.u8(`length of option ${code}`), `option ${code}`)
    const parts = into.get(code)
    if (parts) parts.push(value)
    else into.set(code, [value])
  }
}

/**
 * Reads what was gathered. A code that appears more than once is one long value (RFC 3396). Codes we do not know are skipped.
 * @throws {WireError} when a value has a size or content that its option cannot have
 */
export function readOptions(gathered: RawOptions): Options {
  const options: Record<string, unknown> = {}
  for (const [code, parts] of gathered) {
    const row = BY_CODE.get(code)
    if (row) options[row.name] = row.codec.read(join(parts), `DHCP option ${code} (${row.name})`)
  }
  return options as Options
}

/**
 * Parses one options field, without the magic cookie.
 * @throws {WireError} when a length runs past the end or a value has the wrong size
 */
export function parseOptions(bytes: Uint8Array): Options {
  const gathered: RawOptions = new Map()
  gatherOptions(bytes, gathered)
  return readOptions(gathered)
}

/**
 * The options as separate (code, length, value) items: message type first, since some firmware looks only there; relay agent
 * information last (RFC 3046 §2.1); the others in ascending code order. Values over 255 bytes are split (RFC 3396).
 */
export function optionItems(options: Options): Uint8Array[] {
  const rows = Object.keys(options).flatMap((name) => BY_NAME.get(name) ?? [])
  rows.sort((a, b) => rank(a.code) - rank(b.code))
  return rows.flatMap((row) => split(row.code, row.codec.write(options[row.name])))
}

/** One options field, ended by End, without the magic cookie. */
export function serializeOptions(options: Options): Uint8Array {
  const writer = new Writer()
  for (const item of optionItems(options)) writer.bytes(item)
  return writer.u8(END).done()
}

/** The name and meaning of a code, for logs: `hostName` or `option 201`. */
export function optionName(code: number): string {
  return BY_CODE.get(code)?.name ?? `option ${code}`
}

/** The code of an option of the table. */
export function optionCode(name: OptionName): number {
  return OPTIONS[name].code
}

function rank(code: number): number {
  return code === OPTIONS.messageType.code ? -1 : code === OPTIONS.relayAgent.code ? 256 : code
}

function split(code: number, value: Uint8Array): Uint8Array[] {
  const items: Uint8Array[] = []
  for (let at = 0; at === 0 || at < value.length; at += 255) {
    const part = value.subarray(at, at + 255)
    items.push(new Writer(part.length + 2).u8(code).u8(part.length).bytes(part).done())
  }
  return items
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  if (parts.length === 1) return parts[0]!
  const total = parts.reduce((sum, part) => sum + part.length, 0)
  if (total > 65_535) throw new WireError('DHCP options', `one option of ${total} bytes`)
  const writer = new Writer(total)
  for (const part of parts) writer.bytes(part)
  return writer.done()
}
