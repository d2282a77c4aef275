/**
 * Whether a machine is on its network, for those whose BMC cannot say. A TCP connection is tried; what is believed is the answer, or
 * what the kernel learned on the way: a system that drops what it does not know still answers ARP, and one that is off does not.
 */
import { readFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { AppError, systemCode } from '../../base/errors.ts'
import type { PowerState } from '../../services/power/power-port.ts'

export interface PresenceOptions {
  /**
   * How long a connection may take, milliseconds. Default 10 s: an entry of the ARP table that was good is asked about again
   * 5 s after it was used, three times, one second apart (Linux arp(7): delay_first_probe_time, ucast_solicit, retrans_time).
   */
  readonly timeoutMs?: number
}

/**
 * @param target where it would answer  @param macs its network cards: whatever else answers there is not it
 * @returns `on` when it answers; `off` when nothing on our own network has the address; otherwise `unknown`
 */
export async function presenceOf(
  target: { readonly ip: string; readonly port: number },
  macs: readonly string[],
  signal?: AbortSignal,
  { timeoutMs = 10_000 }: PresenceOptions = {},
): Promise<PowerState> {
  const isAnswered = await answers(target, timeoutMs, signal)
  const neighbour = neighbourIn(await readFile('/proc/net/arp', 'latin1').catch(() => ''), target.ip)
  if (!neighbour) return isAnswered ? 'on' : 'unknown'
  if (!neighbour.isComplete) return isAnswered ? 'on' : 'off'
  return macs.includes(neighbour.mac) ? 'on' : 'unknown'
}

/**
 * The entry of an address in the text of /proc/net/arp (proc_net(5)). `isComplete`: somebody has answered for it. Another interface may
 * have an entry of a system that it heard long ago: one that is not complete is of the interface that was just asked on.
 */
export function neighbourIn(text: string, ip: string): { mac: string; isComplete: boolean } | undefined {
  let found: { mac: string; isComplete: boolean } | undefined
  for (const line of text.split('\n').slice(1)) {
    const [address, , flags, mac] = line.split(/\s+/)
    if (address !== ip || flags === undefined || mac === undefined) continue
    // ATF_COM of linux/if_arp.h.
    const isComplete = (Number(flags) & 0x02) !== 0
    if (!found || !isComplete) found = { mac: mac.toLowerCase(), isComplete }
  }
  return found
}

function answers(target: { ip: string; port: number }, timeoutMs: number, signal?: AbortSignal): Promise<boolean> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted()
    const socket = connect({ host: target.ip, port: target.port })
    const stop = (): void => done(() => reject(signal?.reason as Error))
    const timer = setTimeout(() => done(() => resolve(false)), timeoutMs)
    const done = (settle: () => void): void => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', stop)
      socket.destroy()
      settle()
    }
    signal?.addEventListener('abort', stop, { once: true })
    socket.once('connect', () => done(() => resolve(true)))
    socket.once('error', (error) => {
      const code = systemCode(error)
      if (code === 'ENETUNREACH' || code === 'ENETDOWN')
        return done(() =>
          reject(
            new AppError('unreachable', `Cannot see whether "${target.ip}" is on: the server has no way there`, {
              cause: error,
            }),
          ),
        )
      done(() => resolve(code === 'ECONNREFUSED' || code === 'ECONNRESET'))
    })
  })
}
