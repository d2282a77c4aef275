/**
 * Looks for Redfish services by SSDP (DSP0266 §12): one question to a group that every service on the network listens to. It goes out by
 * every network interface with an IPv4 address; no router carries it further than its hop limit. Nothing is sent to who answers.
 */
import { createSocket, type Socket } from 'node:dgram'
import { networkInterfaces } from 'node:os'
import { sleep } from '../../base/clock.ts'
import { WireError } from '../../base/errors.ts'
import type { SsdpFound } from '../../services/discovery/ports.ts'
import {
  isRedfish,
  parseSsdpAnswer,
  REDFISH_TARGET,
  serializeSearch,
  SSDP_GROUP,
  SSDP_PORT,
} from '../../wire/ssdp/ssdp.ts'

/** As UPnP has it. */
const HOP_LIMIT = 2
/** Datagrams get lost: the question is asked so often within its time. */
const ROUNDS = 3
/** A flood of answers ends the search. */
const MAX_FOUND = 65_536

/**
 * Yields each address that said it has a Redfish service, once its time is over. Where it says that the service is by its own address,
 * with port and scheme; what it says of other addresses is not followed.
 * @param timeoutMs for all of it, milliseconds
 */
export async function* scanSsdp(timeoutMs: number, signal: AbortSignal): AsyncGenerator<SsdpFound, void, undefined> {
  const found = new Map<string, SsdpFound>()
  const hear = (bytes: Uint8Array, { address }: { address: string }): void => {
    const one = foundBy(bytes, address)
    if (one && found.size < MAX_FOUND) found.set(`${address} ${one.port}`, one)
  }
  await using stack = new AsyncDisposableStack()
  const sockets: Socket[] = []
  for (const address of ownAddresses()) {
    const socket = await openOn(address)
    if (!socket) continue
    stack.defer(() => new Promise<void>((resolve) => void socket.close(() => resolve())))
    socket.on('message', hear)
    sockets.push(socket)
  }
  const roundMs = timeoutMs / ROUNDS
  const question = serializeSearch(REDFISH_TARGET, Math.min(5, Math.max(1, Math.floor(roundMs / 1000))))
  for (let round = 0; round < ROUNDS; round++) {
    for (const socket of sockets) socket.send(question, SSDP_PORT, SSDP_GROUP, () => {})
    await sleep(roundMs, signal)
  }
  yield* found.values()
}

function foundBy(bytes: Uint8Array, address: string): SsdpFound | undefined {
  try {
    const answer = parseSsdpAnswer(bytes)
    if (!isRedfish(answer)) return undefined
    const url = answer.url === undefined ? undefined : new URL(answer.url)
    const isOwn = url?.hostname === address
    const plainHttp = isOwn && url.protocol === 'http:'
    const port = isOwn && url.port !== '' ? Number(url.port) : plainHttp ? 80 : 443
    return { address, port, plainHttp }
  } catch (error) {
    if (error instanceof WireError) return undefined
    throw error
  }
}

function ownAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((all) =>
    (all ?? []).flatMap(({ family, internal, address }) => (family === 'IPv4' && !internal ? [address] : [])),
  )
}

/** A socket that asks by the interface with this address; undefined where the interface takes no multicast. */
async function openOn(address: string): Promise<Socket | undefined> {
  const socket = createSocket('udp4')
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject)
      socket.bind(0, address, resolve)
    })
    socket.setMulticastInterface(address)
    socket.setMulticastTTL(HOP_LIMIT)
    socket.removeAllListeners('error').on('error', () => {})
    return socket
  } catch {
    socket.close()
    return undefined
  }
}
