import assert from 'node:assert/strict'
import { test } from 'node:test'
import { crc32 } from 'node:zlib'
import { pax, tarOf } from './tar-maker.ts'
import { parseLayerIndex, serializeLayerIndex } from './index-codec.ts'
import { createTarIndexer } from './indexer.ts'
import type { LayerEntry, LayerIndex } from './layer-index.ts'

function index(bytes: Uint8Array): LayerIndex {
  const indexer = createTarIndexer()
  indexer.push(bytes)
  return indexer.end()
}

const all = index(
  tarOf(
    { name: './', type: '5' },
    { name: 'etc/passwd', data: 'root', mode: '0007777', uid: '\x80\0\0\0\xff\xff\xff\xff' },
    { name: 'etc/passwd-', type: '1', link: 'etc/passwd' },
    pax({ mtime: '-1.25', 'SCHILY.xattr.security.capability': '\x80\0', 'SCHILY.xattr.user.empty': '' }),
    { name: 'etc/\xff', data: '' },
    { name: 'link', type: '2', link: '../../outside' },
    { name: 'dev/null', type: '3', major: '0000001', minor: '3777777' },
    { name: 'dev/sda', type: '4', major: '0007777', minor: '0000000' },
    { name: 'pipe', type: '6', mtime: '\xff'.repeat(12) },
    pax({ 'GNU.sparse.size': '100', 'GNU.sparse.map': '0,1,50,2' }),
    { name: 'sparse', data: 'abc' },
    pax({ 'GNU.sparse.size': '100', 'GNU.sparse.map': '100,0' }),
    { name: 'hole', data: '' },
  ),
)

test('parseLayerIndex gives back what serializeLayerIndex wrote', () => {
  const bytes = serializeLayerIndex(all)
  assert.deepEqual(parseLayerIndex(bytes), all)
  assert.deepEqual(serializeLayerIndex(parseLayerIndex(bytes)), bytes)
  assert.deepEqual(serializeLayerIndex({ entries: all.entries, blobBytes: all.blobBytes }), bytes)
  const none = parseLayerIndex(serializeLayerIndex({ entries: [], blobBytes: 7 }))
  assert.deepEqual([none.entries, none.blobBytes], [[], 7])
})

test('every single flipped bit is found', () => {
  const bytes = serializeLayerIndex(all)
  for (let bit = 0; bit < bytes.length * 8; bit += 1) {
    const bad = Uint8Array.from(bytes)
    bad[bit >> 3]! ^= 1 << (bit & 7)
    assert.throws(() => parseLayerIndex(bad), { name: 'WireError' })
  }
  for (let end = 0; end < bytes.length; end += 1)
    assert.throws(() => parseLayerIndex(bytes.subarray(0, end)), { name: 'WireError' })
})

const file = all.entries[1]!
const wrong: { name: string; entry: Partial<LayerEntry>; error: RegExp }[] = [
  { name: 'a path with ".."', entry: { path: 'a/../b' }, error: /path that is not plain/ },
  { name: 'an absolute path', entry: { path: '/a' }, error: /path that is not plain/ },
  { name: 'the root as a file', entry: { path: '' }, error: /the root as a file/ },
  { name: 'a mode with more bits', entry: { mode: 0o10000 }, error: /mode is 4096/ },
  { name: 'an owner beyond 32 bits', entry: { uid: 2 ** 32 }, error: /uid is 4294967296/ },
  {
    name: 'data beyond the blob',
    entry: { size: 9, data: [{ at: 0, offset: all.blobBytes - 8, length: 9 }] },
    error: /beyond/,
  },
  { name: 'data beyond the file', entry: { size: 9, data: [{ at: 8, offset: 0, length: 2 }] }, error: /beyond/ },
  {
    name: 'runs out of order',
    entry: {
      size: 9,
      data: [
        { at: 4, offset: 0, length: 2 },
        { at: 5, offset: 2, length: 1 },
      ],
    },
    error: /out of order/,
  },
  { name: 'an empty run', entry: { size: 9, data: [{ at: 4, offset: 0, length: 0 }] }, error: /out of order/ },
  { name: 'an attribute without name', entry: { xattrs: new Map([['', new Uint8Array()]]) }, error: /attribute name/ },
  { name: 'a hard link to ".."', entry: { kind: 'hardlink', size: 0, data: [], target: 'a/..' }, error: /to nothing/ },
]
for (const { name, entry, error } of wrong)
  test(`parseLayerIndex refuses ${name}, though the checksum is right`, () => {
    const bytes = serializeLayerIndex({ entries: [{ ...file, ...entry }], blobBytes: all.blobBytes })
    assert.throws(() => parseLayerIndex(bytes), { name: 'WireError', message: error })
  })

test('parseLayerIndex refuses a number in a longer form, and bytes behind the last entry', () => {
  const plain = serializeLayerIndex({ entries: [], blobBytes: 0 })
  assert.throws(() => parseLayerIndex(sealed(Buffer.from('BBLI\x01\x80\0\0', 'latin1'))), /not a number/)
  assert.throws(
    () => parseLayerIndex(sealed(Buffer.concat([plain.subarray(0, -4), Buffer.from([0])]))),
    /1 bytes too many/,
  )
})

test('100,000 files are parsed in well under a second', () => {
  const entries = Array.from({ length: 100_000 }, (_, n): LayerEntry => ({
    ...file,
    path: `usr/lib/python3/dist-packages/package-${n >> 5}/module_${n}.py`,
    size: n + 1,
    data: [{ at: 0, offset: n * 1024, length: n + 1 }],
  }))
  const bytes = serializeLayerIndex({ entries, blobBytes: 2 ** 40 })
  const from = performance.now()
  assert.equal(parseLayerIndex(bytes).entries.length, 100_000)
  const tookMs = performance.now() - from
  assert.ok(tookMs < 10_000, `${tookMs} ms`)
  assert.ok(bytes.length < 4_000_000, `${bytes.length} bytes`)
})

function sealed(bytes: Buffer): Uint8Array {
  const sum = Buffer.alloc(4)
  sum.writeUInt32BE(crc32(bytes))
  return Buffer.concat([bytes, sum])
}
