import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pax, paxRecord, tarEntry, tarOf, type TarField } from './tar-maker.ts'
import { createTarIndexer } from './indexer.ts'
import type { LayerEntry, LayerIndex } from './layer-index.ts'
import type { TarLimits } from './limits.ts'

function index(bytes: Uint8Array, limits: Partial<TarLimits> = {}): LayerIndex {
  const indexer = createTarIndexer(limits)
  indexer.push(bytes)
  return indexer.end()
}

function only(...fields: TarField[]): LayerEntry {
  const { entries } = index(tarOf(...fields))
  assert.equal(entries.length, 1)
  return entries[0]!
}

const names = [
  { name: '/etc/passwd', path: 'etc/passwd' },
  { name: './a/./b//c', path: 'a/b/c' },
  { name: './', path: '', type: '5' },
  { name: '///', path: '', type: '5' },
  { name: '.../..x/x..', path: '.../..x/x..' },
  { name: '..', error: /"\.\." at offset 0: "\.\." in the name/ },
  { name: 'a/../b', error: /"\.\." in the name/ },
  { name: 'a/..', error: /"\.\." in the name/ },
  { name: './..//', error: /"\.\." in the name/ },
  { name: './', error: /the root as a file/ },
  { name: 'dir/', type: '\0', path: 'dir', kind: 'directory' },
  { name: 'file', type: '\0', path: 'file', kind: 'file' },
  { name: 'file', type: '7', path: 'file', kind: 'file' },
  { name: '\xff\xfe', path: '\xff\xfe' },
  { name: 'name', prefix: 'pre/fix', path: 'pre/fix/name' },
  { name: 'name', prefix: 'not ascii \x01\xff', magic: 'ustar  \0', path: 'name' },
]
for (const c of names)
  test(`createTarIndexer: the name ${JSON.stringify(c.name)} of type ${JSON.stringify(c.type ?? '0')}`, () => {
    const field: TarField = {
      name: c.name,
      ...(c.type !== undefined && { type: c.type }),
      ...(c.prefix !== undefined && { prefix: c.prefix }),
      ...(c.magic !== undefined && { magic: c.magic }),
    }
    if (c.error) return assert.throws(() => only(field), { name: 'WireError', message: c.error })
    assert.equal(only(field).path, c.path)
    if (c.kind !== undefined) assert.equal(only(field).kind, c.kind)
  })

const refusals: { name: string; fields: TarField[]; error: RegExp; limits?: Partial<TarLimits> }[] = [
  { name: 'a bad checksum', fields: [{ checksum: '000001\0 ' }], error: /at offset 0: checksum 1 where \d+ is right/ },
  {
    name: 'a negative size',
    fields: [{ name: 'n', size: `${'\xff'.repeat(11)}\xfe` }],
    error: /"n" at .*a size of -2 bytes/,
  },
  { name: 'a size that is no number', fields: [{ size: '00000000zz' }], error: /size is not an octal number/ },
  { name: 'a size beyond 2^53', fields: [{ size: `\x80${'\x7f'.repeat(11)}` }], error: /size is beyond 2\^53/ },
  {
    name: 'a file beyond the budget',
    fields: [{ data: 'x'.repeat(600) }],
    limits: { fileBytes: 599 },
    error: /a file of 600/,
  },
  {
    name: 'files beyond the budget together',
    fields: [{ data: 'aaaa' }, { name: 'second', data: 'aaaa' }],
    limits: { totalBytes: 7 },
    error: /"second" at offset 1024: more than 7 bytes of files in one layer/,
  },
  { name: 'too many entries', fields: [{}, {}, {}], limits: { entries: 2 }, error: /offset 1024: more than 2 entries/ },
  {
    name: 'too many bytes of index',
    fields: [{ name: 'abc' }, { name: 'defg' }],
    limits: { indexBytes: 20 },
    error: /"defg" at offset 512: more than 20 bytes of index/,
  },
  {
    name: 'a long PAX header',
    fields: [pax({ comment: 'x'.repeat(500) }), {}],
    limits: { headerBytes: 400 },
    error: /extended header of 51\d bytes/,
  },
  { name: 'a NUL in a PAX path', fields: [pax({ path: 'a\0b' }), {}], error: /a NUL in the PAX record path/ },
  {
    name: 'a NUL in a PAX linkpath',
    fields: [pax({ linkpath: 'a\0b' }), { type: '2' }],
    error: /a NUL in the PAX record linkpath/,
  },
  { name: '".." in a PAX path', fields: [pax({ path: 'a/../../b' }), {}], error: /"\.\." in the name/ },
  { name: '".." in a GNU long name', fields: [{ type: 'L', data: '../x\0' }, {}], error: /"\.\." in the name/ },
  {
    name: '".." in a hard link',
    fields: [{ type: '1', link: '../etc/shadow' }],
    error: /"\.\." in the name of its link target/,
  },
  { name: 'a hard link to nothing', fields: [{ type: '1' }], error: /a link to nothing/ },
  { name: 'a symlink to nothing', fields: [{ type: '2' }], error: /a link to nothing/ },
  {
    name: 'a long name',
    fields: [{ type: 'L', data: `${'n'.repeat(256)}\0` }, {}],
    error: /a name of more than 255 bytes/,
  },
  { name: 'a long path', fields: [{ type: 'L', data: `${'n/'.repeat(2048)}n\0` }, {}], error: /a path of 4097 bytes/ },
  {
    name: 'a long link target',
    fields: [{ type: 'K', data: 'n'.repeat(4096) }, { type: '2' }],
    error: /link target of 4096 bytes/,
  },
  { name: 'an unknown type', fields: [{ name: 'm', type: 'M' }], error: /"m" at offset 0: unknown type "M"/ },
  { name: 'an owner beyond 32 bits', fields: [pax({ uid: '4294967296' }), {}], error: /owner 4294967296/ },
  { name: 'a negative owner', fields: [{ gid: '\xff'.repeat(8) }], error: /owner -1 is not/ },
  { name: 'a device beyond 12 bits', fields: [{ type: '3', major: '0010000' }], error: /device 4096:0/ },
  {
    name: 'a long attribute',
    fields: [pax({ 'SCHILY.xattr.user.a': 'x'.repeat(65537) }), {}],
    error: /an attribute of 65537 bytes/,
  },
  {
    name: 'a long attribute name',
    fields: [pax({ [`SCHILY.xattr.${'n'.repeat(256)}`]: '' }), {}],
    error: /attribute name of 256/,
  },
  { name: 'a PAX mtime that is none', fields: [pax({ mtime: '1e9' }), {}], error: /mtime is not a time/ },
  { name: 'a negative PAX size', fields: [pax({ size: '-1' }), {}], error: /size is not a number/ },
  { name: 'a PAX record without "="', fields: [{ type: 'x', data: '6 abc\n' }, {}], error: /without "="/ },
  {
    name: 'a PAX record that is too long',
    fields: [{ type: 'x', data: '99 a=b\n' }, {}],
    error: /does not end in a newline there/,
  },
  { name: 'a PAX header without entry', fields: [pax({ path: 'a' })], error: /the archive ends within it/ },
  {
    name: 'a lone zero block',
    fields: [
      { name: 'a' },
      {
        name: '',
        patch: {},
        checksum: '\0'.repeat(8),
        magic: '\0'.repeat(8),
        mode: '',
        uid: '',
        gid: '',
        size: '',
        mtime: '',
        type: '\0',
        major: '',
        minor: '',
      },
      { name: 'b' },
    ],
    error: /a single zero block, then more/,
  },
  {
    name: 'a 10 TB sparse file',
    fields: [sparse10({ 'GNU.sparse.realsize': '10000000000000' }), { data: mapData('1\n0\n0\n') }],
    error: /a file of 10000000000000 bytes, at most 1099511627776/,
  },
  {
    name: 'a 10 TB old sparse file',
    fields: [oldSparse([[0, 0]], 10_000_000_000_000)],
    error: /a file of 10000000000000 bytes/,
  },
  {
    name: 'a negative old sparse size',
    fields: [{ ...oldSparse([], 0), patch: { 483: '\xff'.repeat(12) } }],
    error: /a size of -1 bytes/,
  },
  { name: 'a sparse map out of order', fields: [sparse01('10,1,5,1', 2), { data: 'ab' }], error: /out of order/ },
  { name: 'a sparse map that overlaps', fields: [sparse01('0,2,1,2', 2), { data: 'abcd' }], error: /out of order/ },
  {
    name: 'a sparse map beyond the size',
    fields: [sparse01('99,2', 1), { data: 'ab' }],
    error: /out of order or beyond/,
  },
  {
    name: 'a sparse map with missing data',
    fields: [sparse01('0,2', 1), { data: 'abc' }],
    error: /map of 2 bytes over 3 bytes/,
  },
  {
    name: 'a sparse map of another length',
    fields: [sparse01('0,1', 2), { data: 'a' }],
    error: /another length than it states/,
  },
  {
    name: 'a sparse map with half a pair',
    fields: [pax({ 'GNU.sparse.size': '9', 'GNU.sparse.map': '1' }), {}],
    error: /offset without length/,
  },
  {
    name: 'sparse offsets out of turn',
    fields: [{ type: 'x', data: paxRecord('GNU.sparse.numbytes', '1') }, {}],
    error: /out of turn/,
  },
  {
    name: 'a sparse format of the future',
    fields: [pax({ 'GNU.sparse.major': '2', 'GNU.sparse.minor': '0' }), {}],
    error: /sparse format 2\.0/,
  },
  {
    name: 'a 1.0 map that is not there',
    fields: [sparse10({ 'GNU.sparse.realsize': '5' }), { data: '' }],
    error: /sparse map|not an octal|ends within/,
  },
  {
    name: 'a 1.0 map with letters',
    fields: [sparse10({ 'GNU.sparse.realsize': '5' }), { data: mapData('1\nx\n') }],
    error: /sparse map is not a number/,
  },
  {
    name: 'too many pieces',
    fields: [sparse01('0,1,2,1', 2), { data: 'ab' }],
    limits: { dataRuns: 1 },
    error: /sparse map of more than 1 pieces/,
  },
]
for (const c of refusals)
  test(`createTarIndexer refuses ${c.name}`, () => {
    assert.throws(() => index(tarOf(...c.fields), c.limits), { name: 'WireError', message: c.error })
  })

test('a refused indexer stays refused', () => {
  const indexer = createTarIndexer()
  assert.throws(() => indexer.push(tarEntry({ name: '..' })), /"\.\."/)
  assert.throws(() => indexer.push(tarEntry({ name: 'fine' })), /"\.\."/)
  assert.throws(() => indexer.end(), /"\.\."/)
})

test('security.capability keeps its bytes, whatever they are', () => {
  const value = '\x01\0\0\x02\0\x20\0\0\0\0\0\0\x80\xff\n='
  const entry = only(pax({ 'SCHILY.xattr.security.capability': value }), {})
  assert.equal(Buffer.from(entry.xattrs.get('security.capability')!).toString('latin1'), value)
})

test("libarchive's attributes are decoded; SCHILY's form of the same wins", () => {
  const coded = { 'LIBARCHIVE.xattr.user.a%3Db': 'gP8', 'LIBARCHIVE.xattr.user.c': 'AAAA' }
  const { xattrs } = only(pax({ ...coded, 'SCHILY.xattr.user.c': 'plain' }), {})
  assert.deepEqual(
    [...xattrs],
    [
      ['user.a=b', new Uint8Array([0x80, 0xff])],
      ['user.c', new Uint8Array(Buffer.from('plain'))],
    ],
  )
})

const times = [
  { text: '12.5', seconds: 12, ns: 500_000_000 },
  { text: '0.000000001', seconds: 0, ns: 1 },
  { text: '-1', seconds: -1, ns: 0 },
  { text: '-1.25', seconds: -2, ns: 750_000_000 },
  { text: '-0.000000001', seconds: -1, ns: 999_999_999 },
  { text: '7.', seconds: 7, ns: 0 },
  { text: '-0', seconds: 0, ns: 0 },
  { text: '1.1234567899', seconds: 1, ns: 123_456_789 },
]
for (const { text, seconds, ns } of times)
  test(`a PAX mtime of ${text}`, () => {
    const entry = only(pax({ mtime: text }), { mtime: '00000000017' })
    assert.deepEqual([entry.mtimeSeconds, entry.mtimeNanoseconds], [seconds, ns])
  })

test('base-256 numbers, negative times included', () => {
  const entry = only({ uid: '\x80\0\0\0\xff\xff\xff\xfe', mtime: '\xff'.repeat(12), data: 'x' })
  assert.deepEqual([entry.uid, entry.mtimeSeconds], [0xffff_fffe, -1])
})

test('local PAX records win over global ones, and an empty value takes a global away', () => {
  const bytes = tarOf(
    pax({ uid: '7', mtime: '5' }, 'g'),
    { name: 'a' },
    pax({ uid: '8' }),
    { name: 'b' },
    pax({ uid: '' }, 'g'),
    { name: 'c', uid: '0000003' },
  )
  const got = index(bytes).entries.map(({ uid, mtimeSeconds }) => [uid, mtimeSeconds])
  assert.deepEqual(got, [
    [7, 5],
    [8, 5],
    [3, 5],
  ])
})

test('an old GNU sparse map goes on in extension blocks', () => {
  const pairs = Array.from({ length: 30 }, (_, at): [number, number] => [at * 10, 1])
  const header = oldSparse(pairs.slice(0, 4), 1000, '\x01')
  const block = tarEntry({ ...header, name: 's', size: '00000000036' }).subarray(0, 512)
  const bytes = Buffer.concat([
    block,
    extension(pairs.slice(4, 25), true),
    extension(pairs.slice(25), false),
    Buffer.alloc(512, 'd'),
    tarEntry({ name: 'next', data: 'n' }),
    Buffer.alloc(1024),
  ])
  const [first, next] = index(bytes).entries
  assert.equal(first!.size, 1000)
  assert.deepEqual(
    first!.data.map((run) => [run.at, run.offset - 1536, run.length]),
    pairs.map(([at], n) => [at, n, 1]),
  )
  assert.deepEqual(next!.data, [{ at: 0, offset: 2560, length: 1 }])
  for (let cut = 513; cut < 1536 + 30; cut += 100) assert.throws(() => index(bytes.subarray(0, cut)), /ends within/)
})

test('blobBytes counts padding and what follows the end', () => {
  const bytes = Buffer.concat([tarOf({ data: 'x' }), Buffer.from('rubbish after the end')])
  assert.equal(index(bytes).blobBytes, bytes.length)
})

function sparse01(map: string, count: number): TarField {
  return pax({ 'GNU.sparse.size': '100', 'GNU.sparse.numblocks': `${count}`, 'GNU.sparse.map': map })
}

function sparse10(more: Record<string, string>): TarField {
  return pax({ 'GNU.sparse.major': '1', 'GNU.sparse.minor': '0', ...more })
}

function mapData(map: string): string {
  return map.padEnd(512, '\0')
}

function pairText([at, length]: readonly [number, number]): string {
  return `${at.toString(8).padStart(11, '0')}\0${length.toString(8).padStart(11, '0')}\0`
}

function oldSparse(pairs: [number, number][], size: number, more = '\0'): TarField {
  const hex = size.toString(16).padStart(22, '0')
  const real = `\x80${Buffer.from(hex, 'hex').toString('latin1')}`
  return { type: 'S', magic: 'ustar  \0', patch: { 386: pairs.map(pairText).join(''), 482: more, 483: real } }
}

function extension(pairs: [number, number][], isMore: boolean): Buffer {
  const block = Buffer.alloc(512)
  block.write(pairs.map(pairText).join(''), 'latin1')
  block[504] = isMore ? 1 : 0
  return block
}

test("star's prefix ends where its times begin", () => {
  const prefix = `${'p'.repeat(65)}/${'q'.repeat(65)}`
  const star = { prefix, name: 'n', patch: { 476: '11222333444', 488: '11222333444', 508: 'tar' } }
  assert.equal(only(star).path, `${prefix}/n`)
})
