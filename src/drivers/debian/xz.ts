/** xz by the `xz` program, which is four times as fast; where there is none, by WebAssembly. */
import xz from 'xz-decompress'
import { AppError } from '../../base/errors.ts'
import { runProgram } from './program.ts'

const OUTPUT_MAX_BYTES = 2 ** 30

/** @throws {AppError} bad_peer when the bytes are no xz stream */
export async function inflateXz(bytes: Uint8Array, signal?: AbortSignal): Promise<Uint8Array> {
  try {
    return await runProgram('xz', ['-dc', '-T0'], { input: bytes, ...(signal && { signal }) })
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== 'unsupported') throw error
    return inflateByWasm(bytes)
  }
}

/** @throws {AppError} bad_peer when the bytes are no xz stream, or unpack to more than 1 GiB */
export async function inflateByWasm(bytes: Uint8Array): Promise<Uint8Array> {
  const source = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(bytes)
      controller.close()
    },
  })
  const chunks: Uint8Array[] = []
  let sizeBytes = 0
  try {
    for await (const chunk of new xz.XzReadableStream(source) as AsyncIterable<Uint8Array>) {
      sizeBytes += chunk.length
      if (sizeBytes > OUTPUT_MAX_BYTES) throw new Error('more than 1 GiB')
      chunks.push(chunk.slice())
    }
  } catch (cause) {
    throw new AppError('bad_peer', 'Cannot unpack an xz stream: it is broken', { cause })
  }
  return Buffer.concat(chunks)
}
