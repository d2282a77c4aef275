/**
 * A BMC's serial console over SSH (ssh2). The host key is the one that was said for this BMC; any other ends the connection before the
 * password is sent, and the refusal says which it was. There is no trust on first use.
 */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import { Client, type ClientChannel } from 'ssh2'
import { AppError } from '../../../base/errors.ts'
import { untilAborted } from '../../../base/task.ts'
import type { BmcConsole } from '../../../services/power/power-port.ts'
import { consoleOver, plainWords } from '../stream-console.ts'
import { Distrust } from '../trust.ts'
import { hostPort } from '../user-at-host.ts'
import type { Credentials } from './login.ts'

export interface SshConsoleOptions {
  readonly host: string
  readonly port: number
  readonly credentials: Credentials
  /** `SHA256:…` as OpenSSH prints it, without `=`; undefined trusts nobody. */
  readonly hostKey: string | undefined
  /** Typed into the BMC's shell to get to the console. */
  readonly command?: string | undefined
  /** What leaves the console, for people. */
  readonly hotKeys?: string | undefined
  /** How long connecting and logging in may take, milliseconds; default 20 s. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal | undefined
}

const TIMEOUT_MS = 20_000
const KEEPALIVE_MS = 15_000
/** So many keepalives without an answer mean that the BMC is gone. */
const KEEPALIVE_MISSES = 2
/** A shell without a prompt is typed to after this, milliseconds. */
const PROMPT_MS = 2000
/** How long a BMC may take to see the end of a session, milliseconds. */
const END_MS = 2000

/** Reads a fingerprint as `ssh-keygen -l` prints it: `SHA256:` and 43 digits of base64. Undefined if it is none. */
export function parseHostKey(text: string): string | undefined {
  return /^SHA256:([A-Za-z0-9+/]{43})=?$/.exec(text) ? text.replace(/=$/, '') : undefined
}

/**
 * @throws {Distrust} another host key, or none was said @throws {AppError} `unauthorized`, `unreachable`, `timeout`, `unsupported`
 * when it gives no terminal
 */
export async function openSshConsole({ signal, ...options }: SshConsoleOptions): Promise<BmcConsole> {
  const address = hostPort(options.host, options.port)
  const cannot = `Cannot open the console of BMC "${address}" over SSH`
  const timeoutMs = options.timeoutMs ?? TIMEOUT_MS
  const deadline = AbortSignal.timeout(timeoutMs)
  const ends = signal ? AbortSignal.any([signal, deadline]) : deadline
  const socket = connect({ host: options.host, port: options.port })
  const client = new Client()
  let failure: Error | undefined
  client.on('error', (error) => (failure ??= error))
  try {
    await untilAborted(logIn(client, socket, address, options), ends)
    const channel = await untilAborted(terminal(client), ends)
    if (options.command !== undefined) await enter(channel, options.command, ends)
    const words = (): string | undefined =>
      failure ? plainWords(failure.message) : options.hotKeys && `what ends it: ${plainWords(options.hotKeys)}`
    return consoleOver({
      stream: channel,
      address,
      lastWords: words,
      async close() {
        client.end()
        // A BMC that hangs never acknowledges the end.
        setTimeout(() => socket.destroy(), END_MS).unref()
      },
    })
  } catch (cause) {
    client.destroy()
    socket.destroy()
    signal?.throwIfAborted()
    if (cause instanceof AppError) throw cause
    if (deadline.aborted) throw new AppError('timeout', `${cannot}: no answer in ${timeoutMs} ms`, { cause })
    throw new AppError('unreachable', `${cannot}: ${plainWords((cause as Error).message)}`, { cause })
  }
}

async function logIn(
  client: Client,
  socket: ReturnType<typeof connect>,
  address: string,
  { credentials, hostKey, timeoutMs = TIMEOUT_MS }: SshConsoleOptions,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  let distrust: Distrust | undefined
  client.once('ready', resolve)
  client.once('error', (error) => {
    const isRefused = 'level' in error && error.level === 'client-authentication'
    if (distrust) reject(distrust)
    else if (!isRefused) reject(error)
    else
      reject(
        new AppError(
          'unauthorized',
          `Cannot log in to BMC "${address}" as "${credentials.user}" over SSH: user or password is wrong, or may not use SSH`,
        ),
      )
  })
  client.once('close', () => reject(distrust ?? new Error('the connection was closed')))
  let isAnswered = false
  client.on('keyboard-interactive', (_name, _instructions, _language, prompts, answer) => {
    // Once, to the one question that hides what is typed.
    const isPassword = !isAnswered && prompts.length === 1 && prompts[0]?.echo !== true
    isAnswered = true
    answer(isPassword ? [credentials.password] : [])
  })
  client.connect({
    sock: socket,
    username: credentials.user,
    password: credentials.password,
    tryKeyboard: true,
    hostVerifier: (key: Buffer) => {
      const seen = `SHA256:${createHash('sha256').update(key).digest('base64').replace(/=$/, '')}`
      if (seen === hostKey) return true
      distrust = new Distrust(
        'bad_peer',
        `Cannot trust the SSH server of BMC "${address}": ${untrusted(seen, hostKey)}`,
      )
      return false
    },
    readyTimeout: timeoutMs,
    keepaliveInterval: KEEPALIVE_MS,
    keepaliveCountMax: KEEPALIVE_MISSES,
  })
  await promise
}

function untrusted(seen: string, wanted: string | undefined): string {
  return wanted === undefined
    ? `nobody has said its host key; compare its fingerprint ${seen} with the BMC's own and add hostkey=${seen} to its URL`
    : `its host key is ${seen}, not ${wanted}; if its key was changed, put the new one in its URL`
}

/** A shell on a terminal: what serial consoles of BMCs expect, though they have neither its size nor its type. */
function terminal(client: Client): Promise<ClientChannel> {
  const { promise, resolve, reject } = Promise.withResolvers<ClientChannel>()
  client.once('close', () => reject(new Error('the connection was closed')))
  client.shell({ term: 'vt100', rows: 24, cols: 80 }, (error, channel) => {
    if (!error) return resolve(channel)
    reject(new AppError('unsupported', `Cannot open a console over SSH: the BMC gives no terminal`, { cause: error }))
  })
  return promise
}

/** Types the command once there is a prompt, or there might be one. */
async function enter(channel: ClientChannel, command: string, signal: AbortSignal): Promise<void> {
  const prompted = new AbortController()
  const wait = AbortSignal.any([signal, AbortSignal.timeout(PROMPT_MS), prompted.signal])
  await once(channel, 'readable', { signal: wait }).catch(() => {})
  signal.throwIfAborted()
  channel.write(`${command}\r`)
}
