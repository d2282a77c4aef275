/** What a request's JSON may cost: bytes, depth and time, judged before anything is made of it. */
import type { MiddlewareHandler } from 'hono'
import { AppError } from '../../base/errors.ts'
import { untilAborted } from '../../base/task.ts'

export interface BodyLimits {
  readonly maxBytes: number
  /** Arrays and objects inside each other. */
  readonly maxDepth: number
  /** From the end of the headers to the end of the body, milliseconds. */
  readonly deadlineMs: number
}

const LIMITS: BodyLimits = { maxBytes: 1 << 20, maxDepth: 32, deadlineMs: 15_000 }

/** Refuses JSON that is too large, too deep, too slow or none. Other bodies are streams and go by. */
export function limitBodies(limits: Partial<BodyLimits> = {}): MiddlewareHandler {
  const { maxBytes, maxDepth, deadlineMs } = { ...LIMITS, ...limits }
  return async (c, next) => {
    const isJson = /\bjson\b/i.test(c.req.header('content-type') ?? '')
    if (!isJson || c.req.method === 'GET' || c.req.method === 'HEAD') return next()
    const late = AbortSignal.timeout(deadlineMs)
    const text = await readText(c.req.raw.body, maxBytes, late).catch((error: unknown) => {
      if (!late.aborted) throw error
      throw new AppError('timeout', `Cannot read the request: its body did not come within ${deadlineMs} ms`)
    })
    if (depthOf(text, maxDepth) > maxDepth)
      throw new AppError('invalid', `Cannot read the request: its JSON is nested deeper than ${maxDepth}`)
    try {
      JSON.parse(text)
    } catch (cause) {
      throw new AppError('invalid', 'Cannot read the request: it is not JSON', { cause })
    }
    c.req.bodyCache.text = Promise.resolve(text) as never
    return next()
  }
}

/**
 * A body as text.
 * @param what it is, for the message
 * @throws {AppError} invalid past the limit; the signal's reason
 */
export async function readText(
  body: ReadableStream<Uint8Array> | null,
  maxBytes: number,
  signal: AbortSignal,
  what = 'JSON',
): Promise<string> {
  if (!body) return ''
  const reader = body.getReader()
  const parts: Uint8Array[] = []
  let length = 0
  for (;;) {
    const { done, value } = await untilAborted(reader.read(), signal)
    if (done) return Buffer.concat(parts).toString('utf8')
    length += value.length
    if (length > maxBytes)
      throw new AppError('invalid', `Cannot read the request: its ${what} is over ${maxBytes} bytes`)
    parts.push(value)
  }
}

/** The deepest nesting of arrays and objects in a JSON text, counted without parsing; it stops counting past `limit`. */
function depthOf(text: string, limit: number): number {
  let depth = 0
  let deepest = 0
  let isString = false
  for (let at = 0; at < text.length; at++) {
    const letter = text.charCodeAt(at)
    if (isString) {
      if (letter === BACKSLASH) at++
      else if (letter === QUOTE) isString = false
    } else if (letter === QUOTE) isString = true
    else if (letter === OPEN_ARRAY || letter === OPEN_OBJECT) {
      deepest = Math.max(deepest, ++depth)
      if (deepest > limit) return deepest
    } else if (letter === CLOSE_ARRAY || letter === CLOSE_OBJECT) depth--
  }
  return deepest
}

const [QUOTE, BACKSLASH, OPEN_ARRAY, CLOSE_ARRAY, OPEN_OBJECT, CLOSE_OBJECT] = [0x22, 0x5c, 0x5b, 0x5d, 0x7b, 0x7d]
