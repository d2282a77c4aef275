/**
 * Our EROFS images before their judges: fsck.erofs and dump.erofs, and the kernel, which mounts them; what is seen there must be
 * equal, path by path, to what umoci unpacks of the same layers, and to our tree.
 */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { closeSync, ftruncateSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { isStorable } from '../../src/formats/erofs/attributes.ts'
import { erofsImage } from '../../src/formats/erofs/image.ts'
import { uuidOf } from '../../src/formats/erofs/uuid.ts'
import { LITERALS, type ExtentMap } from '../../src/formats/extent-map.ts'
import { pax, tarOf, type TarField } from '../../src/formats/tar/tar-maker.ts'
import type { Tree, TreeEntryKind } from '../../src/formats/tree/tree.ts'
import { debianRoot, plainImage } from '../e2e/images.ts'
import { missingProgram } from './docker-registry.ts'
import {
  HERE,
  listed,
  listFolder,
  parseListing,
  richLayers,
  treeOf,
  unpacked,
  withoutTouched,
  type Listed,
} from './listing.ts'
import { randomLayers } from './random-layers.ts'

const folder = mkdtempSync(join(tmpdir(), 'bareboat-erofs-'))
after(() => rmSync(folder, { recursive: true, force: true }))

const missing = missingProgram('fsck.erofs', 'dump.erofs', 'umoci', 'tar', 'python3', 'unshare', 'mount')
const skip = missing !== undefined ? `no ${missing} here` : process.getuid?.() !== 0 && 'needs root'
const started = BigInt(Date.now()) * 1_000_000n

test('the rich image', { skip }, (t) => {
  const layers = richLayers(folder)
  const ours = judge(t, 'rich', layers)
  assertSame(unpacked(folder, 'rich', layers), ours)
})

test('a busybox', { skip: skip || (missingProgram('busybox') !== undefined && 'no busybox here') }, (t) => {
  const layers = plainImage().layers.map(({ plain }) => Buffer.from(plain))
  const ours = judge(t, 'busybox', layers)
  assertSame(unpacked(folder, 'busybox', layers), ours)
})

test('20 layers of whiteouts', { skip }, (t) => {
  for (const seed of [1, 2, 3]) {
    const layers = randomLayers(20_261_121 + seed, 20).map((fields) => tarOf(...fields))
    const ours = judge(t, `layers-${seed}`, layers)
    assertSame(withoutTouched(unpacked(folder, `layers-${seed}`, layers), ours, started), ours)
  }
})

test('what is seldom: access control lists, times, owners, long links and names', { skip }, (t) => {
  const layers = [tarOf(...seldom())]
  const ours = judge(t, 'seldom', layers)
  assert.ok(ours.some(({ xattrs }) => xattrs['system.posix_acl_default'] !== undefined))
  assertSame(unpacked(folder, 'seldom', layers), ours)
})

test('times that the file system below umoci does not hold', { skip }, (t) => {
  judge(t, 'times', [tarOf(...timed('-2147483649.5', '17179869184', '253402300799.123456789', '-62135596800'))])
})

test('directories whose entries fill blocks to the byte, and names around "." and ".."', { skip }, (t) => {
  const layers = [tarOf(...fullDirectories())]
  assertSame(unpacked(folder, 'full', layers), judge(t, 'full', layers))
})

test('attributes: many, large, in common, and those that Linux keeps on no disk', { skip }, (t) => {
  judge(t, 'attributes', [tarOf(...attributed())])
})

test('100,000 files, half of them in one directory', { skip }, (t) => {
  const fields = Array.from({ length: 100_000 }, (_, n) => ({
    name: n < 50_000 ? `huge/${n.toString(36)}` : `d/${n % 500}/file-${n}`,
    data: n % 10 === 0 ? `${n}` : '',
    mtime: (10_000_000_000 + (n % 7)).toString(),
  }))
  const directories = ['', 'huge/', 'd/', ...Array.from({ length: 500 }, (_, n) => `d/${n}/`)]
  const layers = [tarOf(...fields, ...directories.map((name) => ({ name: `./${name}`, type: '5', mode: '0000755' })))]
  // One layer that takes nothing away: GNU tar says the same as umoci of it, in a tenth of the time.
  const target = join(folder, 'many')
  mkdirSync(target)
  execFileSync('tar', ['--numeric-owner', '--delay-directory-restore', '-xpf', '-', '-C', target], { input: layers[0] })
  assertSame(listFolder(target), judge(t, 'many', layers))
})

test('a file of 6 GiB with holes takes neither room nor hashes', { skip }, (t) => {
  const original = join(folder, 'sparse')
  mkdirSync(original)
  const sparse = openSync(join(original, 'file'), 'w')
  ftruncateSync(sparse, 6 * 2 ** 30 + 5)
  for (const at of [0, 2 ** 30 + 123, 5 * 2 ** 30 - 3, 6 * 2 ** 30]) writeSync(sparse, 'data', at)
  closeSync(sparse)
  const options = ['--format=posix', '--sparse', '-C', original, '-cf', '-', '.']
  const layers = [execFileSync('tar', options, { maxBuffer: 1 << 26 })]
  const tree = treeOf(layers)
  const map = imageOf(tree)
  assert.ok(map.sizeBytes < 64 * 2 ** 20, `${map.sizeBytes} bytes`)
  const file = join(folder, 'sparse.erofs')
  writeImage(file, map, layers)
  check(file, tree)
  assert.equal(inMount(t, file, 'exec python3 -c "$0" "$2" "$3"', COMPARE_SPARSE, original)?.trim() ?? 'same', 'same')
})

/** Compares a page in each MiB of two files, and all that is near data. */
const COMPARE_SPARSE = `
import os, sys
a, b = (os.open(os.path.join(d, 'file'), os.O_RDONLY) for d in sys.argv[1:3])
size = os.fstat(b).st_size
assert os.fstat(a).st_size == size
places = [(at, 4096) for at in range(0, size, 1 << 20)]
for at in (0, 1 << 30, 5 << 30, 6 << 30): places.append((max(at - 65536, 0), 131072))
os.posix_fadvise(a, 0, 0, os.POSIX_FADV_RANDOM)
for at, length in places:
    if os.pread(a, length, at) != os.pread(b, length, at): sys.exit('different at %d' % at)
print('same')
`

test('a Debian', { skip: skip || (missingProgram('mmdebstrap') !== undefined && 'no mmdebstrap here') }, (t) => {
  const layers = [readFileSync(debianRoot())]
  assertSame(unpacked(folder, 'debian', layers), judge(t, 'debian', layers))
})

function timed(...times: string[]): TarField[] {
  return times.flatMap((mtime) => [pax({ mtime }), { name: `time ${mtime}`, data: 'x' }])
}

function seldom(): TarField[] {
  // acl(5) as Linux hands it over: version 2, then tag, permissions and id of each entry.
  const acl = (...entries: [tag: number, permissions: number, id?: number][]): string => {
    const bytes = Buffer.alloc(4 + 8 * entries.length)
    bytes.writeUInt32LE(2)
    for (const [index, [tag, permissions, id = 0xffff_ffff]] of entries.entries()) {
      bytes.writeUInt16LE(tag, 4 + 8 * index)
      bytes.writeUInt16LE(permissions, 6 + 8 * index)
      bytes.writeUInt32LE(id, 8 + 8 * index)
    }
    return bytes.toString('latin1')
  }
  const list = acl([1, 6], [2, 4, 1000], [4, 4], [16, 6], [32, 4])
  const capability = Buffer.from('0100000200200000000000000000000000000000', 'hex').toString('latin1')
  return [
    pax({ 'SCHILY.xattr.system.posix_acl_access': list, 'SCHILY.xattr.security.capability': capability }),
    { name: 'access', data: 'x', mode: '0000664' },
    pax({ 'SCHILY.xattr.system.posix_acl_default': list, 'SCHILY.xattr.system.posix_acl_access': list }),
    { name: 'default/', type: '5', mode: '0000664' },
    ...['one', 'two', 'three'].flatMap((name) => [
      pax({ 'SCHILY.xattr.user.common': 'the same', 'SCHILY.xattr.user.own': name }),
      { name, data: name, mode: '0006755' },
    ]),
    pax({ linkpath: 'l/'.repeat(2047) + 'x' }),
    { name: 'link of 4095 bytes', type: '2' },
    ...[4031, 4032, 4033].flatMap((length) => [
      pax({ linkpath: 'x/'.repeat(length).slice(0, length), 'SCHILY.xattr.security.note': 'of a link' }),
      { name: `link of ${length} bytes`, type: '2' },
      pax({ linkpath: 'y/'.repeat(length).slice(0, length) }),
      { name: `another of ${length} bytes`, type: '2' },
    ]),
    pax({ uid: '65535', gid: '65535' }),
    { name: 'owner 65535' },
    pax({ uid: '65536', gid: '4294967294' }),
    { name: 'owner 65536' },
    ...timed('-1', '-0.000000001', '-2000000000.5', '4294967296.999999999', '0.000000001'),
    { name: 'pipe', type: '6' },
    { name: 'pipe too', type: '1', link: 'pipe' },
    { name: 'null', type: '3', major: '0000001', minor: '0000003' },
    { name: 'large', type: '4', major: '0007777', minor: '3777777' },
    pax({ path: `${'u\xcc\x88'.repeat(83)} \xf0\x9f\x9a\xa2x` }),
    { data: 'UTF-8' },
    pax({ path: 'n'.repeat(255) }),
    { type: '5' },
    pax({ path: `${'n'.repeat(255)}/${'\xe2\x98\x83'.repeat(85)}` }),
    { data: '255 bytes' },
    pax({ path: 'n'.repeat(255) }),
    { type: '5' },
    { name: './', type: '5', mode: '0000755', mtime: '13000000001' },
  ]
}

/** Each directory once more behind what is in it: its time is that of the last word. */
function fullDirectories(): TarField[] {
  const directories = [4031, 4032, 4033, 4095, 4096, 4097].map((bytes) => namesOf(bytes - 27, 'a'))
  directories.push([...namesOf(4096 - 27, 'a'), ...namesOf(4096, 'b')])
  directories.push([...namesOf(4096 - 27, 'a'), ...namesOf(4032, 'b')])
  directories.push(['!', '+', '-x', '.-', '.!', '..-', '...', '.a', '..a', '0', '.\x7f', '\xff'])
  return [
    ...directories.flatMap((names, number) => [
      { name: `${number}/`, type: '5' },
      ...names.flatMap((name) => [pax({ path: `${number}/${name}` }), {}]),
      { name: `${number}/`, type: '5' },
    ]),
    { name: './', type: '5' },
  ]
}

/** Names whose entries in a directory take exactly so many bytes, and which begin with a letter. */
function namesOf(bytes: number, letter: string): string[] {
  const names: string[] = []
  for (let left = bytes; left > 0;) {
    // None may be left too short for a name of its own.
    const length = left <= 267 ? left - 12 : Math.min(255, left - 12 - 30)
    names.push(`${letter}${String(names.length).padStart(3, '0')}`.padEnd(length, 'n'))
    left -= 12 + length
  }
  return names
}

function attributed(): TarField[] {
  const many = (from: number) =>
    Object.fromEntries(Array.from({ length: 300 }, (_, n) => [`SCHILY.xattr.user.${from + n}`, `value ${from + n}`]))
  return [
    pax(many(0)),
    { name: 'many of its own', data: 'x' },
    pax(many(1000)),
    { name: 'many', data: 'x' },
    pax(many(1000)),
    { name: 'as many', data: 'x' },
    pax(many(5000)),
    { name: 'directory/', type: '5' },
    pax({ 'SCHILY.xattr.user.large': 'x'.repeat(65_535), 'SCHILY.xattr.trusted.empty': '' }),
    { name: 'large', data: 'x' },
    pax({ 'SCHILY.xattr.user.page': 'p'.repeat(1000), [`SCHILY.xattr.user.${'n'.repeat(250)}`]: 'n' }),
    { name: 'link', type: '2', link: 'large' },
    pax({ 'SCHILY.xattr.trusted.page': 'p'.repeat(1000), 'SCHILY.xattr.security.page': 'q'.repeat(3000) }),
    { name: 'another link', type: '2', link: 'large' },
    pax({ 'SCHILY.xattr.com.apple.provenance': 'x', 'SCHILY.xattr.user.': 'no name', 'SCHILY.xattr.user.kept': 'y' }),
    { name: 'from a Mac', data: 'x' },
    pax({ 'SCHILY.xattr.com.apple.provenance': 'x' }),
    { name: 'from a Mac too', data: 'x' },
  ]
}

/** Writes the image, has it checked, and compares what the kernel shows with the tree. @returns what the tree holds */
function judge(t: { diagnostic(text: string): void }, name: string, layers: readonly Buffer[]): Listed[] {
  const tree = treeOf(layers)
  const ours = listed(tree, layers).map((entry) => ({
    ...entry,
    xattrs: Object.fromEntries(
      Object.entries(entry.xattrs).filter(([xattr]) => isStorable(xattr, entry.kind as TreeEntryKind)),
    ),
  }))
  const file = join(folder, `${name}.erofs`)
  const map = imageOf(tree)
  writeImage(file, map, layers)
  check(file, tree)
  const seen = mounted(t, file)
  if (seen !== undefined) {
    assertSame(seen, ours)
    const linksOf = (list: readonly Listed[]) => list.map(({ path, linkCount }) => `${path} ${linkCount}`).toSorted()
    assert.equal(firstDifference(linksOf(seen), linksOf(ours)), undefined)
  }
  rmSync(file)
  return ours
}

function imageOf(tree: Tree): ExtentMap {
  return erofsImage(tree, { uuid: uuidOf(['sha256:test']) })
}

function check(file: string, tree: Tree): void {
  const { status, stdout, stderr } = spawnSync('fsck.erofs', ['-d3', file], { encoding: 'utf8' })
  assert.equal(status, 0, stdout + stderr)
  assert.match(stdout + stderr, /No errors found/)
  const shown = execFileSync('dump.erofs', ['-s', file], { encoding: 'utf8' })
  assert.match(shown, /Filesystem magic number: +0xE0F5E1E2/)
  assert.match(shown, /Filesystem features: +sb_csum mtime/)
  assert.match(shown, new RegExp(`Filesystem inode count: +${tree.inodeCount}\n`))
}

/** Rows to their places; what lies between is a hole of the file. */
function writeImage(file: string, map: ExtentMap, layers: readonly Buffer[]): void {
  const fd = openSync(file, 'w')
  try {
    ftruncateSync(fd, map.sizeBytes)
    for (let row = 0; row < map.starts.length; row += 1) {
      const source = map.sources[row]!
      const bytes = source === LITERALS ? map.literals : layers[Number(map.blobs[source - 1]!.slice('layer '.length))]!
      const offset = map.offsets[row]!
      const length = map.lengths[row]!
      assert.equal(writeSync(fd, bytes, offset, length, map.starts[row]), length)
    }
  } finally {
    closeSync(fd)
  }
}

/** What the kernel shows of an image; undefined where nothing may be mounted. */
function mounted(t: { diagnostic(text: string): void }, file: string): Listed[] | undefined {
  const listing = inMount(t, file, 'exec python3 "$0" "$2"', join(HERE, 'list-tree.py'))
  return listing === undefined ? undefined : parseListing(listing)
}

/** What a script prints that finds the image mounted at `$2`, in a mount namespace that ends with it; `$0`, `$3` and on are arguments. */
function inMount(t: { diagnostic(text: string): void }, file: string, script: string, ...arguments_: string[]) {
  const at = `${file}.d`
  mkdirSync(at)
  const words = [
    '-m',
    'sh',
    '-c',
    `mount -t erofs -o loop,ro "$1" "$2" || exit 99; ${script}`,
    arguments_[0]!,
    file,
    at,
    ...arguments_.slice(1),
  ]
  const { status, stdout, stderr } = spawnSync('unshare', words, { maxBuffer: 1 << 28, encoding: 'utf8' })
  if (status === 99 && /permission denied|must be superuser|unknown filesystem|failed to setup loop/i.test(stderr)) {
    t.diagnostic(`no mount of EROFS here: ${stderr.trim()}`)
    return undefined
  }
  assert.equal(status, 0, `${stdout}${stderr}`)
  return stdout
}

/** Link counts of directories are left out: some file systems do not keep them. */
function assertSame(got: readonly Listed[], want: readonly Listed[]): void {
  assert.equal(firstDifference(got.map(line).toSorted(), want.map(line).toSorted()), undefined)
}

function line(entry: Listed): string {
  const { path, kind, mode, uid, gid, mtime, size, content, target, device, xattrs, links, linkCount } = entry
  const attributes = Object.entries(xattrs).toSorted(([a], [b]) => (a < b ? -1 : 1))
  const names = [links.toSorted(), kind === 'directory' ? '' : linkCount]
  return JSON.stringify([path, kind, mode, uid, gid, mtime, size, content, target, device, attributes, ...names])
}

/** Two long lists in a few words. */
function firstDifference(got: readonly string[], want: readonly string[]): string | undefined {
  const at = Array.from({ length: Math.max(got.length, want.length) }, (_, index) => index).find(
    (index) => got[index] !== want[index],
  )
  return at === undefined ? undefined : `of ${got.length}: ${got[at]}\nof ${want.length}: ${want[at]}`
}
