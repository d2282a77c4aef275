/** Joins a channel to the person's terminal (or pipes) until one side ends. */
import { AppError } from '../../base/errors.ts'
import type { Channel } from '../../client/channel.ts'
import type { ServerControl } from '../../model/api.ts'
import { writeOut, type InputStream } from '../io.ts'
import type { Session } from '../session.ts'
import { noKeys, type Escape, type KeyFilter } from './keys.ts'

export interface PumpOptions {
  /** The far side has a terminal: ours goes raw and its size is told. */
  readonly isTty: boolean
  readonly hasStdin: boolean
  readonly keys?: KeyFilter
  /** When the far side can take input; at once when absent. */
  readonly ready?: Promise<void>
  readonly onControl?: (control: ServerControl) => void
  readonly onOutput?: (bytes: Uint8Array) => void
  /** What the keys ask for, once what was typed before has been sent. */
  readonly onEscape?: (escape: Escape) => Promise<void> | void
}

export type Outcome =
  | { readonly kind: 'exit'; readonly code: number }
  | { readonly kind: 'left' }
  | { readonly kind: 'closed' }

/**
 * Pumps until the channel says how the process ended, the person leaves by a key, or the server closes.
 * @throws {AppError} what the server said instead of an exit code; unreachable when the connection broke
 */
export async function pump(session: Session, channel: Channel, options: PumpOptions): Promise<Outcome> {
  const { promise: left, resolve: leave } = Promise.withResolvers<void>()
  const { promise: broken, reject: onBroken } = Promise.withResolvers<never>()
  const output = forwardOutput(session, channel, options)
  using cleanup = new DisposableStack()
  let isOver = false
  cleanup.defer(() => (isOver = true))
  const begin = () => {
    if (isOver) return
    if (options.isTty) cleanup.defer(followSize(session, channel))
    if (options.hasStdin) cleanup.defer(forwardInput(session, channel, options, leave, onBroken))
  }
  if (options.ready) options.ready.then(begin, () => {})
  else begin()
  try {
    return await Promise.race([output, left.then(() => ({ kind: 'left' }) as const), broken])
  } finally {
    // After leaving nobody reads on; the channel is closed by its owner.
    output.catch(() => {})
    broken.catch(() => {})
  }
}

async function forwardOutput(session: Session, channel: Channel, options: PumpOptions): Promise<Outcome> {
  for await (const message of channel.messages) {
    if (message.kind !== 'control') {
      options.onOutput?.(message.bytes)
      await writeOut(message.kind === 'stdout' ? session.io.stdout : session.io.stderr, message.bytes)
      continue
    }
    const { control } = message
    options.onControl?.(control)
    if (control.type === 'exit') return { kind: 'exit', code: control.code }
    if (control.type === 'error') throw new AppError(control.error.code, control.error.message)
  }
  session.signal.throwIfAborted()
  return { kind: 'closed' }
}

function forwardInput(
  session: Session,
  channel: Channel,
  { isTty, keys = noKeys, onEscape }: PumpOptions,
  leave: () => void,
  onBroken: (cause: unknown) => void,
): () => void {
  const { stdin } = session.io
  const isRaw = isTty && stdin.isTTY === true
  if (isRaw) stdin.setRawMode?.(true)
  let sending = Promise.resolve()
  const enqueue = (act: () => Promise<void>) => {
    sending = sending.then(act)
    sending.catch(() => {
      // The output side learns of a broken connection as well and tells it with the server's reason.
    })
    return sending
  }
  const onData = (data: Uint8Array | string) => {
    stdin.pause()
    void enqueue(async () => {
      let isLeft = false
      for (let rest: Uint8Array | undefined = typeof data === 'string' ? Buffer.from(data) : data; rest && !isLeft;) {
        const typed = keys.feed(rest)
        if (typed.bytes.length > 0) await channel.write(typed.bytes)
        if (typed.escape) await onEscape?.(typed.escape)
        ;({ rest, isLeft } = { rest: typed.rest, isLeft: typed.isLeft })
      }
      if (isLeft) leave()
      else if (!isStopped) stdin.resume()
    })
  }
  const onEnd = () => void enqueue(() => channel.control({ type: 'eof' }))
  const onError = (cause: Error) =>
    onBroken(new AppError('invalid', `Cannot read standard input: ${cause.message}`, { cause }))
  let isStopped = false
  stdin.on('data', onData).on('end', onEnd).on('error', onError)
  stdin.resume()
  return () => {
    isStopped = true
    stdin.off('data', onData).off('end', onEnd).off('error', onError)
    release(stdin)
    if (isRaw) stdin.setRawMode?.(false)
  }
}

/** Lets go of standard input, so that the process can end. */
export function release(stdin: InputStream): void {
  stdin.pause()
  const handle = stdin as InputStream & { unref?: () => void }
  handle.unref?.()
}

function followSize(session: Session, channel: Channel): () => void {
  const tell = () => {
    const { rows, columns } = session.io.stdout
    if (rows !== undefined && columns !== undefined && rows > 0 && columns > 0)
      channel.control({ type: 'resize', rows: Math.min(rows, 1000), columns: Math.min(columns, 1000) }).catch(() => {})
  }
  tell()
  return session.io.onSignal('SIGWINCH', tell)
}
