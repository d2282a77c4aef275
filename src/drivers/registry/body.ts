/** A layer's bytes out of an answer: the right range, no more than there may be, not too slowly. */
import { type Dispatcher, errors } from 'undici'
import { AppError } from '../../base/errors.ts'

/** A transfer that breaks off again and again must bring at least this much each time. */
export const MIN_PROGRESS_BYTES = 64 << 10
/** A transfer that brings less than MIN_PROGRESS_BYTES in this time of waiting counts as broken off. */
const MAX_CRAWL_MS = 60_000

/** The body from byte `at` on, whether or not the server took notice of Range (RFC 9110 §14.2). */
export async function* bodyFrom(
  answer: Dispatcher.ResponseData,
  at: number,
  size: number,
  doing: string,
): AsyncGenerator<Uint8Array> {
  let skip = answer.statusCode === 206 ? 0 : at
  if (answer.statusCode === 206) {
    const start = /^bytes (\d+)-/.exec(String(answer.headers['content-range'] ?? ''))?.[1]
    if (at === 0 || Number(start) !== at) {
      await answer.body.dump({ limit: 0 }).catch(() => {})
      throw new AppError('bad_peer', `${doing}: bytes from ${at} on were asked for, others came`)
    }
  }
  let left = size - at
  for await (const whole of lively(answer.body as AsyncIterable<Buffer>)) {
    const part = whole.subarray(Math.min(skip, whole.length))
    skip -= whole.length - part.length
    if (part.length > left)
      throw new AppError('invalid', `${doing}: it is longer than the ${size} bytes that its manifest says`)
    left -= part.length
    if (part.length > 0) yield part
  }
}

/** Passes parts on; throws when the other side only drips. Time in which nobody asks for a part does not count. */
async function* lively(body: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let waitedMs = 0
  let bytes = 0
  let askedMs = performance.now()
  for await (const part of body) {
    waitedMs += performance.now() - askedMs
    bytes += part.length
    if (waitedMs > MAX_CRAWL_MS) {
      if (bytes < MIN_PROGRESS_BYTES) throw new errors.BodyTimeoutError(`only ${bytes} bytes in ${waitedMs | 0} ms`)
      waitedMs = bytes = 0
    }
    yield part
    askedMs = performance.now()
  }
}
