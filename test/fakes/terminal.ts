/** Streams and signals of a command line in a test. */
import { PassThrough, Writable } from 'node:stream'
import { runCli } from '../../src/cli/program.ts'
import type { InputStream, Io, OutputStream, SignalName } from '../../src/cli/io.ts'
import type { FakeApi } from './api-server.ts'

export interface FakeTerminal {
  readonly io: Io
  readonly stdin: PassThrough & { isRaw?: boolean }
  readonly stdout: () => string
  readonly stderr: () => string
  readonly bytes: () => Buffer
  signal(name: SignalName): void
}

export interface TerminalOptions {
  readonly isTty?: boolean
  readonly env?: Record<string, string>
  readonly cwd?: string
  readonly nowMs?: number
  /** What stdin holds, then its end. Without it stdin stays open. */
  readonly input?: string | Uint8Array
}

export function fakeTerminal(api: FakeApi | undefined, options: TerminalOptions = {}): FakeTerminal {
  const { isTty = false, env = {}, cwd = '/', nowMs, input } = options
  const stdin = new PassThrough() as PassThrough & { isRaw?: boolean }
  if (input !== undefined) stdin.end(input)
  const out = sink(isTty)
  const err = sink(isTty)
  const listeners = new Map<SignalName, Set<() => void>>()
  Object.assign(stdin, { isTTY: isTty, setRawMode: (isRaw: boolean) => (stdin.isRaw = isRaw) })
  return {
    stdin,
    stdout: () => out.bytes().toString('utf8'),
    stderr: () => err.bytes().toString('utf8'),
    bytes: out.bytes,
    signal: (name) => {
      for (const listener of listeners.get(name) ?? []) listener()
    },
    io: {
      stdin: stdin as unknown as InputStream,
      stdout: out.stream,
      stderr: err.stream,
      env: { HOME: '/nowhere', ...(api ? { BAREBOAT_HOST: api.host } : {}), ...env },
      uid: 1000,
      cwd,
      now: nowMs === undefined ? Date.now : () => nowMs,
      onSignal(name, listener) {
        const set = listeners.get(name) ?? new Set()
        listeners.set(name, set.add(listener))
        return () => set.delete(listener)
      },
    },
  }
}

export interface Ran {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
  readonly terminal: FakeTerminal
}

/** Runs a command line to its end. */
export async function run(api: FakeApi | undefined, argv: readonly string[], options?: TerminalOptions): Promise<Ran> {
  const terminal = fakeTerminal(api, options)
  const code = await runCli(argv, terminal.io)
  return { code, stdout: terminal.stdout(), stderr: terminal.stderr(), terminal }
}

function sink(isTty: boolean): { stream: OutputStream; bytes: () => Buffer } {
  const chunks: Buffer[] = []
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(chunk)
      done()
    },
  })
  return {
    stream: Object.assign(stream, { isTTY: isTty, columns: 100, rows: 30 }) as OutputStream,
    bytes: () => Buffer.concat(chunks),
  }
}
