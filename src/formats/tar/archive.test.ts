import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cutExtents, sizeOf } from '../extents.ts'
import { fileExtents } from '../tree/tree.ts'
import { mergeLayers } from '../tree/merge.ts'
import { tarArchive } from './archive.ts'
import { createTarIndexer } from './indexer.ts'

test('tarArchive reads back: names, one time, literal bytes and zeros', () => {
  const long = `blobs/sha512/${'a'.repeat(128)}`
  const extents = tarArchive(
    [
      { name: 'oci-layout', content: [{ kind: 'bytes', bytes: Buffer.from('{}') }] },
      {
        name: long,
        content: [
          { kind: 'bytes', bytes: Buffer.from('abc') },
          { kind: 'zeros', length: 1000 },
        ],
      },
    ],
    1_700_000_000,
  )
  const bytes = Buffer.concat(
    extents.map((extent) => (extent.kind === 'bytes' ? extent.bytes : Buffer.alloc(extent.length))),
  )
  const indexer = createTarIndexer()
  indexer.push(bytes)
  const tree = mergeLayers([{ digest: 'x', index: indexer.end() }])
  const read = (path: string): string =>
    cutExtents(fileExtents(tree.get(path)!), 0, tree.get(path)!.size)
      .map((extent) =>
        extent.kind === 'blob' ? bytes.toString('latin1', extent.offset, extent.offset + extent.length) : '',
      )
      .join('')
  assert.equal(read('oci-layout'), '{}')
  assert.equal(read(long), `abc${'\0'.repeat(1000)}`)
  assert.deepEqual([tree.get(long)!.mode, tree.get(long)!.mtimeSeconds], [0o644, 1_700_000_000])
  assert.equal(sizeOf(extents) % 512, 0)
})
