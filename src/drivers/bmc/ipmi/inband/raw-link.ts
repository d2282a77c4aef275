/** Commands to a BMC from inside its machine: ipmi-raw(8) there reads requests from its standard input and answers line by line. */
import { AppError } from '../../../../base/errors.ts'
import type { GuestProcess } from '../../../../services/containers/ports.ts'
import { parseRawAnswer, renderRawRequest } from '../../../../wire/ipmi/raw-text.ts'
import type { Ask } from '../records.ts'
import { CompletionError } from '../session.ts'

/** BMCs write their flash memory before they answer; ipmi-raw itself gives up after 60 s. */
const ANSWER_MS = 30_000
const MAX_LINE_BYTES = 4096
const MAX_COMPLAINT_BYTES = 4096

export interface RawLink extends AsyncDisposable {
  readonly ask: Ask
}

export function createRawLink(process: GuestProcess): RawLink {
  const lines = linesOf(process.stdout)
  const complaint = textOf(process.stderr)
  let tail: Promise<unknown> = Promise.resolve()

  async function answer(deadline: AbortSignal): Promise<string> {
    const { promise: late, reject } = Promise.withResolvers<never>()
    late.catch(() => undefined)
    const onLate = () => reject(new AppError('timeout', `Cannot ask the BMC from inside: no answer in ${ANSWER_MS} ms`))
    deadline.addEventListener('abort', onLate, { once: true })
    const next = await Promise.race([lines.next(), late])
    if (next.done !== true) return next.value
    const said = (await Promise.race([complaint, late])).trim().split('\n').at(-1)
    throw new AppError(
      'unreachable',
      `Cannot ask the BMC from inside: ${said || 'the connection to the machine ended'}`,
    )
  }

  const ask: Ask = (command, question, signal) => {
    const turn = tail.then(async () => {
      signal?.throwIfAborted()
      await process.write(
        Buffer.from(renderRawRequest(command.netFn, command.command, command.request.write(question))),
      )
      const { completion, data } = parseRawAnswer(await answer(AbortSignal.timeout(ANSWER_MS)), command.command)
      if (completion !== 0) throw new CompletionError(command, completion)
      return command.answer.read(data)
    })
    tail = turn.catch(() => undefined)
    return turn
  }
  return {
    ask,
    async [Symbol.asyncDispose]() {
      process.endInput()
      await process[Symbol.asyncDispose]()
    },
  }
}

/** @throws {AppError} bad_peer when a line has no end */
async function* linesOf(stream: AsyncIterable<Uint8Array>): AsyncGenerator<string, undefined> {
  let rest = ''
  for await (const bytes of stream) {
    const parts = (rest + Buffer.from(bytes).toString('latin1')).split('\n')
    rest = parts.pop()!
    if (rest.length > MAX_LINE_BYTES)
      throw new AppError('bad_peer', 'Cannot understand the BMC from inside: a line without end')
    yield* parts.filter((line) => line !== '')
  }
  return undefined
}

async function textOf(stream: AsyncIterable<Uint8Array>): Promise<string> {
  let text = ''
  for await (const bytes of stream)
    text = (text + Buffer.from(bytes).toString('latin1')).slice(-MAX_COMPLAINT_BYTES).replace(/[^\x20-\x7e\n]/g, ' ')
  return text
}
