/** Trees unpacked by us against umoci's unpacking of the same layers, path by path, and hostile trees that must stay where they are put. */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import {
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { AppError } from '../../src/base/errors.ts'
import { removeTree, removeUnfinished, unpackTree } from '../../src/drivers/unpack/directory.ts'
import { cutExtents, type Extent } from '../../src/formats/extents.ts'
import { pax, tarOf, type TarField } from '../../src/formats/tar/tar-maker.ts'
import type { BlobStore } from '../../src/services/images/ports.ts'
import { randomLayers } from './random-layers.ts'
import { assertEqual, listed, listFolder, pieces, richLayers, treeOf, unpacked, type Listed } from './listing.ts'

const folder = mkdtempSync(join(tmpdir(), 'bareboat-unpack-'))
after(() => removeTree(folder))

const missing = ['tar', 'umoci', 'python3'].filter((name) => spawnSync('sh', ['-c', `command -v ${name}`]).status !== 0)
const skip = missing.length > 0 ? `not installed: ${missing.join(', ')}` : process.getuid?.() !== 0 && 'needs root'
const NEVER = new AbortController().signal
let count = 0

function blobsOf(layers: readonly Buffer[]): Pick<BlobStore, 'readExtents'> {
  return {
    async *readExtents(extents: readonly Extent[], from: number, to: number) {
      for (const extent of cutExtents(extents, from, to)) yield* pieces([extent], layers)
    },
  }
}

/** @param isRoot whether it is done as root does it */
async function unpack(
  layers: readonly Buffer[],
  isRoot = true,
): Promise<{ directory: string; lacks: readonly string[] }> {
  const directory = join(folder, `root-${(count += 1)}`)
  const options = { blobs: blobsOf(layers), signal: NEVER, isRoot, isDurable: false }
  return { directory, ...(await unpackTree(treeOf(layers), directory, options)) }
}

function leftovers(): string[] {
  return readdirSync(folder).filter((name) => name.includes('.unpacking-'))
}

test('the rich image is unpacked as the tree says and as umoci unpacks it', { skip }, async () => {
  const layers = richLayers(folder)
  const { directory, lacks } = await unpack(layers)
  assert.deepEqual(lacks, [])
  const ours = listFolder(directory)
  assertEqual(ours, listed(treeOf(layers), layers))
  assertEqual(ours, unpacked(folder, 'rich', layers))
  // Holes stay holes.
  assert.ok(statSync(join(directory, 'hole')).blocks === 0)
  assert.ok(statSync(join(directory, 'sparse')).blocks < 64)
  assert.deepEqual(leftovers(), [])
})

test('20 random images are unpacked as their trees say', { skip }, async (t) => {
  const seed = Number(process.env['SEED'] ?? 20_261_125)
  t.diagnostic(`SEED=${seed}`)
  for (let image = 0; image < 20; image += 1) {
    const layers = randomLayers(seed + image).map((fields) => tarOf(...fields))
    const { directory, lacks } = await unpack(layers)
    assert.deepEqual(lacks, [])
    const times = (entry: Listed): Listed => (entry.mtime === '0' ? { ...entry, mtime: '' } : entry)
    assertEqual(listFolder(directory).map(times), listed(treeOf(layers), layers).map(times), `image ${image}`)
    await removeTree(directory)
    assert.ok(!existsSync(directory))
  }
})

const outside = join(folder, 'outside')
const hostile: readonly { name: string; fields: TarField[] }[] = [
  {
    name: 'links out of the tree, with directories of their names in an upper layer',
    fields: [
      { name: 'a', type: '2', link: outside },
      { name: 'b', type: '2', link: '../../outside' },
      { name: 'c/', type: '5' },
      { name: 'c/d', type: '2', link: '/' },
      { name: 'etc', type: '2', link: '/etc' },
      { name: 'link of a link', type: '1', link: 'a' },
    ],
  },
  {
    name: 'names that look like options, globs, devices and magic of tar',
    fields: [
      { name: '--checkpoint-action=exec=touch pwned' },
      { name: '-C' },
      { name: '*' },
      { name: 'x:y' },
      { name: 'GNUSparseFile.0/x' },
      { name: '././@LongLink' },
      { name: 'new\nline\r\t\x1b[2J' },
      { name: '\\012' },
      { name: '"quoted\\"' },
    ],
  },
  {
    name: 'attributes whose names hold what PAX and GNU tar escape',
    fields: [
      pax({ 'SCHILY.xattr.user.a%3Db': '1', 'SCHILY.xattr.user.c%': '2', 'LIBARCHIVE.xattr.user.d%3De': 'Mw' }),
      { name: 'file' },
    ],
  },
  {
    name: 'a directory that only root may enter, set-uid files, and sticky bits',
    fields: [
      { name: 'dark/', type: '5', mode: '0000000' },
      { name: 'dark/er', data: 'x', mode: '0006777', uid: '0001750' },
      { name: './', type: '5', mode: '0001000', uid: '0000007' },
    ],
  },
  {
    name: 'a path as long as Linux allows',
    fields: [pax({ path: `${`${'d'.repeat(250)}/`.repeat(16)}end` }), { data: 'deep' }],
  },
  {
    name: '500 directories in each other',
    fields: [pax({ path: `${'d/'.repeat(500)}end` }), { data: 'deep' }],
  },
]
for (const { name, fields } of hostile)
  test(`hostile: ${name}`, { skip }, async () => {
    mkdirSync(outside, { recursive: true })
    const before = listFolder(outside)
    const upper = tarOf(
      { name: 'a/', type: '5' },
      { name: 'a/inside', data: 'x' },
      { name: 'c/d/', type: '5' },
      { name: 'c/d/e', data: 'x' },
    )
    const layers = [tarOf(...fields), upper]
    const { directory, lacks } = await unpack(layers)
    assert.deepEqual(lacks, [])
    if (!fields.some((field) => field.data === 'deep')) {
      // Times of directories that no entry describes are not set by the tree.
      assertEqual(listFolder(directory), listed(treeOf(layers), layers))
    } else
      assert.equal(execFileSync('sh', ['-c', 'find . -name end | wc -l'], { cwd: directory }).toString().trim(), '1')
    assert.deepEqual(listFolder(outside), before)
    assert.ok(!existsSync(join(folder, 'pwned')) && !existsSync('pwned'))
    await removeTree(directory)
    assert.ok(!existsSync(directory))
    assert.ok(lstatSync(outside).isDirectory())
  })

test('a hole of 500 GB is unpacked as one', { skip }, async () => {
  const layers = [
    tarOf(pax({ 'GNU.sparse.size': '500000000000', 'GNU.sparse.map': '5,1,400000000000,2' }), {
      name: 'big',
      data: 'xyz',
    }),
  ]
  const { directory } = await unpack(layers)
  const { size, blocks } = statSync(join(directory, 'big'))
  assert.equal(size, 500_000_000_000)
  assert.ok(blocks < 64)
})

test('without root, what is lacking is said once, and all else is there', { skip }, async () => {
  const layers = richLayers(folder)
  const { directory, lacks } = await unpack(layers, false)
  assert.equal(lacks.length, 3, lacks.join('\n'))
  assert.match(lacks[0]!, /^\d+ device nodes are left out/)
  const plain = (entry: Listed): Listed => ({
    ...entry,
    uid: 0,
    gid: 0,
    xattrs: Object.fromEntries(Object.entries(entry.xattrs).filter(([name]) => name.startsWith('user.'))),
  })
  const want = listed(treeOf(layers), layers).filter(({ kind }) => kind !== 'character' && kind !== 'block')
  assertEqual(listFolder(directory).map(plain), want.map(plain))
})

test('a user who is not root unpacks and removes what has no rights for its owner', { skip }, () => {
  const home = mkdtempSync(join(tmpdir(), 'bareboat-nobody-'))
  try {
    const layer = join(home, 'layer.tar')
    const dark: TarField[] = [
      { name: 'dark/', type: '5', mode: '0000000' },
      { name: 'dark/file', data: 'x', mode: '0000000' },
      { name: 'null', type: '3', major: '0000001', minor: '0000003' },
      { name: './', type: '5', mode: '0000555' },
    ]
    writeFileSync(layer, tarOf(...dark))
    chownSync(home, 65534, 65534)
    const once = (...words: string[]) =>
      spawnSync(process.execPath, [join(import.meta.dirname, 'unpack-once.ts'), '65534', ...words])
    const root = join(home, 'root')
    const { stdout, stderr } = once('unpack', root, layer)
    assert.equal(stderr.toString(), '')
    assert.equal((JSON.parse(stdout.toString()) as string[]).length, 2)
    assert.deepEqual(
      listFolder(root).map(({ path, mode, uid }) => [path, mode, uid]),
      [
        ['', 0o555, 65534],
        ['dark', 0, 65534],
        ['dark/file', 0, 65534],
      ],
    )
    once('remove', root)
    assert.deepEqual(readdirSync(home), ['layer.tar'])
  } finally {
    rmSync(home, { recursive: true })
  }
})

test('what fails or is interrupted leaves nothing, and what is there stays', { skip }, async () => {
  const layers = [tarOf({ name: 'a', data: Buffer.alloc(3_000_000, 'x') }, { name: 'b', data: 'x' })]
  const directory = join(folder, 'failing')
  const stop = new AbortController()
  const broken: Pick<BlobStore, 'readExtents'> = {
    async *readExtents() {
      yield Buffer.alloc(512)
      throw new AppError('internal', 'Cannot read layer: it is gone')
    },
  }
  await assert.rejects(unpackTree(treeOf(layers), directory, { blobs: broken, signal: NEVER }), /it is gone/)
  const slow: Pick<BlobStore, 'readExtents'> = {
    async *readExtents(extents, from, to) {
      yield* blobsOf(layers).readExtents(extents, from, to - 1024)
      stop.abort(new Error('stopped'))
      await new Promise((resolve) => setTimeout(resolve, 50))
    },
  }
  await assert.rejects(unpackTree(treeOf(layers), directory, { blobs: slow, signal: stop.signal }), /stopped/)
  writeFileSync(directory, 'mine')
  await assert.rejects(
    unpackTree(treeOf(layers), directory, { blobs: blobsOf(layers), signal: NEVER }),
    /something already/,
  )
  rmSync(directory)
  symlinkSync(outside, directory)
  await assert.rejects(
    unpackTree(treeOf(layers), directory, { blobs: blobsOf(layers), signal: NEVER }),
    /something already/,
  )
  rmSync(directory)
  assert.ok(!existsSync(directory))
  assert.deepEqual(leftovers(), [])
  mkdirSync(join(folder, 'killed.unpacking-aB3_9z', 'root', 'etc'), { recursive: true })
  await removeUnfinished(folder)
  assert.deepEqual(leftovers(), [])
})

test('a full disk is an error that says so, and leaves nothing', { skip }, async (t) => {
  const small = join(folder, 'small')
  mkdirSync(small)
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'small', small]).status !== 0) return t.skip('may not mount')
  try {
    const layers = [tarOf({ name: 'a', data: Buffer.alloc(3_000_000, 'x') })]
    const options = { blobs: blobsOf(layers), signal: NEVER }
    await assert.rejects(unpackTree(treeOf(layers), join(small, 'root'), options), /no space is left on the disk/)
    assert.deepEqual(readdirSync(small), [])
  } finally {
    execFileSync('umount', [small])
  }
})
