import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sizeOf, type Extent } from '../extents.ts'
import { createTarIndexer } from '../tar/indexer.ts'
import { pax, tarOf, type TarField } from '../tar/tar-maker.ts'
import { mergeLayers } from '../tree/merge.ts'
import { cpioArchive } from './archive.ts'
import { newcHeader } from './newc.ts'
import { cpioExtents } from './project.ts'

interface Member {
  name: string
  inode: number
  mode: number
  links: number
  mtime: number
  data: string
}

function project(...fields: TarField[]): Buffer {
  const blob = tarOf(...fields)
  const indexer = createTarIndexer()
  indexer.push(blob)
  const extents = cpioExtents(mergeLayers([{ digest: 'sha256:x', index: indexer.end() }]))
  const bytes = Buffer.concat(extents.map((extent) => bytesOf(extent, blob)))
  assert.equal(bytes.length, sizeOf(extents))
  return bytes
}

function bytesOf(extent: Extent, blob: Uint8Array): Uint8Array {
  if (extent.kind === 'bytes') return extent.bytes
  if (extent.kind === 'zeros') return new Uint8Array(extent.length)
  return blob.subarray(extent.offset, extent.offset + extent.length)
}

/** A reader of its own, from the format's description. */
function members(bytes: Uint8Array): Member[] {
  const text = Buffer.from(bytes).toString('latin1')
  const list: Member[] = []
  for (let at = 0; ;) {
    assert.equal(text.slice(at, at + 6), '070701')
    const field = (number: number): number => parseInt(text.slice(at + 6 + 8 * number, at + 14 + 8 * number), 16)
    const nameLength = field(11)
    const name = text.slice(at + 110, at + 110 + nameLength - 1)
    assert.equal(text[at + 110 + nameLength - 1], '\0')
    const dataAt = Math.ceil((at + 110 + nameLength) / 4) * 4
    if (name === 'TRAILER!!!') {
      assert.match(text.slice(dataAt), /^\0*$/)
      return list
    }
    const data = text.slice(dataAt, dataAt + field(6))
    list.push({ name, inode: field(0), mode: field(1), links: field(4), mtime: field(5), data })
    at = Math.ceil((dataAt + field(6)) / 4) * 4
  }
}

test('cpioExtents: the last name of a link group carries the data', () => {
  const bytes = project(
    { name: 'a', data: 'data' },
    { name: 'b', type: '1', link: 'a' },
    { name: 'c', type: '1', link: 'a' },
  )
  assert.deepEqual(
    members(bytes).map(({ name, inode, links, data }) => [name, inode, links, data]),
    [
      ['.', 1, 2, ''],
      ['a', 2, 3, ''],
      ['b', 2, 3, ''],
      ['c', 2, 3, 'data'],
    ],
  )
})

test('cpioExtents: linked symlinks are written whole, each with an inode of its own', () => {
  const got = members(project({ name: 'l', type: '2', link: 'target' }, { name: 'm', type: '1', link: 'l' }))
  assert.deepEqual(
    got.slice(1).map(({ name, inode, links, data }) => [name, inode, links, data]),
    [
      ['l', 2, 1, 'target'],
      ['m', 3, 1, 'target'],
    ],
  )
})

test('cpioExtents: a file that is called as the end of the archive does not end it', () => {
  const got = members(project({ name: 'TRAILER!!!', data: 'x' }, { name: 'after', data: 'y' }))
  assert.deepEqual(
    got.map(({ name }) => name),
    ['.', './TRAILER!!!', 'after'],
  )
})

test('cpioExtents: types, bits, and times that are clamped', () => {
  const got = members(
    project({ name: 'old', mtime: '\xff'.repeat(12), mode: '0004755' }, pax({ mtime: '5000000000' }), {
      name: 'p',
      type: '6',
    }),
  )
  assert.deepEqual(
    got.slice(1).map(({ mode, mtime }) => [mode.toString(8), mtime]),
    [
      ['104755', 0],
      ['10644', 0xffff_ffff],
    ],
  )
})

test('cpioExtents refuses a file of 4 GiB, by its name', () => {
  const sparse = (size: number) => [
    pax({ 'GNU.sparse.size': `${size}`, 'GNU.sparse.map': '0,1' }),
    { name: 'd/big', data: 'x' },
  ]
  assert.throws(() => project(...sparse(2 ** 32)), {
    name: 'AppError',
    code: 'unsupported',
    message: 'Cannot put "d/big" into an initramfs: it has 4294967296 bytes, cpio holds at most 4294967295',
  })
})

test('cpioArchive makes parents first, and the same bytes each time', () => {
  const entries = [
    { kind: 'file', path: '/usr/bin/tool', bytes: Buffer.from('abc'), mode: 0o755 },
    { kind: 'directory', path: 'usr', mode: 0o700 },
    { kind: 'symlink', path: 'bin', target: 'usr/bin/ü' },
    { kind: 'block', path: 'dev/sda', major: 8, minor: 0 },
  ] as const
  const bytes = cpioArchive(entries)
  assert.deepEqual(
    members(bytes).map(({ name, mode, data, mtime }) => [name, mode.toString(8), data, mtime]),
    [
      ['usr', '40700', '', 0],
      ['usr/bin', '40755', '', 0],
      ['usr/bin/tool', '100755', 'abc', 0],
      ['bin', '120777', Buffer.from('usr/bin/ü').toString('latin1'), 0],
      ['dev', '40755', '', 0],
      ['dev/sda', '60600', '', 0],
    ],
  )
  assert.equal(bytes.length % 512, 0)
  assert.deepEqual(cpioArchive(entries), bytes)
})

test('cpioArchive refuses names that leave the archive, name nothing, or come twice', () => {
  const file = (path: string) => ({ kind: 'file', path, bytes: new Uint8Array() }) as const
  assert.throws(() => cpioArchive([file('../x')]), { name: 'RangeError', message: /"\.\." in the name/ })
  assert.throws(() => cpioArchive([file('/')]), /without a name/)
  assert.throws(() => cpioArchive([file('a'), file('./a')]), /"a" comes twice/)
})

test('newcHeader refuses numbers that do not fit', () => {
  const fields = {
    inode: 1,
    mode: 0,
    uid: 0,
    gid: 0,
    linkCount: 1,
    mtimeSeconds: 0,
    size: 0,
    deviceMajor: 0,
    deviceMinor: 0,
    name: 'n',
  }
  assert.throws(() => newcHeader({ ...fields, size: 2 ** 32 }), /not a 32-bit number/)
  assert.throws(() => newcHeader({ ...fields, uid: -1 }), /not a 32-bit number/)
})
