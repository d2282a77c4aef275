import assert from 'node:assert/strict'
import { test } from 'node:test'
import { extentLength, sizeOf } from '../extents.ts'
import type { NamedFile } from '../folders.ts'
import { geometryOf } from './geometry.ts'
import { fatImage } from './image.ts'
import { fatNames, longEntries } from './names.ts'

const OPTIONS = { label: 'MEDIUM', serial: 1, madeAtSeconds: 1_000_000_000 }
const MEBIBYTE = 1 << 20

function blob(path: string, length: number): NamedFile {
  return { path, content: [{ kind: 'blob', blob: 'sha256:x', offset: 7, length }] }
}

const named = (...names: string[]) => fatNames(names.map((name) => ({ name, path: `there/${name}` })))

test('fatNames: eight and three as they are, others with a short one beside them', () => {
  const cases: [string, string, string | undefined][] = [
    ['BOOTX64.EFI', 'BOOTX64 EFI', undefined],
    ['readme', 'README     ', 'readme'],
    ['autoexec.ipxe', 'AUTOEX~1IPX', 'autoexec.ipxe'],
    ['autoexec.ipxy', 'AUTOEX~2IPX', 'autoexec.ipxy'],
    ['a b.c.text', 'ABC~1   TEX', 'a b.c.text'],
    ['.hidden', 'HIDDEN~1   ', '.hidden'],
    ['über', '_BER~1     ', 'über'],
    ['日本', '__~1       ', '日本'],
  ]
  assert.deepEqual(
    named(...cases.map(([name]) => name)),
    cases.map(([, short, long]) => ({ short, long })),
  )
})

test('fatNames: a tail is never one that a file has as its name, and grows', () => {
  const names = named('LONGNA~1.TXT', ...Array.from({ length: 12 }, (_, index) => `longname-${index}.txt`))
  assert.equal(new Set(names.map(({ short }) => short)).size, 13)
  assert.equal(names[1]!.short, 'LONGNA~2TXT')
  assert.equal(names[12]!.short, 'LONGN~13TXT')
})

test('longEntries: a name of 13 characters fills its entry; one of 14 has two, the last first', () => {
  assert.equal(longEntries({ short: 'ABCDEF~1   ', long: 'abcdefghijklm' }).length, 32)
  const two = longEntries({ short: 'ABCDEF~1   ', long: 'abcdefghijklmn' })
  assert.deepEqual([two.length, two[0], two[32]], [64, 0x42, 1])
  assert.deepEqual([...two.subarray(1, 7)], [0x6e, 0, 0, 0, 0xff, 0xff])
})

test('geometryOf: the count of clusters says the kind, and never comes near its bounds', () => {
  const seen = new Set<number>()
  for (let sectors = 200; sectors < 200_000; sectors += 37) {
    const { bits, clusters, totalSectors, reservedSectors, rootSectors, fatSectors, clusterSectors } = geometryOf(
      sectors,
      1,
    )
    seen.add(bits)
    assert.ok(totalSectors <= sectors)
    const counted = Math.floor((totalSectors - reservedSectors - rootSectors - 2 * fatSectors) / clusterSectors)
    assert.equal(counted, clusters, `${sectors} sectors`)
    assert.ok(((clusters + 2) * bits) / 8 <= fatSectors * 512)
    const kind = clusters < 4085 - 16 ? 12 : clusters < 65_525 - 16 ? 16 : 32
    assert.equal(kind, bits, `${clusters} clusters`)
    for (const bound of [4085, 65_525]) assert.ok(Math.abs(clusters - bound) >= 16, `${clusters} clusters`)
  }
  assert.deepEqual(seen, new Set([12, 16, 32]))
})

test('fatImage: the same files give the same image in whatever order they come, and data stay where they are', () => {
  const files = [blob('b/file', 3000), blob('a', 10), blob('EFI/BOOT/BOOTX64.EFI', 70_000)]
  const image = fatImage(files, OPTIONS)
  assert.deepEqual(fatImage(files.toReversed(), OPTIONS), image)
  assert.equal(sizeOf(image), MEBIBYTE)
  assert.deepEqual(image.filter((extent) => extent.kind === 'blob').map(extentLength), [10, 70_000, 3000])
})

test('fatImage: a file of the largest size costs its tables only', () => {
  const image = fatImage([blob('rootfs.erofs', 0xffff_ffff)], OPTIONS)
  const made = image.reduce((sum, extent) => sum + (extent.kind === 'bytes' ? extent.bytes.length : 0), 0)
  assert.ok(made < 20 * MEBIBYTE, `${made} bytes`)
  assert.ok(sizeOf(image) < 4 * 1024 * MEBIBYTE + 20 * MEBIBYTE)
})

const refused: { name: string; files: NamedFile[]; options?: object; error: RegExp }[] = [
  {
    name: 'a file of 4 GiB',
    files: [blob('big/root.img', 2 ** 32)],
    error: /Cannot put "big\/root.img" on a FAT file system: it has 4294967296 bytes, at most 4294967295/,
  },
  { name: 'names that differ by capitals', files: [blob('d/a', 1), blob('d/A', 1)], error: /"d\/a".*"d\/A" is there/ },
  { name: 'a folder and a file of one name', files: [blob('x/a', 1), blob('X', 1)], error: /"X".*"x" is there/ },
  { name: 'a colon', files: [blob('usr/a:b', 1)], error: /"usr\/a:b".*its name has one of/ },
  { name: 'a dot at the end', files: [blob('a.', 1)], error: /"a.".*ends with a dot or a space/ },
  { name: 'a long name', files: [blob('x'.repeat(256), 1)], error: /256 characters, at most 255/ },
  { name: 'a way out', files: [blob('../a', 1)], error: /"..\/a" on the medium: its path is none below the root/ },
  { name: 'one path twice', files: [blob('a', 1), blob('a', 2)], error: /"a" on the medium: it comes twice/ },
  { name: 'a file as a folder', files: [blob('a', 1), blob('a/b', 2)], error: /"a\/b" on the medium: "a" is a file/ },
  {
    name: 'too little room',
    files: [blob('a', 3 * MEBIBYTE)],
    options: { sizeBytes: 2 * MEBIBYTE },
    error: /Cannot put the files on a medium of 2097152 bytes: \d+ bytes more are needed/,
  },
  { name: 'a small label', files: [], options: { label: 'arch' }, error: /Cannot use "arch" as the label/ },
  {
    name: 'a folder too full',
    files: Array.from({ length: 33_000 }, (_, index) => blob(`many/${index}.longer`, 0)),
    error: /Cannot put "many" on a FAT file system: it has too many files for one/,
  },
]
for (const { name, files, options, error } of refused)
  test(`fatImage refuses ${name}`, () => assert.throws(() => fatImage(files, { ...OPTIONS, ...options }), error))
