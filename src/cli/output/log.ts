/** Logs on their way out: stdout to stdout, stderr to stderr, byte for byte; what the server noted between them to stderr. */
import type { LogChunk } from '../../model/api.ts'
import { writeOut } from '../io.ts'
import type { Session } from '../session.ts'
import { timestamp } from './human.ts'

export interface LogOptions {
  readonly timestamps?: boolean
  readonly json?: boolean
  readonly untilMs?: number
}

const LF = 0x0a

/** Prints chunks until they end, or until one is later than `untilMs` (milliseconds since the epoch). */
export async function printLog(session: Session, chunks: AsyncIterable<LogChunk>, options: LogOptions): Promise<void> {
  const stampers = { stdout: createStamper(), stderr: createStamper(), console: createStamper() }
  let isLineStart = true
  for await (const chunk of chunks) {
    if (options.untilMs !== undefined && chunk.at > options.untilMs) return
    if (options.json === true) {
      await session.printLines([JSON.stringify(chunk)])
      continue
    }
    const bytes = Buffer.from(chunk.data, 'base64')
    if (chunk.stream === 'note') {
      await writeOut(session.io.stderr, Buffer.from(`${isLineStart ? '' : '\r\n'}${bytes.toString('latin1').trim()}\n`))
      isLineStart = true
      continue
    }
    isLineStart = bytes.at(-1) === LF
    const stream = chunk.stream === 'stderr' ? session.io.stderr : session.io.stdout
    await writeOut(stream, options.timestamps === true ? stampers[chunk.stream](bytes, chunk.at) : bytes)
  }
}

/** Puts a time before each line; a line that arrives in several chunks has that of its first. */
function createStamper(): (bytes: Uint8Array, atMs: number) => Uint8Array {
  let isLineStart = true
  return (bytes, atMs) => {
    const parts: Uint8Array[] = []
    const stamp = Buffer.from(`${timestamp(atMs)} `)
    for (let from = 0; from < bytes.length;) {
      if (isLineStart) parts.push(stamp)
      const end = bytes.indexOf(LF, from)
      const to = end === -1 ? bytes.length : end + 1
      parts.push(bytes.subarray(from, to))
      isLineStart = end !== -1
      from = to
    }
    return Buffer.concat(parts)
  }
}
