import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sizeOf, type Extent } from '../extents.ts'
import { describeDiff, diffTrees } from '../tree/measure.ts'
import { mergeLayers } from '../tree/merge.ts'
import { fileExtents, type Tree } from '../tree/tree.ts'
import { createTarIndexer } from './indexer.ts'
import { tarExtents } from './project.ts'
import { pax, tarOf } from './tar-maker.ts'

const blob = tarOf(
  { name: './', type: '5', mode: '0000711' },
  { name: 'small', data: 'small data' },
  pax({ path: `${'long/'.repeat(40)}name`, mtime: '-1.25', uid: '2097152' }),
  { data: 'x'.repeat(1000) },
  pax({
    path: `deep/${'n'.repeat(99)}`,
    'SCHILY.xattr.security.capability': '\x01\x80\0\n',
    'SCHILY.xattr.user.x': '',
  }),
  {},
  { type: 'L', data: `${'\xff\xfe'.repeat(60)}\0` },
  { data: 'not UTF-8' },
  pax({ 'LIBARCHIVE.xattr.user.a%3Db%25': 'gP8' }),
  { name: 'equals' },
  { name: 'hard', type: '1', link: 'small' },
  { type: 'K', data: `${'t/'.repeat(80)}\0` },
  { name: 'symlink', type: '2' },
  { type: 'K', data: `${'long/'.repeat(40)}name\0` },
  { name: 'zhard', type: '1' },
  { name: 'null', type: '3', major: '0000001', minor: '0000003' },
  { name: 'sda', type: '4', major: '0000010' },
  { name: 'fifo', type: '6' },
  pax({ 'GNU.sparse.size': '5000', 'GNU.sparse.map': '10,1,4000,2' }),
  { name: 'sparse', data: 'abc' },
  { name: 'suid', mode: '0006755' },
  { name: 'hidden/', type: '5', mode: '0001777' },
)

function treeOf(bytes: Uint8Array, digest: string): Tree {
  const indexer = createTarIndexer()
  indexer.push(bytes)
  return mergeLayers([{ digest, index: indexer.end() }])
}

function read(extents: readonly Extent[], from: Uint8Array): Buffer {
  return Buffer.concat(
    extents.map((extent) => {
      if (extent.kind === 'bytes') return extent.bytes
      if (extent.kind === 'zeros') return Buffer.alloc(extent.length)
      return from.subarray(extent.offset, extent.offset + extent.length)
    }),
  )
}

test('tarExtents gives a tar that reads back as the same tree with the same content', () => {
  const tree = treeOf(blob, 'sha256:x')
  const extents = tarExtents(tree)
  const bytes = read(extents, blob)
  assert.equal(bytes.length, sizeOf(extents))
  const again = treeOf(bytes, 'sha256:x')
  // Data lies elsewhere in the new tar; everything else must be equal.
  const lines = describeDiff(diffTrees(tree, again)).filter((line) => !line.endsWith(': content'))
  assert.deepEqual(lines, [])
  for (const entry of tree.entries())
    assert.deepEqual(read(fileExtents(entry), blob), read(fileExtents(again.get(entry.path)!), bytes), entry.path)
  // What was read back gives the same bytes again.
  assert.ok(read(tarExtents(again), bytes).equals(bytes))
})

test("tarExtents in GNU's dialect reads back as the same tree, and holes take no room", () => {
  const big = tarOf(pax({ 'GNU.sparse.size': '1000000000000', 'GNU.sparse.map': '5,1,500000000000,2' }), {
    name: 'big',
    data: 'xyz',
  })
  for (const from of [blob, big]) {
    const tree = treeOf(from, 'sha256:x')
    const bytes = read(tarExtents(tree, { dialect: 'gnu' }), from)
    const again = treeOf(bytes, 'sha256:x')
    for (const entry of tree.entries()) {
      const { data, xattrs: _x, blob: _b, ...rest } = entry
      const { data: data2, xattrs: _x2, blob: _b2, ...rest2 } = again.get(entry.path)!
      assert.deepEqual(rest2, rest)
      assert.deepEqual(
        data2.map(({ at, offset, length }) => [at, bytes.toString('latin1', offset, offset + length)]),
        data.map(({ at, offset, length }) => [at, from.toString('latin1', offset, offset + length)]),
      )
    }
    assert.ok(bytes.length < 50_000)
  }
})

test('tarExtents leaves out what it is told to, with all its names', () => {
  const extents = tarExtents(treeOf(blob, 'sha256:x'), {
    without: ({ kind }) => kind === 'block' || kind === 'symlink',
  })
  const paths = [...treeOf(read(extents, blob), 'sha256:x').entries()].map(({ path }) => path)
  assert.ok(!paths.includes('sda') && !paths.includes('symlink') && paths.includes('null'))
})

test('tarExtents copies no file data', () => {
  const extents = tarExtents(treeOf(blob, 'sha256:x'))
  const inBlob = extents.filter((extent) => extent.kind === 'blob').reduce((sum, { length }) => sum + length, 0)
  assert.equal(inBlob, 'small data'.length + 1000 + 'not UTF-8'.length + 3)
})

test('sizes beyond 8 GiB are written in base-256 and PAX', () => {
  const big = tarOf(pax({ 'GNU.sparse.size': '10000000000', 'GNU.sparse.map': '0,1' }), { name: 'big', data: 'x' })
  const extents = tarExtents(treeOf(big, 'sha256:x'))
  const head = Buffer.concat(extents.map((extent) => (extent.kind === 'bytes' ? extent.bytes : Buffer.alloc(0))))
  assert.ok(head.includes('size=10000000000\n'))
  assert.equal(head.readBigUInt64BE(head.length - 512 + 128), 10_000_000_000n)
  assert.equal(head[head.length - 512 + 124], 0x80)
})

test('PAX records of every length count their own digits', () => {
  for (let length = 60; length < 1010; length += 1) {
    const value = 'v'.repeat(length)
    const from = tarOf(pax({ 'SCHILY.xattr.user.a': value }), { name: 'f' })
    const again = treeOf(read(tarExtents(treeOf(from, 'sha256:x')), from), 'sha256:x')
    assert.equal(again.get('f')!.xattrs.get('user.a')!.length, length)
  }
})
