/** The rack's network inside its namespace: a bridge with our addresses, a tap for each machine, an address for each BMC. */
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { AppError, explain } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { type MachineSpec, NETWORK, tapName } from './plan.ts'

const { bridge } = NETWORK

/**
 * Input of `ip -batch` for IPv4 and the devices. Multicast snooping is off: there is no querier on this bridge. The pair of
 * `always-on` devices keeps the bridge running, as a switch does, when no machine is on: a program that lists interfaces leaves
 * out one without carrier.
 */
export function networkCommands(machines: readonly MachineSpec[]): string[] {
  return [
    'link set lo up',
    `link add ${bridge} address ${NETWORK.mac} type bridge stp_state 0 forward_delay 0 mcast_snooping 0`,
    `link set ${bridge} addrgenmode none`,
    `addr add ${NETWORK.gateway}/${NETWORK.prefixLength} brd + dev ${bridge}`,
    `link set ${bridge} up`,
    'link add always-on type veth peer name always-on-end',
    `link set always-on addrgenmode none master ${bridge} up`,
    // It hears what the bridge floods, and must neither answer for the gateway nor learn who is there.
    'link set always-on-end addrgenmode none arp off up',
    ...machines
      .map(({ index }) => tapName(index))
      .flatMap((tap) => [
        `tuntap add dev ${tap} mode tap`,
        `link set ${tap} addrgenmode none`,
        `link set ${tap} master ${bridge} up`,
      ]),
  ]
}

/** IPv6 addresses are there at once: without duplicate address detection, on a link where we give out all of them. */
export function network6Commands(): string[] {
  return [NETWORK.linkLocal, NETWORK.gateway6].map((address) => `addr add ${address}/64 dev ${bridge} nodad`)
}

/** @throws {AppError} unsupported, with what `ip` said */
export async function setUpNetwork(machines: readonly MachineSpec[], log: Log): Promise<void> {
  await ipBatch(networkCommands(machines))
  try {
    await ipBatch(network6Commands())
  } catch (cause) {
    log.warn('no IPv6 in the rack', { cause: explain(cause) })
  }
}

/** Adds or removes the address of a BMC: one that has no power does not even answer ARP. */
export async function setBmcAddress(address: string, isThere: boolean): Promise<void> {
  await ipBatch([`addr ${isThere ? 'replace' : 'delete'} ${address}/${NETWORK.prefixLength} dev ${bridge}`])
}

/** Whether something is bound to this UDP address and port, in the network of the caller. */
export function isUdpBound(address: string, port: number): boolean {
  const bytes = address.split('.').map((part) => Number(part))
  // The kernel prints the address as a number in host order: reversed on the little-endian machines that QEMU's line is for.
  const hex = (values: readonly number[]): string => values.map((value) => value.toString(16).padStart(2, '0')).join('')
  const wanted = `${hex(bytes.toReversed())}:${port.toString(16).padStart(4, '0')}`.toUpperCase()
  return readFileSync('/proc/net/udp', 'latin1').includes(` ${wanted} `)
}

async function ipBatch(commands: readonly string[]): Promise<void> {
  const child = spawn('ip', ['-batch', '-'], { stdio: ['pipe', 'ignore', 'pipe'] })
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  child.stdin.on('error', () => undefined)
  child.stdin.end(`${commands.join('\n')}\n`)
  const [code, complaint] = await Promise.all([ended, text(child.stderr)])
  if (code === 0) return
  throw new AppError(
    'unsupported',
    `Cannot set up the network of the rack: ip said "${complaint.trim().split('\n', 1)[0]}"`,
  )
}
