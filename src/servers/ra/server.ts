/**
 * Tells machines that there is nothing to wait for in IPv6. iPXE holds "Configuring" open for some 12 s until a router has advertised
 * itself; an advertisement with no prefix, no flags and lifetime 0 ends the wait and changes nothing else on the network: nobody takes us
 * for a router, nobody makes an address (RFC 4861 §4.2).
 */
import { readFile } from 'node:fs/promises'
import { setInterval as every } from 'node:timers/promises'
import { AppError, WireError } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import { aborted, isAbort, type Task } from '../../base/task.ts'
import { parseNdp, serializeNdp, type PrefixInformation } from '../../wire/ndp/packet.ts'
import { ALL_NODES, openNdpSocket, type NdpSocket } from './socket.ts'

export interface RaConfig {
  readonly interfaceName: string
  /** Prefixes to advertise, for a site that wants machines to have IPv6 addresses; none, if nothing is said. */
  readonly prefixes?: readonly PrefixInformation[]
}

/** How often the socket is looked at: Node cannot wait on a raw socket, and 50 ms are nothing in a boot. */
const LOOK_EVERY_MS = 50
/** Unsolicited advertisements, for a client whose solicitation was lost. */
const SEND_EVERY_MS = 4000
/** Solicitations answered at one look; more is a flood, and one multicast serves them all. */
const MAX_ANSWERS = 16

/** The bytes of the advertisement. @param mac of our interface, `52:54:00:12:34:56`, if it has one */
export function advertisement(mac: string | undefined, prefixes: readonly PrefixInformation[]): Uint8Array {
  const sourceMac = mac && mac !== '00:00:00:00:00:00' ? Uint8Array.fromHex(mac.replaceAll(':', '')) : undefined
  return serializeNdp({
    type: 'advertisement',
    hopLimit: 0,
    isManaged: false,
    hasOther: false,
    routerSeconds: 0,
    reachableMs: 0,
    retransmitMs: 0,
    prefixes,
    ...(sourceMac && { sourceMac }),
  })
}

/**
 * The server as a task. Where it cannot work (no `node:ffi`, no IPv6) it says so once and rests: machines boot, only slower.
 */
export function createRaServer(config: RaConfig, { log }: { readonly log: Log }): Task {
  return {
    name: `ra ${config.interfaceName}`,
    async run(signal, ready) {
      const socket = await tryOpen(config.interfaceName, log)
      ready()
      if (!socket) return aborted(signal)
      await using held = socket
      const mac = await macOf(config.interfaceName)
      const bytes = advertisement(mac, config.prefixes ?? [])
      log.info('advertising that IPv6 has nothing to wait for', { interface: config.interfaceName })
      let sentAtMs = -Infinity
      const send = (to: Uint8Array) => {
        const why = held.send(bytes, to)
        // Right after an interface came up its link-local address is still being checked.
        if (why !== undefined) log.debug('router advertisement not sent', { why })
        else if (to === ALL_NODES) sentAtMs = performance.now()
      }
      try {
        for await (const _ of every(LOOK_EVERY_MS, undefined, { signal })) {
          for (const to of solicitors(held, log)) send(to)
          if (performance.now() - sentAtMs >= SEND_EVERY_MS) send(ALL_NODES)
        }
      } catch (error) {
        if (!isAbort(error, signal)) throw error
      }
    },
  }
}

/** Not by `networkInterfaces()`, which leaves out an interface without a carrier. */
async function macOf(interfaceName: string): Promise<string | undefined> {
  const text = await readFile(`/sys/class/net/${interfaceName}/address`, 'utf8').catch(() => '')
  return /^([\da-f]{2}:){5}[\da-f]{2}$/.exec(text.trim())?.[0]
}

async function tryOpen(interfaceName: string, log: Log): Promise<NdpSocket | undefined> {
  try {
    return await openNdpSocket(interfaceName)
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    log.warn('no router advertisements: iPXE will wait some 12 s longer', { why: error.message })
    return undefined
  }
}

/** Who asked since the last look; a client without an address yet (`::`) is answered through all nodes. */
function solicitors(socket: NdpSocket, log: Log): Uint8Array[] {
  const found: Uint8Array[] = []
  for (let n = 0; n < MAX_ANSWERS; n++) {
    const message = socket.receive()
    if (!message) break
    try {
      if (parseNdp(message.bytes).type === 'solicitation')
        found.push(message.from.every((byte) => byte === 0) ? ALL_NODES : message.from)
    } catch (error) {
      if (!(error instanceof WireError)) throw error
      log.debug('ignored', { why: error.message })
    }
  }
  return found
}
