import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LITERALS, type ExtentMap } from '../extent-map.ts'
import { createTarIndexer } from '../tar/indexer.ts'
import { pax, tarOf, type TarField } from '../tar/tar-maker.ts'
import { mergeLayers } from '../tree/merge.ts'
import type { Tree, TreeEntry } from '../tree/tree.ts'
import { crc32cOpen } from './crc32c.ts'
import { blocksOf, inodeAt, metadataOf, slotOf, xattrsOf } from './image-reader.ts'
import { erofsImage } from './image.ts'
import { uuidOf } from './uuid.ts'

const UUID = uuidOf(['sha256:a', 'sha256:b'])
const MTIME = '00000000144'

function treeOf(...layers: TarField[][]): Tree {
  return mergeLayers(
    layers.map((fields, number) => {
      const indexer = createTarIndexer()
      indexer.push(tarOf(...fields))
      return { digest: `sha256:${number}`, index: indexer.end() }
    }),
  )
}

function imageOf(...fields: TarField[]) {
  const map = erofsImage(treeOf(fields), { uuid: UUID })
  const metadata = metadataOf(map)
  const inode = (path: string) => inodeAt(metadata, slotOf(metadata, path))
  return { map, metadata, inode }
}

/** The tree with one entry changed. */
function changed(tree: Tree, path: string, change: Partial<TreeEntry>): Tree {
  const { entryCount, inodeCount } = tree
  const entries = [...tree.entries()].map((entry) => (entry.path === path ? { ...entry, ...change } : entry))
  return { ...tree, entryCount, inodeCount, entries: () => entries.values() }
}

function rowsOf({ starts, lengths, sources, offsets, blobs }: ExtentMap) {
  return [...starts].flatMap((start, row) =>
    sources[row] === LITERALS ? [] : [[start, lengths[row], blobs[sources[row]! - 1], offsets[row]]],
  )
}

test('crc32cOpen, inverted, is the CRC-32C of RFC 3720 appendix B.4', () => {
  assert.equal(~crc32cOpen(new Uint8Array(32)) >>> 0, 0x8a91_36aa)
  assert.equal(~crc32cOpen(Buffer.from('123456789')) >>> 0, 0xe306_9283)
})

test('uuidOf is of version 8 and depends on the layers and their order', () => {
  const text = Buffer.from(UUID).toString('hex')
  assert.match(text, /^.{12}8.{3}[89ab].{15}$/)
  assert.notDeepEqual(uuidOf(['sha256:b', 'sha256:a']), UUID)
  assert.deepEqual(uuidOf(['sha256:a', 'sha256:b']), UUID)
})

test('the superblock', () => {
  const { map, metadata } = imageOf({ name: 'a', data: 'x'.repeat(5000), mtime: MTIME }, { name: 'b', mtime: MTIME })
  const at = 1024
  assert.equal(metadata.readUInt32LE(at), 0xe0f5e1e2)
  const block = Buffer.from(metadata.subarray(at, 4096))
  const checksum = block.readUInt32LE(4)
  block.writeUInt32LE(0, 4)
  assert.equal(crc32cOpen(block), checksum)
  assert.equal(metadata.readUInt32LE(at + 8), 3, 'sb_chksum and mtime')
  assert.equal(metadata.readUInt8(at + 12), 12)
  assert.equal(metadata.readUInt16LE(at + 14), 36, 'the root is the first inode')
  assert.equal(metadata.readBigUInt64LE(at + 16), 3n)
  assert.equal(metadata.readBigUInt64LE(at + 24), 100n, 'the time of most inodes')
  assert.equal(metadata.readUInt32LE(at + 36), 3)
  assert.equal(map.sizeBytes, 3 * 4096)
  assert.deepEqual(metadata.subarray(at + 48, at + 64), Buffer.from(UUID))
  assert.equal(metadata.readUInt32LE(at + 80), 0, 'no features that a kernel must know')
  assert.deepEqual(metadata.subarray(0, 1024), Buffer.alloc(1024))
})

test('data is rows of the blob that begin on blocks, in the order of the tree; nothing is read', () => {
  const { map, inode } = imageOf(
    { name: 'b', data: 'x'.repeat(4097) },
    { name: 'a', data: 'y' },
    { name: 'c' },
    { name: 'd', data: 'z'.repeat(4096) },
  )
  assert.deepEqual(rowsOf(map), [
    [4096, 1, 'sha256:0', 5632],
    [8192, 4097, 'sha256:0', 512],
    [16_384, 4096, 'sha256:0', 7168],
  ])
  assert.deepEqual([inode('a').union, inode('b').union, inode('c').union, inode('d').union], [1, 2, 0, 4])
  assert.deepEqual([inode('b').size, inode('b').layout], [4097, 0])
  assert.equal(map.sizeBytes, 5 * 4096)
})

test('the same tree and UUID give the same bytes', () => {
  const fields: TarField[] = [
    { name: 'd/', type: '5' },
    { name: 'd/a', data: 'x' },
    pax({ 'SCHILY.xattr.user.a': '1' }),
    {},
  ]
  const { map } = imageOf(...fields)
  assert.deepEqual(imageOf(...fields).map, map)
  assert.notDeepEqual(erofsImage(treeOf(fields), { uuid: uuidOf([]) }).literals, map.literals)
})

test('compact inodes, where all fits and the time is that of most', () => {
  const common = { mtime: MTIME }
  const { inode } = imageOf(
    { name: './', type: '5', ...common },
    { name: 'plain', ...common },
    { name: 'another', ...common },
    { name: 'one more', ...common },
    { name: 'later', mtime: '00000000145' },
    pax({ mtime: '100.5' }),
    { name: 'half a second later' },
    pax({ uid: '65535', gid: '65535' }),
    { name: 'largest owner', ...common },
    pax({ uid: '65536' }),
    { name: 'larger owner', ...common },
    pax({ gid: '65536' }),
    { name: 'larger group', ...common },
    pax({ 'GNU.sparse.size': '4294967295', 'GNU.sparse.map': '0,0' }),
    { name: 'largest size', ...common },
    pax({ 'GNU.sparse.size': '4294967296', 'GNU.sparse.map': '0,0' }),
    { name: 'larger size', ...common },
  )
  for (const path of ['', 'plain', 'another', 'one more', 'largest owner', 'largest size'])
    assert.equal(inode(path).isCompact, true, path)
  for (const path of ['later', 'half a second later', 'larger owner', 'larger group', 'larger size'])
    assert.equal(inode(path).isCompact, false, path)
  assert.deepEqual([inode('largest owner').uid, inode('largest owner').gid], [65_535, 65_535])
  assert.deepEqual([inode('larger owner').uid, inode('larger size').size], [65_536, 2 ** 32])
  const { mtimeSeconds, mtimeNanoseconds } = inode('half a second later')
  assert.deepEqual([mtimeSeconds, mtimeNanoseconds], [100n, 500_000_000])
})

test('65,536 names of one inode need an extended one', () => {
  for (const linkCount of [65_535, 65_536]) {
    const map = erofsImage(changed(treeOf([{ name: 'x' }]), 'x', { linkCount }), { uuid: UUID })
    const read = inodeAt(metadataOf(map), slotOf(metadataOf(map), 'x'))
    assert.deepEqual([read.isCompact, read.linkCount], [linkCount === 65_535, linkCount])
  }
})

test('times before 1970 and beyond 32 bits', () => {
  const times = ['-1.25', '-2147483649', '4294967296.999999999', '-1', '0']
  const { inode } = imageOf(...times.flatMap((mtime) => [pax({ mtime }), { name: mtime }]))
  const shown = times.map((name) => [inode(name).mtimeSeconds, inode(name).mtimeNanoseconds])
  assert.deepEqual(shown.slice(0, 4), [
    [-2n, 750_000_000],
    [-2_147_483_649n, 0],
    [4_294_967_296n, 999_999_999],
    [-1n, 0],
  ])
})

test('kinds, modes and device numbers', () => {
  const { inode, metadata } = imageOf(
    { name: 'f', mode: '0006755' },
    { name: 'd/', type: '5', mode: '0001777' },
    { name: 'l', type: '2', link: 'f' },
    { name: 'c', type: '3', major: '0007777', minor: '3777777' },
    { name: 'b', type: '4', major: '0000010', minor: '0000401' },
    { name: 'p', type: '6' },
    { name: 'h', type: '1', link: 'f' },
  )
  const modes = ['f', 'd', 'l', 'c', 'b', 'p'].map((path) => inode(path).mode.toString(8))
  assert.deepEqual(modes, ['106755', '41777', '120777', '20644', '60644', '10644'])
  // new_encode_dev: major 0xfff, minor 0xfffff; major 8, minor 0x101.
  assert.deepEqual([inode('c').union, inode('b').union], [0xffff_ffff, 0x0010_0801])
  assert.deepEqual([inode('f').linkCount, inode('d').linkCount, inode('').linkCount], [2, 2, 3])
  assert.equal(inode('h').at, inode('f').at)
  const types = blocksOf(metadata, inode(''))
    .flat()
    .map(({ name, type }) => `${name}${type}`)
  assert.deepEqual(types, ['.2', '..2', 'b4', 'c3', 'd2', 'f1', 'h1', 'l7', 'p5'])
})

test('directories: names ascend by their bytes, "." and ".." among them', () => {
  const names = ['!', '+', '-x', '.!', '.-', '..!', '...', '..a', '.a', '0', 'a', 'a.b', 'aa', '\x7f', '\xff']
  const { metadata, inode } = imageOf({ name: 'd/', type: '5' }, ...names.map((name) => ({ name: `d/${name}` })))
  const got = blocksOf(metadata, inode('d')).flat()
  const sorted = [...names, '.', '..'].sort((a, b) => (a < b ? -1 : 1))
  assert.deepEqual(
    got.map(({ name }) => name),
    sorted,
  )
  assert.equal(got.find(({ name }) => name === '.')!.slot * 32, inode('d').at)
  assert.equal(got.find(({ name }) => name === '..')!.slot * 32, inode('').at)
})

const sizes: { entries: number[]; size: number; blocks: number[]; isInline: boolean }[] = [
  { entries: [], size: 27, blocks: [2], isInline: true },
  { entries: [...Array<number>(15).fill(267)], size: 4032, blocks: [17], isInline: true },
  { entries: [...Array<number>(14).fill(267), 254, 14], size: 4033, blocks: [18], isInline: false },
  { entries: [...Array<number>(15).fill(267), 64], size: 4096, blocks: [18], isInline: false },
  { entries: [...Array<number>(15).fill(267), 64, 20], size: 4116, blocks: [18, 1], isInline: true },
  { entries: [...Array<number>(15).fill(267), 65], size: 4161, blocks: [17, 1], isInline: true },
]
for (const { entries, size, blocks, isInline } of sizes)
  test(`a directory of ${size} bytes in ${blocks.length} blocks`, () => {
    const names = entries.map((bytes, number) => `${String.fromCharCode(65 + number)}`.padEnd(bytes - 12, 'n'))
    const { metadata, inode } = imageOf(
      { name: './', type: '5' },
      { name: 'd/', type: '5', mtime: '00000000001' },
      ...names.flatMap((name) => [pax({ path: `d/${name}` }), {}]),
    )
    const directory = inode('d')
    assert.equal(directory.isCompact, false)
    assert.deepEqual([directory.size, directory.layout], [size, isInline ? 2 : 0])
    const read = blocksOf(metadata, directory)
    assert.deepEqual(
      read.map(({ length }) => length),
      blocks,
    )
    assert.deepEqual(
      read
        .flat()
        .map(({ name }) => name)
        .toSorted(),
      [...names, '.', '..'].toSorted(),
    )
    if (isInline)
      assert.equal(Math.floor(directory.at / 4096), Math.floor((directory.tailAt + (size % 4096) - 1) / 4096))
  })

test('inodes and what is inline stay within a block, and small ones fill what is left', () => {
  const random = (n: number) => (n * 7919) % 97
  const fields = Array.from({ length: 600 }, (_, n) => ({
    name: `${n}`,
    type: '2',
    link: 'x'.repeat(1 + random(n) * 40),
    mtime: '00000000001',
  })).flatMap((field) => [pax({ linkpath: field.link }), { ...field, link: '' }])
  const files = Array.from({ length: 600 }, (_, n) => ({ name: `f${n}`, mtime: '00000000002' }))
  const { metadata } = imageOf(...fields, ...files)
  const root = inodeAt(metadata, slotOf(metadata, ''))
  const slots = new Map(
    blocksOf(metadata, root)
      .flat()
      .map(({ name, slot }) => [name, slot]),
  )
  const inode = (name: string) => inodeAt(metadata, slots.get(name)!)
  const taken: [from: number, to: number][] = []
  for (let n = 0; n < 600; n += 1) {
    const link = inode(`${n}`)
    const to = link.layout === 2 ? link.tailAt + link.size : link.tailAt
    assert.equal(Math.floor(link.at / 4096), Math.floor((to - 1) / 4096), `${n}`)
    taken.push([link.at, to], [inode(`f${n}`).at, inode(`f${n}`).tailAt])
  }
  taken.sort(([a], [b]) => a - b)
  for (let index = 1; index < taken.length; index += 1) assert.ok(taken[index - 1]![1] <= taken[index]![0])
  const held = taken.reduce((sum, [from, to]) => sum + to - from, 0)
  assert.ok(held > 0.8 * metadata.length, `${held} of ${metadata.length}`)
})

test('links: behind the inode where they fit, else in a block of their own', () => {
  const of = (length: number) => [
    pax({ linkpath: 'x'.repeat(length) }),
    { name: `${length}`, type: '2', mtime: '00000000001' },
  ]
  const { metadata, inode } = imageOf(
    { name: './', type: '5' },
    { name: 'a' },
    { name: 'b' },
    ...[1, 4032, 4033, 4095].flatMap(of),
    { name: 'c' },
    { name: 'd' },
    { name: 'e' },
  )
  assert.deepEqual(
    [1, 4032, 4033, 4095].map((length) => inode(`${length}`).layout),
    [2, 2, 0, 0],
  )
  for (const length of [1, 4032, 4033, 4095]) {
    const { layout, tailAt, union, size } = inode(`${length}`)
    const at = layout === 2 ? tailAt : union * 4096
    assert.equal(metadata.toString('latin1', at, at + size), 'x'.repeat(length))
  }
})

test('attributes: in common and large ones are shared, others lie behind the inode', () => {
  const large = 'l'.repeat(2000)
  const { metadata, inode } = imageOf(
    pax({ 'SCHILY.xattr.user.both': 'b', 'SCHILY.xattr.user.one': '1', 'SCHILY.xattr.trusted.large': large }),
    { name: 'one', data: 'x' },
    pax({ 'SCHILY.xattr.user.both': 'b', 'SCHILY.xattr.security.two': '22' }),
    { name: 'two', data: 'x' },
    pax({ 'SCHILY.xattr.system.posix_acl_access': 'a', 'SCHILY.xattr.system.posix_acl_default': 'd' }),
    { name: 'lists/', type: '5' },
    { name: 'none' },
  )
  assert.deepEqual(xattrsOf(metadata, inode('one')), [
    [4, 'large', large],
    [1, 'both', 'b'],
    [1, 'one', '1'],
  ])
  assert.deepEqual(xattrsOf(metadata, inode('two')), [
    [1, 'both', 'b'],
    [6, 'two', '22'],
  ])
  assert.equal(inode('one').sharedXattrs[1], inode('two').sharedXattrs[0])
  assert.equal(inode('two').xattrBytes, 12 + 4 + 12)
  assert.deepEqual(xattrsOf(metadata, inode('lists')), [
    [2, '', 'a'],
    [3, '', 'd'],
  ])
  assert.equal(inode('none').xattrBytes, 0)
})

test('attributes: no inode names more than 255 shared ones', () => {
  const many = pax(Object.fromEntries(Array.from({ length: 300 }, (_, n) => [`SCHILY.xattr.user.${n}`, 'v'])))
  const { metadata, inode } = imageOf(many, { name: 'a' }, many, { name: 'b' })
  assert.equal(inode('a').sharedXattrs.length, 255)
  assert.equal(new Set(xattrsOf(metadata, inode('a')).map(([, rest]) => rest)).size, 300)
  assert.deepEqual(xattrsOf(metadata, inode('b')), xattrsOf(metadata, inode('a')))
})

test('attributes that Linux keeps on no disk are left out', () => {
  const odd = { 'SCHILY.xattr.com.apple.x': '1', 'SCHILY.xattr.user.': '2', 'SCHILY.xattr.system.nfs4_acl': '3' }
  const { metadata, inode } = imageOf(
    pax(odd),
    { name: 'odd' },
    pax({ ...odd, 'SCHILY.xattr.user.a': 'a' }),
    { name: 'even' },
    pax({ 'SCHILY.xattr.user.a': 'a', 'SCHILY.xattr.trusted.a': 'b' }),
    { name: 'pipe', type: '6' },
  )
  assert.equal(inode('odd').xattrBytes, 0)
  assert.deepEqual(xattrsOf(metadata, inode('even')), [[1, 'a', 'a']])
  assert.deepEqual(xattrsOf(metadata, inode('pipe')), [[4, 'a', 'b']])
})

test('a value of 65,536 bytes, and more attributes than an inode counts, are refused by name', () => {
  const value = (length: number) => pax({ 'SCHILY.xattr.user.v': 'x'.repeat(length) })
  assert.throws(() => imageOf(value(65_536), { name: 'd' }), {
    code: 'unsupported',
    message: 'Cannot put "d" into an EROFS file system: its attribute "user.v" has 65536 bytes, at most 65535',
  })
  assert.equal(imageOf(value(65_535), { name: 'd' }).inode('d').sharedXattrs.length, 1)
  const many = Object.fromEntries(Array.from({ length: 300 }, (_, n) => [`SCHILY.xattr.user.${n}`, 'x'.repeat(1000)]))
  assert.throws(() => imageOf(pax(many), { name: 'd' }), /its attributes take 30\d{4} bytes, at most 262148/)
})

test('small holes are blocks of zeros, data in them keeps its place', () => {
  const { map, inode } = imageOf(pax({ 'GNU.sparse.size': '20000', 'GNU.sparse.map': '100,2,8192,3' }), {
    name: 'f',
    data: 'abcde',
  })
  assert.deepEqual([inode('f').layout, inode('f').union], [0, 1])
  assert.deepEqual(rowsOf(map), [
    [4096 + 100, 2, 'sha256:0', 1536],
    [4096 + 8192, 3, 'sha256:0', 1538],
  ])
  assert.equal(map.sizeBytes, 6 * 4096)
})

test('large holes take no blocks: a table of chunks behind the inode says where data is', () => {
  const GiB = 2 ** 30
  const places = [0, 3 * GiB - 1, 5 * GiB + 4096]
  const { map, metadata, inode } = imageOf(
    pax({ 'GNU.sparse.size': String(6 * GiB), 'GNU.sparse.map': places.map((at) => `${at},2`).join(',') }),
    { name: 'f', data: 'abcdef' },
    { name: 'g', data: 'behind' },
  )
  const file = inode('f')
  assert.deepEqual([file.layout, file.size], [4, 6 * GiB])
  assert.equal(metadata.readUInt32LE(1024 + 80), 4, 'chunked_file')
  const chunkBytes = 4096 * 2 ** file.union
  const count = Math.ceil(file.size / chunkBytes)
  const table = Array.from({ length: count }, (_, chunk) => metadata.readUInt32LE(file.tailAt + 4 * chunk))
  // Of the run that crosses from one chunk to the next, both follow each other on the device.
  const used = [0, (3 * GiB) / chunkBytes - 1, (3 * GiB) / chunkBytes, (5 * GiB) / chunkBytes]
  assert.deepEqual(
    table.flatMap((block, chunk) => (block === 0xffff_ffff ? [] : [chunk])),
    used,
  )
  const firstBlock = metadata.length / 4096
  assert.deepEqual(
    used.map((chunk) => table[chunk]),
    used.map((_, index) => firstBlock + index * 2 ** file.union),
  )
  const at = (index: number, inChunk: number) => firstBlock * 4096 + index * chunkBytes + inChunk
  assert.deepEqual(rowsOf(map), [
    [at(0, 0), 2, 'sha256:0', 1536],
    [at(1, chunkBytes - 1), 2, 'sha256:0', 1538],
    [at(3, 4096), 2, 'sha256:0', 1540],
    [at(4, 0), 6, 'sha256:0', 2560],
  ])
  assert.ok(map.sizeBytes < 64 * 2 ** 20, `${map.sizeBytes}`)
})

test('a file that is one hole, and one that ends within a chunk', () => {
  const { map, metadata, inode } = imageOf(
    pax({ 'GNU.sparse.size': String(2 ** 40), 'GNU.sparse.map': '0,0' }),
    { name: 'hole' },
    pax({ 'GNU.sparse.size': '8000000', 'GNU.sparse.map': '7999990,10' }),
    { name: 'tail', data: '0123456789' },
  )
  assert.equal(inode('hole').layout, 4)
  assert.equal(metadata.readUInt32LE(inode('hole').tailAt), 0xffff_ffff)
  const { layout, union } = inode('tail')
  assert.equal(layout, 4)
  const lastChunk = Math.floor(7_999_999 / (4096 * 2 ** union)) * 4096 * 2 ** union
  assert.equal(rowsOf(map)[0]![0], metadata.length + 7_999_990 - lastChunk)
  assert.equal(map.sizeBytes, metadata.length + Math.ceil((8_000_000 - lastChunk) / 4096) * 4096)
})

test('more than 16 TiB are refused', () => {
  const of = (length: number) =>
    erofsImage(changed(treeOf([{ name: 'x' }]), 'x', { size: length, data: [{ at: 0, offset: 0, length }] }), {
      uuid: UUID,
    })
  assert.equal(of(2 ** 44 - 8192).sizeBytes, 2 ** 44 - 4096)
  assert.throws(() => of(2 ** 44 - 4096), {
    code: 'unsupported',
    message: /it takes 4294967296 blocks of 4096 bytes, at most 4294967295$/,
  })
})
