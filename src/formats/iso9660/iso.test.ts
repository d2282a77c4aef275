import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sizeOf } from '../extents.ts'
import type { NamedFile } from '../folders.ts'
import { bootCatalog, hybridRecord, withBootInfo } from './boot.ts'
import { isoImage } from './image.ts'
import { isoIdentifiers } from './names.ts'

const OPTIONS = { label: 'MEDIUM', madeAtSeconds: 1_000_000_000, diskId: 1 }
const blob = (path: string, length: number): NamedFile => ({
  path,
  content: [{ kind: 'blob', blob: 'sha256:x', offset: 7, length }],
})
const identifiers = (...names: string[]) => isoIdentifiers(names.map((name) => ({ name, isFolder: false })))

test('isoIdentifiers: capitals, digits and _ in eight and three, each once', () => {
  assert.deepEqual(identifiers('isolinux.cfg', 'Read me.text', 'READ_ME.TEX', 'kernel', '.hidden', 'ä'), [
    'ISOLINUX.CFG;1',
    'READ_ME.TEX;1',
    'READ_ME1.TEX;1',
    'KERNEL.;1',
    '_HIDDEN.;1',
    '_.;1',
  ])
  const many = identifiers(...Array.from({ length: 1200 }, (_, index) => `long name ${index}`))
  assert.equal(new Set(many).size, 1200)
  assert.ok(many.every((identifier) => /^[A-Z0-9_]{1,8}\.;1$/.test(identifier)))
  assert.deepEqual(isoIdentifiers([{ name: 'a.b', isFolder: true }]), ['A_B'])
})

test('bootCatalog: the words of the validation entry add up to 0', () => {
  for (const images of [{ bios: { lba: 20 } }, { efi: { lba: 30, sizeBytes: 512 } }]) {
    const catalog = Buffer.from(bootCatalog(images))
    let sum = 0
    for (let at = 0; at < 32; at += 2) sum += catalog.readUInt16LE(at)
    assert.equal(sum & 0xffff, 0)
    assert.equal(catalog[32], 0x88)
  }
})

test('withBootInfo: the sum is of what follows byte 64, the last word filled with zeros', () => {
  const image = Buffer.alloc(70)
  image.set([1, 0, 0, 0, 2, 1], 64)
  const told = Buffer.from(withBootInfo(image, 99, 16))
  const words = [8, 12, 16, 20].map((at) => told.readUInt32LE(at))
  assert.deepEqual(words, [16, 99, 70, 1 + 2 + 256])
  assert.equal(told.length, 70)
})

test('hybridRecord: partitions that do not overlap', () => {
  const efi = { lba: 100, sizeBytes: 4096 }
  const record = Buffer.from(
    hybridRecord({ bios: { lba: 50 }, efi, code: Buffer.alloc(432), diskId: 7, totalSectors: 200 }),
  )
  const partition = (at: number) => [record.readUInt32LE(at + 8), record.readUInt32LE(at + 12)]
  assert.deepEqual(
    [partition(446), partition(462)],
    [
      [0, 400],
      [400, 8],
    ],
  )
  assert.deepEqual([record.readUInt32LE(432), record.readUInt32LE(440), record.readUInt16LE(510)], [200, 7, 0xaa55])
})

test('isoImage: the same files give the same image in whatever order they come, whole MiB, data where they lie', () => {
  const files = [blob('b/file', 3000), blob('a', 10), blob('c', 0)]
  const image = isoImage(files, OPTIONS)
  assert.deepEqual(isoImage(files.toReversed(), OPTIONS), image)
  assert.equal(sizeOf(image), 1 << 20)
  assert.equal(image.filter((extent) => extent.kind === 'blob' && extent.length > 0).length, 2)
})

const refused: { name: string; files: NamedFile[]; options?: object; error: RegExp }[] = [
  { name: 'a small label', files: [], options: { label: 'arch' }, error: /Cannot use "arch" as the label of an ISO/ },
  {
    name: 'a name of 154 bytes',
    files: [blob(`d/${'ä'.repeat(77)}`, 1)],
    error: /its name has 154 bytes, at most 153 are possible/,
  },
  {
    name: 'too little room',
    files: [blob('a', 1 << 20)],
    options: { sizeBytes: 1 << 20 },
    error: /on a medium of 1048576 bytes: \d+ bytes more are needed/,
  },
]
for (const { name, files, options, error } of refused)
  test(`isoImage refuses ${name}`, () => assert.throws(() => isoImage(files, { ...OPTIONS, ...options }), error))
