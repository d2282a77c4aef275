/** Channels of a BMC, and how those to a LAN are set up (IPMI v2.0 rev 1.1 §22.24, §23.2 and table 23-4). */
import { Reader, Writer } from '../../base/bytes.ts'
import { WireError } from '../../base/errors.ts'
import { command, type Codec } from './command.ts'
import { NET_FN } from './message.ts'
import { THIS_CHANNEL } from './user-commands.ts'

/** Channels that may be a LAN: 0 is the IPMB, 0Ch to 0Fh have meanings of their own (§6.3). */
export const FIRST_CHANNEL = 1
export const LAST_CHANNEL = 0x0b
/** Channel medium type "802.3 LAN" (table 6-3). */
export const LAN_MEDIUM = 4

/** Parameters of a LAN channel (table 23-4). */
export const LAN_PARAMETER = {
  ip: 3,
  mac: 5,
  netmask: 6,
  rmcpPort: 8,
  gateway: 12,
  vlan: 20,
  suiteCount: 22,
  suiteIds: 23,
  suitePrivileges: 24,
  ipv6Status: 55,
  ipv6Static: 56,
  ipv6Dynamic: 59,
} as const

const channelRequest: Codec<number> = {
  read: (bytes) => new Reader(bytes, 'Get Channel Info').u8('channel') & 0x0f,
  write: (channel) => Uint8Array.of(channel),
}
const channelAnswer: Codec<{ channel: number; medium: number }> = {
  read(bytes) {
    const r = new Reader(bytes, 'Channel Info')
    return { channel: r.u8('channel') & 0x0f, medium: r.u8('medium') & 0x7f }
  },
  write: (v) =>
    new Writer()
      .u8(v.channel)
      .u8(v.medium)
      .u8(1)
      .u8(0x80)
      .bytes(Uint8Array.of(0xf2, 0x1b, 0, 0, 0))
      .done(),
}

/** `set`: of a parameter that there is several times, which. */
const lanRequest: Codec<{ channel?: number; parameter: number; set?: number }> = {
  read(bytes) {
    const r = new Reader(bytes, 'Get LAN Configuration Parameters')
    return { channel: r.u8('channel') & 0x0f, parameter: r.u8('parameter'), set: r.u8('set selector') }
  },
  write: (q) => Uint8Array.of(q.channel ?? THIS_CHANNEL, q.parameter, q.set ?? 0, 0),
}
const lanAnswer: Codec<Uint8Array> = {
  read(bytes) {
    const r = new Reader(bytes, 'LAN Configuration Parameter')
    r.skip(1, 'revision')
    if (r.left > 64) throw new WireError('LAN Configuration Parameter', `${r.left} bytes, more than 64`)
    return r.rest()
  },
  write: (data) => Uint8Array.of(0x11, ...data),
}

/**
 * The highest level that each suite gives, of the values of LAN parameters 23 and 24: the n-th suite's is the n-th group of
 * four bits, 0 for none. @returns suite id → level by number
 */
export function suitePrivileges(ids: Uint8Array, privileges: Uint8Array): Map<number, number> {
  const levels = new Map<number, number>()
  // Both begin with a reserved byte.
  for (let n = 0; n < Math.min(16, ids.length - 1); n++) {
    const pair = privileges[1 + (n >> 1)]
    if (pair !== undefined) levels.set(ids[1 + n]!, (n & 1) === 0 ? pair & 0x0f : pair >> 4)
  }
  return levels
}

/** `10.0.3.7`; undefined for 0.0.0.0, which stands for none. @throws {WireError} */
export function parseIpv4Parameter(data: Uint8Array): string | undefined {
  const bytes = new Reader(data, 'IPv4 parameter').take(4, 'address')
  return bytes.every((byte) => byte === 0) ? undefined : bytes.join('.')
}

/** Lower case with colons; undefined for the one that is all zeros. @throws {WireError} */
export function parseMacParameter(data: Uint8Array): string | undefined {
  const bytes = new Reader(data, 'MAC parameter').take(6, 'address')
  return bytes.every((byte) => byte === 0) ? undefined : Array.from(bytes, hex2).join(':')
}

/** The VLAN that a channel is on; undefined for none (bit 15). @throws {WireError} */
export function parseVlanParameter(data: Uint8Array): number | undefined {
  const value = new Reader(data, 'VLAN parameter').u16le('id')
  return (value & 0x8000) === 0 ? undefined : value & 0x0fff
}

/** How many static and dynamic IPv6 addresses a channel has room for (parameter 55). @throws {WireError} */
export function parseIpv6Status(data: Uint8Array): { statics: number; dynamics: number } {
  const r = new Reader(data, 'IPv6 status')
  return { statics: r.u8('static addresses'), dynamics: r.u8('dynamic addresses') }
}

/**
 * An address of parameter 56 or 59, in eight groups; undefined where it is none or not in use (status 0 is "active").
 * @throws {WireError}
 */
export function parseIpv6Parameter(data: Uint8Array): string | undefined {
  const r = new Reader(data, 'IPv6 parameter')
  r.skip(2, 'set selector and source')
  const bytes = r.take(16, 'address')
  r.skip(1, 'prefix')
  if (r.u8('status') !== 0 || bytes.every((byte) => byte === 0)) return undefined
  const groups = Array.from({ length: 8 }, (_, n) => ((bytes[2 * n]! << 8) | bytes[2 * n + 1]!).toString(16))
  return groups.join(':')
}

function hex2(byte: number): string {
  return byte.toString(16).padStart(2, '0')
}

const { app, transport } = NET_FN

export const LAN_COMMANDS = {
  getChannelInfo: command('Get Channel Info', app, 0x42, 'user', true, '§22.24', channelRequest, channelAnswer),
  getLanParameter: command(
    'Get LAN Configuration Parameters',
    transport,
    0x02,
    'operator',
    true,
    '§23.2',
    lanRequest,
    lanAnswer,
  ),
} as const
