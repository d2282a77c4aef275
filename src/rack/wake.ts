/**
 * Wake-on-LAN: the network cards of machines that are off. A card looks at frames, and this process at what they carry: the datagrams to
 * the ports where tools send magic packets, which the bridge brings here as it brings them to every machine.
 */
import { createSocket } from 'node:dgram'
import { explain, WireError } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { parseMagicPacket, WAKE_PORTS } from '../wire/wol/packet.ts'
import type { VirtualMachine } from './machine.ts'

/** Longest datagram that is looked at: a magic packet has 108 bytes. */
const BYTES_MAX = 256

/** Listens until disposed, and switches on the machine whose MAC a magic packet has, when that one is off and has mains power. */
export async function listenForMagicPackets(machines: readonly VirtualMachine[], log: Log): Promise<AsyncDisposable> {
  await using stack = new AsyncDisposableStack()
  for (const port of WAKE_PORTS) {
    const socket = createSocket({ type: 'udp4', reuseAddr: true })
    stack.defer(() => new Promise<void>((resolve) => socket.close(() => resolve())))
    socket.on('message', (bytes) => wake(bytes, machines, log))
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject)
      socket.bind(port, () => {
        socket.off('error', reject)
        socket.on('error', (cause) => log.warn('wake socket failed', { port, cause: explain(cause) }))
        resolve()
      })
    })
  }
  return stack.move()
}

/** What a datagram does: nothing when it is no magic packet for a machine that sleeps. */
export function wake(bytes: Uint8Array, machines: readonly VirtualMachine[], log: Log): void {
  if (bytes.length > BYTES_MAX) return
  try {
    const { mac } = parseMagicPacket(bytes)
    const machine = machines.find(({ spec }) => spec.mac === mac)
    if (machine === undefined || machine.isOn || !machine.isPlugged) return
    machine.command('power-on', 'wol').catch((cause: unknown) => log.warn('not woken', { mac, cause: explain(cause) }))
  } catch (error) {
    if (!(error instanceof WireError)) throw error
    log.debug('no magic packet', { why: error.message })
  }
}
