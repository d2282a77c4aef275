/** Layers of very many files, compressed. */
import { createWriteStream } from 'node:fs'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import { tarEntry } from '../../src/formats/tar/tar-maker.ts'

const BATCH = 1000

/** Writes a tar.gz of `count` files with names of up to 100 ASCII characters and the same data. */
export async function writeHugeLayer(path: string, count: number, nameOf: (n: number) => string, data = '') {
  await pipeline(Readable.from(batches(count, nameOf, data)), createGzip({ level: 1 }), createWriteStream(path))
}

/** Headers differ in their name and checksum alone, so these are patched into a copy. */
function* batches(count: number, nameOf: (n: number) => string, data: string): Generator<Buffer> {
  const template = tarEntry({ name: '', data })
  const sum = parseInt(template.toString('latin1', 148, 154), 8)
  for (let first = 0; first < count; first += BATCH) {
    const last = Math.min(first + BATCH, count)
    const batch = Buffer.allocUnsafe((last - first) * template.length)
    for (let n = first; n < last; n += 1) {
      const at = (n - first) * template.length
      const name = nameOf(n)
      template.copy(batch, at)
      batch.write(name, at, 'latin1')
      let total = sum
      for (let index = 0; index < name.length; index += 1) total += name.charCodeAt(index)
      batch.write(total.toString(8).padStart(6, '0'), at + 148, 'latin1')
    }
    yield batch
  }
  yield Buffer.alloc(1024)
}
