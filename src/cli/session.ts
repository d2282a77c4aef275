/** One run of the command line: what every verb is given. */
import { styleText } from 'node:util'
import { AppError, ERROR_CODES, explain, WireError } from '../base/errors.ts'
import { createClient, type Client } from '../client/client.ts'
import { endpointFromEnvironment } from '../client/endpoint.ts'
import { writeOut, type Io, type OutputStream } from './io.ts'

export type Style = Parameters<typeof styleText>[0]

export interface Session {
  readonly io: Io
  /** Aborts when the person interrupts or nobody reads our output any more. */
  readonly signal: AbortSignal
  /** The exit code so far; a verb may set it. */
  exitCode: number
  /** The server's address when it was given by `--host`. */
  host: string | undefined
  client(): Client
  print(data: string | Uint8Array): Promise<void>
  printLines(lines: readonly string[]): Promise<void>
  /** One indented JSON document. */
  printJson(value: unknown): Promise<void>
  /** A line on stderr for the person, not for programs. */
  note: (line: string) => void
  /** Tells of an error and remembers its exit code; the verb goes on with its next argument. */
  complain: (error: unknown) => void
  /** Colours `text` where the stream is a terminal and NO_COLOR does not forbid it. */
  paint(style: Style, text: string, stream?: OutputStream): string
  /** Sends interrupts (SIGINT, SIGTERM, SIGHUP) to `handler` instead of ending the verb; returns the way back. */
  onInterrupt(handler: () => void): Disposable
  interrupt(reason: AppError): void
}

export function createSession(io: Io): Session & Disposable {
  const controller = new AbortController()
  let client: Client | undefined
  let handler: (() => void) | undefined
  const session: Session & Disposable = {
    io,
    signal: controller.signal,
    exitCode: 0,
    host: undefined,
    client: () => (client ??= createClient(endpointFromEnvironment(io.env, io.uid, session.host))),
    print: (data) => writeOut(io.stdout, data),
    printLines: (lines) => session.print(lines.map((line) => `${line}\n`).join('')),
    printJson: (value) => session.print(`${JSON.stringify(value, null, 2)}\n`),
    note(line) {
      io.stderr.write(`${line}\n`)
    },
    complain(error) {
      for (const line of errorLines(error, io)) session.note(line)
      if (session.exitCode === 0) session.exitCode = exitCodeOf(error)
    },
    paint: (style, text, stream = io.stdout) => (isColourful(io, stream) ? forced(style, text) : text),
    onInterrupt(next) {
      const before = handler
      handler = next
      return { [Symbol.dispose]: () => void (handler = before) }
    },
    interrupt: (reason) => controller.abort(reason),
    [Symbol.dispose]() {
      for (const stop of stops) stop()
      for (const stream of [io.stdout, io.stderr]) stream.off('error', onOutputError)
    },
  }
  const onSignal = () =>
    handler ? handler() : controller.abort(new AppError('interrupted', 'Cannot finish: interrupted'))
  // The reader of our output has gone (`bareboat logs | head`): that is an end, not a failure to tell of.
  const onOutputError = () => controller.abort(new BrokenPipe())
  const stops = (['SIGINT', 'SIGTERM', 'SIGHUP'] as const).map((name) => io.onSignal(name, onSignal))
  for (const stream of [io.stdout, io.stderr]) stream.on('error', onOutputError)
  return session
}

/** Nobody reads our output any more. */
export class BrokenPipe extends Error {
  override readonly name = 'BrokenPipe'
}

export function exitCodeOf(error: unknown): number {
  if (error instanceof BrokenPipe) return 141
  if (error instanceof AppError) return ERROR_CODES[error.code].exit
  return error instanceof WireError ? ERROR_CODES.bad_peer.exit : ERROR_CODES.internal.exit
}

/** What a person is told of an error: one line for it and one for each cause that says more. */
export function errorLines(error: unknown, io: Pick<Io, 'env'>): string[] {
  if (error instanceof BrokenPipe) return []
  if (!(error instanceof AppError) && !(error instanceof WireError)) {
    const stack = error instanceof Error && error.stack !== undefined ? error.stack : ''
    const advice = 'this is a fault of bareboat; BAREBOAT_DEBUG=1 shows where'
    return [
      `bareboat: internal error: ${explain(error)}; ${advice}`,
      ...(isSet(io.env['BAREBOAT_DEBUG']) ? [stack] : []),
    ]
  }
  const lines = [`bareboat: ${error.message}`]
  let cause = error.cause
  while (cause instanceof AppError || cause instanceof WireError) {
    lines.push(`bareboat:   ${cause.message}`)
    cause = cause.cause
  }
  return lines
}

/** Does `act` for each name; a failure is told and the next name gets its turn. */
export async function forEachName(
  session: Session,
  names: readonly string[],
  act: (name: string) => Promise<void>,
): Promise<void> {
  for (const name of names)
    try {
      await act(name)
    } catch (error) {
      session.signal.throwIfAborted()
      session.complain(error)
    }
}

function isColourful(io: Io, stream: OutputStream): boolean {
  return stream.isTTY === true && !isSet(io.env['NO_COLOR']) && io.env['TERM'] !== 'dumb'
}

function forced(style: Style, text: string): string {
  return styleText(style, text, { validateStream: false })
}

function isSet(text: string | undefined): boolean {
  return text !== undefined && text !== ''
}
