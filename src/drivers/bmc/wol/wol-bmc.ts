/**
 * Wake-on-LAN, as the power port: a magic packet can switch a machine on, and nothing else. No machine answers one, so that what
 * came of it is seen elsewhere (services/power/unseen.ts).
 */
import { createSocket } from 'node:dgram'
import { isIP } from 'node:net'
import { networkInterfaces } from 'node:os'
import ipaddr from 'ipaddr.js'
import { sleep } from '../../../base/clock.ts'
import { AppError } from '../../../base/errors.ts'
import type { Log } from '../../../base/log.ts'
import type { BmcPort } from '../../../services/power/power-port.ts'
import { describeMagicPacket, serializeMagicPacket, WAKE_PORTS, type MagicPacket } from '../../../wire/wol/packet.ts'
import { Turns } from '../turns.ts'

export interface WolUrl {
  readonly kind: 'wol'
  /** Empty: those of the machine. */
  readonly macs: readonly string[]
  /** Where the packets go; undefined: to the broadcast address of every interface. */
  readonly broadcast?: string
}

export interface WolBmcOptions {
  readonly macs: readonly string[]
  readonly broadcast?: string | undefined
  /** SecureOn: `00:22:44:66:88:aa` or `192.168.1.1`. */
  readonly password?: string | undefined
  readonly log: Log
  readonly ports?: readonly number[]
  /** How many operations may wait; default 16. */
  readonly maxWaiting?: number
}

export const WOL_FORM = 'wol:[MAC[,MAC]][?broadcast=ADDRESS]'

/** A datagram may be lost; a machine that is on minds no second one. */
const COPIES = 3
const COPY_PAUSE_MS = 50
const MAX_MACS = 8

/**
 * Reads `wol:`, `wol:MAC`, `wol:MAC,MAC?broadcast=10.0.3.255`; `//` after the colon is allowed.
 * @throws {AppError} `invalid`
 */
export function parseWolUrl(text: string): WolUrl {
  const wrong = (why: string) =>
    new AppError('invalid', `Cannot read BMC URL "${text}": ${why}; it looks like ${WOL_FORM}`)
  const parts = /^wol:(?:\/\/)?([^/?#]*)\/?(?:\?([^#]*))?$/.exec(text)
  if (!parts) throw wrong('there is more after the MAC addresses')
  const macs = parts[1] === '' ? [] : parts[1]!.split(',').map((mac) => mac.toLowerCase().replaceAll('-', ':'))
  const bad = macs.find((mac) => !/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(mac))
  if (bad !== undefined) throw wrong(`"${bad}" is not a MAC address`)
  if (macs.length > MAX_MACS) throw wrong(`it has more than ${MAX_MACS} MAC addresses`)
  const query = new URLSearchParams(parts[2] ?? '')
  const unknown = [...query.keys()].find((key) => key !== 'broadcast')
  if (unknown !== undefined) throw wrong(`"${unknown}" is no parameter`)
  const broadcast = query.get('broadcast') ?? undefined
  if (broadcast === undefined) return { kind: 'wol', macs }
  if (isIP(broadcast) !== 4) throw wrong(`"${broadcast}" is not an IPv4 address`)
  return { kind: 'wol', macs, broadcast }
}

/**
 * Wakes a machine by its network cards. `on` resolves when the packets are sent; the state is always `unknown`.
 * @throws {AppError} `invalid` when the password is not one of SecureOn
 */
export function createWolBmc({ macs, broadcast, ports = WAKE_PORTS, log, ...options }: WolBmcOptions): BmcPort {
  const address = `wol:${macs.join(',')}`
  const password = options.password === undefined ? undefined : parseSecureOn(options.password)
  const turns = new Turns(address, options.maxWaiting ?? 16)

  async function wake(signal?: AbortSignal): Promise<void> {
    const targets = broadcast === undefined ? broadcastAddresses() : [broadcast]
    if (targets.length === 0)
      throw new AppError(
        'unreachable',
        `Cannot wake "${address}": no interface of the server has an IPv4 address to broadcast from; name one with ?broadcast=ADDRESS`,
      )
    const packets = macs.map((mac): MagicPacket => (password ? { mac, password } : { mac }))
    for (let copy = 0; copy < COPIES; copy++) {
      if (copy > 0) await sleep(COPY_PAUSE_MS, signal)
      const sent = await Promise.allSettled(
        targets.flatMap((target) => packets.map((packet) => sendTo(target, ports, serializeMagicPacket(packet)))),
      )
      // One interface that is down is no failure where another one carries the packet.
      const failures = sent.filter((result) => result.status === 'rejected')
      if (failures.length === sent.length)
        throw new AppError('unreachable', `Cannot wake "${address}": nothing could be sent to ${targets.join(', ')}`, {
          cause: failures[0]?.reason,
        })
    }
    log.debug('magic packets sent', { packets: packets.map(describeMagicPacket), targets })
  }

  return {
    can: new Set(['power-on']),
    address,
    status: (signal) => turns.take(() => Promise.resolve('unknown' as const), signal),
    set: (action, signal) =>
      turns.take(() => {
        if (action === 'on') return wake(signal)
        throw cannot(address, `switch a machine off`)
      }, signal),
    setBoot: (_override, signal) =>
      turns.take(() => Promise.reject(cannot(address, 'choose what a machine boots from')), signal),
    [Symbol.asyncDispose]: () => turns.close(() => Promise.resolve()),
  }
}

/**
 * The broadcast address of each IPv4 network that this system is on. Not 255.255.255.255: the kernel sends that one out of one
 * interface only, that of the default route.
 */
export function broadcastAddresses(interfaces = networkInterfaces()): string[] {
  const all = Object.values(interfaces).flatMap((addresses) => addresses ?? [])
  const broadcasts = all.flatMap(({ family, internal, cidr }) => {
    if (family !== 'IPv4' || internal || cidr === null || /\/3[12]$/.test(cidr)) return []
    return [ipaddr.IPv4.broadcastAddressFromCIDR(cidr).toString()]
  })
  return [...new Set(broadcasts)]
}

async function sendTo(target: string, ports: readonly number[], bytes: Uint8Array): Promise<void> {
  const socket = createSocket('udp4')
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject)
      socket.bind(resolve)
    })
    socket.setBroadcast(true)
    for (const port of ports)
      await new Promise<void>((resolve, reject) =>
        socket.send(bytes, port, target, (error) => (error ? reject(error) : resolve())),
      )
  } finally {
    socket.close()
  }
}

function parseSecureOn(text: string): Uint8Array {
  if (/^([0-9a-f]{2}[:-]){5}[0-9a-f]{2}$/i.test(text)) return Uint8Array.fromHex(text.replaceAll(/[:-]/g, ''))
  if (isIP(text) === 4) return Uint8Array.from(text.split('.').map(Number))
  throw new AppError(
    'invalid',
    'Cannot use this password for Wake-on-LAN: one of SecureOn looks like 00:22:44:66:88:aa or 192.168.1.1',
  )
}

function cannot(address: string, what: string): AppError {
  return new AppError('unsupported', `Cannot ${what} by "${address}": Wake-on-LAN can only switch on`)
}
