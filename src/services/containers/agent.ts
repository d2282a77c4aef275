/** Working with the agent on a container's machine: the session, the workload's output, commands beside the workload. */
import { fromHex } from '../../base/bytes.ts'
import { sleep } from '../../base/clock.ts'
import { AppError, explain } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import { publicKeyBlob } from '../../formats/ssh/keys.ts'
import { AGENT_PORT } from '../boot/spec.ts'
import type { BootStore } from '../boot/ports.ts'
import type { Live } from './live.ts'
import type { GuestPort, GuestProcess, GuestSession, LogStore, LogStream } from './ports.ts'

export interface AgentDeps {
  readonly log: Log
  readonly guest: GuestPort
  readonly boots: BootStore
  readonly logs: LogStore
}

/** After so many bytes have been stored, the machine may forget them. */
const TRIM_BYTES = 256 * 1024
const RECONNECT_MS = 1000

export type Agent = ReturnType<typeof createAgent>

export function createAgent({ log, guest, boots, logs }: AgentDeps) {
  const connecting = new WeakMap<Live, Promise<GuestSession>>()

  /**
   * The session with a container's machine, made when there is none.
   * @throws {AppError} unreachable while the machine is not up; bad_peer when another machine answers
   */
  async function sessionOf(live: Live): Promise<GuestSession> {
    if (live.session && !live.session.closed.aborted) return live.session
    const underWay = connecting.get(live) ?? connect(live)
    connecting.set(live, underWay)
    try {
      live.session = await underWay
      return live.session
    } finally {
      connecting.delete(live)
    }
  }

  async function connect(live: Live): Promise<GuestSession> {
    const boot = await boots.byContainer(live.containerId)
    if (!boot?.claimedBy)
      throw new AppError('unreachable', `Cannot reach the machine of container "${short(live)}": it has not booted yet`)
    return guest.connect(
      {
        ip: boot.claimedBy,
        port: AGENT_PORT,
        hostKey: publicKeyBlob(fromHex(boot.hostKeyPublic)),
        clientKey: boot.clientKey,
      },
      live.signal,
    )
  }

  /**
   * Stores a stream's bytes from where the log ends until the workload has ended and all were sent.
   * @param from where in the log the output of this boot begins
   */
  async function follow(live: Live, stream: LogStream, from: number): Promise<void> {
    const session = await sessionOf(live)
    let offset = Math.max(0, (await logs.size(live.containerId, stream)) - from)
    let trimmed = offset
    await using process = await session.run(['follow', stream, String(offset)])
    for await (const bytes of process.stdout) {
      await logs.append(live.containerId, stream, from + offset, bytes)
      offset += bytes.length
      if (offset - trimmed < TRIM_BYTES) continue
      trimmed = offset
      await command(session, ['trim', stream, String(offset)])
    }
    if ((await process.exit) !== 0)
      throw new AppError('unreachable', `Cannot follow ${stream}: the connection was lost`)
  }

  /** Runs a short command of the agent. @returns what it printed @throws {AppError} bad_peer with what it said */
  async function command(session: GuestSession, words: readonly string[]): Promise<string> {
    await using process = await session.run(words)
    process.endInput()
    const [out, err] = await Promise.all([text(process.stdout), text(process.stderr)])
    const code = await process.exit
    if (code !== 0)
      throw new AppError('bad_peer', `Cannot do "${words[0]}" on the machine: ${err.trim() || `exit status ${code}`}`)
    return out
  }

  return {
    sessionOf,
    command: async (live: Live, words: readonly string[]): Promise<string> => command(await sessionOf(live), words),
    run: async (live: Live, words: readonly string[], tty?: Tty): Promise<GuestProcess> =>
      (await sessionOf(live)).run(words, tty ? { tty } : {}),

    /**
     * Stores all output of the workload, going on after lost connections and while it cannot be stored: the machine keeps what
     * was not stored. Returns when the workload has ended and all is stored, or `signal` aborts.
     */
    async collect(live: Live, streams: readonly OutputStream[], signal: AbortSignal): Promise<void> {
      await Promise.all(
        streams.map(async ({ stream, from }) => {
          for (let tries = 0; !signal.aborted; tries++) {
            try {
              return await follow(live, stream, from)
            } catch (error) {
              if (signal.aborted) return
              const fields = { containerId: live.containerId, stream, why: explain(error) }
              // A machine that cannot be reached yet is no news; what cannot be stored is, once.
              if (error instanceof AppError || tries > 0) log.debug('output not followed', fields)
              else log.warn('output not stored; trying again', fields)
              await sleep(RECONNECT_MS, signal).catch(() => {})
            }
          }
        }),
      )
    },
  }
}

/** A stream of output, and where in the log that of this boot begins. */
export interface OutputStream {
  readonly stream: 'stdout' | 'stderr'
  readonly from: number
}

export interface Tty {
  readonly rows: number
  readonly columns: number
  readonly term: string
}

async function text(stream: AsyncIterable<Uint8Array>): Promise<string> {
  const parts: Uint8Array[] = []
  for await (const part of stream) parts.push(part)
  return Buffer.concat(parts).toString('utf8')
}

function short(live: Live): string {
  return live.containerId.slice(0, 12)
}
