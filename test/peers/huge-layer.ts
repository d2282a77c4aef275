/** Layers with very many entries, as compressed files. */
import { createWriteStream } from 'node:fs'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import { tarEntry, type TarField } from '../../src/formats/tar/tar-maker.ts'

const BATCH_BYTES = 1 << 20

/** Writes a tar.gz with the fields that `fieldAt` gives for 0 to `count` - 1. */
export async function writeHugeLayer(path: string, count: number, fieldAt: (n: number) => TarField): Promise<void> {
  await pipeline(Readable.from(batches(count, fieldAt)), createGzip({ level: 1 }), createWriteStream(path))
}

function* batches(count: number, fieldAt: (n: number) => TarField): Generator<Buffer> {
  let batch: Buffer[] = []
  let length = 0
  for (let n = 0; n < count; n += 1) {
    const entry = tarEntry(fieldAt(n))
    batch.push(entry)
    length += entry.length
    if (length < BATCH_BYTES) continue
    yield Buffer.concat(batch)
    batch = []
    length = 0
  }
  yield Buffer.concat([...batch, Buffer.alloc(1024)])
}
