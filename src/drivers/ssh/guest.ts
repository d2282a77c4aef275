/**
 * The agent on a machine, over SSH (ssh2). The host key is the one that the server made for this boot; any other ends the
 * connection before anything is said. There is no trust on first use.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { Client, type ClientChannel } from 'ssh2'
import { AppError } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import { quoteWords } from '../../formats/shell/quote.ts'
import type { GuestAddress, GuestPort, GuestProcess, GuestSession } from '../../services/containers/ports.ts'

const CONNECT_TIMEOUT_MS = 20_000
/** dropbear bounds a command at 9000 bytes; the agent takes longer ones over standard input (guest/agent/words). */
const MAX_COMMAND_BYTES = 8192
/** How long a machine may take to see the end of a session. */
const END_MS = 2000
const KEEPALIVE_MS = 10_000
/** So many keepalives without an answer mean that the machine is gone. */
const KEEPALIVE_MISSES = 3

type Tty = NonNullable<NonNullable<Parameters<GuestSession['run']>[1]>['tty']>

export function createGuestPort(log: Log): GuestPort {
  return {
    async connect(address, signal) {
      signal.throwIfAborted()
      const client = new Client()
      const socket = connect({ host: address.ip, port: address.port })
      const closed = new AbortController()
      client.on('close', () => closed.abort())
      try {
        await handshake(client, socket, address, signal)
      } catch (error) {
        socket.destroy()
        throw error
      }
      client.on('error', (error) => log.debug('agent connection broken', { ip: address.ip, why: error.message }))
      return session(client, socket, closed.signal)
    },
  }
}

function handshake(client: Client, socket: Socket, address: GuestAddress, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    let isForeign = false
    const where = `${address.ip}:${address.port}`
    const stop = (): void => reject(signal.reason as Error)
    signal.addEventListener('abort', stop, { once: true })
    const done = (error?: Error): void => {
      signal.removeEventListener('abort', stop)
      if (!error) return resolve()
      reject(
        isForeign
          ? new AppError(
              'bad_peer',
              `Cannot talk to the agent at "${where}": its host key is not the one made for this boot`,
            )
          : new AppError('unreachable', `Cannot reach the agent at "${where}"`, { cause: error }),
      )
    }
    client.once('ready', () => done())
    client.once('error', done)
    client.once('close', () => done(new Error('the connection was closed')))
    client.connect({
      sock: socket,
      username: 'root',
      privateKey: address.clientKey,
      hostVerifier: (key: Buffer) => {
        isForeign = key.length !== address.hostKey.length || !timingSafeEqual(key, address.hostKey)
        return !isForeign
      },
      algorithms: { serverHostKey: ['ssh-ed25519'] },
      readyTimeout: CONNECT_TIMEOUT_MS,
      keepaliveInterval: KEEPALIVE_MS,
      keepaliveCountMax: KEEPALIVE_MISSES,
    })
  })
}

function session(client: Client, socket: Socket, closed: AbortSignal): GuestSession {
  const start = (command: string, tty?: Tty): Promise<GuestProcess> =>
    new Promise((resolve, reject) => {
      const pty = tty && { rows: tty.rows, cols: tty.columns, term: tty.term, width: 0, height: 0 }
      client.exec(command, pty ? { pty } : {}, (error, channel) => {
        if (error) reject(new AppError('unreachable', 'Cannot run a command on the machine', { cause: error }))
        else resolve(processOf(channel, closed))
      })
    })
  return {
    closed,
    async run(words, { tty } = {}) {
      const command = quoteWords(words)
      if (Buffer.byteLength(command) <= MAX_COMMAND_BYTES) return start(command, tty)
      const name = randomBytes(16).toString('hex')
      await using store = await start(`words ${name}`)
      await store.write(Buffer.from(command))
      store.endInput()
      for await (const _ of store.stdout);
      if ((await store.exit) !== 0)
        throw new AppError('unreachable', 'Cannot run a long command on the machine: it did not take its words')
      return start(`@${name}`, tty)
    },
    [Symbol.asyncDispose]() {
      client.end()
      // A machine that is off never acknowledges the end; its connection must not keep our process alive. ssh2's own destroy
      // spares a socket that is half closed.
      setTimeout(() => socket.destroy(), END_MS).unref()
      return Promise.resolve()
    },
  }
}

function processOf(channel: ClientChannel, closed: AbortSignal): GuestProcess {
  const exit = new Promise<number | undefined>((resolve) => {
    // Its `close` only comes once all output was read, which not everybody does who wants the exit status.
    channel.once('exit', (status: number | null, signal?: string) => {
      resolve(status ?? 128 + (SIGNAL_NUMBERS[signal ?? ''] ?? 9))
    })
    channel.once('close', () => resolve(undefined))
    closed.addEventListener('abort', () => resolve(undefined), { once: true })
  })
  // A broken connection ends the streams; the exit that stays undefined says so.
  channel.on('error', () => {})
  channel.stderr.on('error', () => {})
  return {
    stdout: channel as AsyncIterable<Uint8Array>,
    stderr: channel.stderr as AsyncIterable<Uint8Array>,
    exit,
    write: (bytes) =>
      new Promise((resolve) => {
        if (channel.destroyed || channel.writableEnded || channel.write(bytes)) return resolve()
        const done = (): void => {
          channel.off('drain', done).off('close', done)
          resolve()
        }
        channel.once('drain', done).once('close', done)
      }),
    endInput: () => void channel.end(),
    resize: (rows, columns) => channel.setWindow(rows, columns, 0, 0),
    [Symbol.asyncDispose]() {
      channel.close()
      return Promise.resolve()
    },
  }
}

/** The signals that RFC 4254 §6.10 names, by their Linux number. */
const SIGNAL_NUMBERS: Readonly<Record<string, number>> = {
  HUP: 1,
  INT: 2,
  QUIT: 3,
  ILL: 4,
  ABRT: 6,
  FPE: 8,
  KILL: 9,
  USR1: 10,
  SEGV: 11,
  USR2: 12,
  PIPE: 13,
  ALRM: 14,
  TERM: 15,
}
