/** Readers of the two streamed bodies of the API: server-sent events and newline-delimited JSON. */
import { WireError } from '../base/errors.ts'

/** The longest line or event that is kept in memory, characters. */
const LIMIT = 16 * 1024 * 1024

export interface ServerSentEvent {
  readonly event: string
  readonly data: string
  readonly id?: string
}

/**
 * The lines of a UTF-8 stream, without their ends (LF, CRLF or CR). A last line without an end counts.
 * @throws {WireError} when a line is longer than 16 Mi characters
 */
export async function* readLines(source: AsyncIterable<Uint8Array>): AsyncGenerator<string, void, undefined> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const bytes of source) {
    const text = rest + decoder.decode(bytes, { stream: true })
    // A CR at the very end may be the first half of CRLF: it waits for what follows.
    const lines = text.split(/\r\n|\n|\r(?!$)/)
    rest = lines.pop()!
    yield* lines
    if (rest.length > LIMIT) throw new WireError('a line of a stream', `longer than ${LIMIT} characters`)
  }
  rest += decoder.decode()
  if (rest !== '') yield rest.replace(/\r$/, '')
}

/**
 * The events of a `text/event-stream` (HTML Living Standard §9.2.6). Comments, unknown fields and a last event that no empty
 * line ends are left out, as the standard says.
 * @throws {WireError} when an event is longer than 16 Mi characters
 */
export async function* readEvents(source: AsyncIterable<Uint8Array>): AsyncGenerator<ServerSentEvent, void, undefined> {
  let event = ''
  let data: string[] = []
  let id: string | undefined
  let sizeChars = 0
  for await (const line of readLines(source)) {
    if (line === '') {
      if (data.length > 0)
        yield { event: event === '' ? 'message' : event, data: data.join('\n'), ...(id === undefined ? {} : { id }) }
      event = ''
      data = []
      sizeChars = 0
      continue
    }
    const colon = line.indexOf(':')
    const field = colon === -1 ? line : line.slice(0, colon)
    const value = colon === -1 ? '' : line.slice(colon + 1).replace(/^ /, '')
    if (field === 'data') {
      sizeChars += value.length
      if (sizeChars > LIMIT) throw new WireError('a server-sent event', `longer than ${LIMIT} characters`)
      data.push(value)
    } else if (field === 'event') event = value
    else if (field === 'id' && !value.includes('\0')) id = value
  }
}

/**
 * The values of a stream of JSON documents, one a line; empty lines are skipped.
 * @throws {WireError} when a line is not JSON
 */
export async function* readNdjson(source: AsyncIterable<Uint8Array>): AsyncGenerator<unknown, void, undefined> {
  for await (const line of readLines(source)) if (line.trim() !== '') yield parseJson(line, 'a line of a stream')
}

/** @throws {WireError} when `text` is not JSON */
export function parseJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new WireError(what, `not JSON: ${JSON.stringify(text.slice(0, 80))}`)
  }
}
