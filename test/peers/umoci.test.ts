/**
 * Our trees against programs that are not ours: umoci unpacks an image, we merge the same layers, and every path must be equal
 * in kind, mode, owner, time, attributes, links and content. Then GNU tar, busybox and cpio unpack our projections.
 */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { cpioExtents } from '../../src/formats/cpio/project.ts'
import type { Extent } from '../../src/formats/extents.ts'
import { createTarIndexer } from '../../src/formats/tar/indexer.ts'
import { tarExtents } from '../../src/formats/tar/project.ts'
import { pax, tarOf, type TarField } from '../../src/formats/tar/tar-maker.ts'
import { mergeLayers } from '../../src/formats/tree/merge.ts'
import { fileExtents, type Tree } from '../../src/formats/tree/tree.ts'
import { randomLayers } from './random-layers.ts'

interface Listed {
  path: string
  kind: string
  mode: number
  uid: number
  gid: number
  mtime: string
  size: number
  content: string
  target: string
  device: string
  xattrs: Record<string, string>
  /** All names of the inode, of files with more than one. */
  links: string[]
}

const HERE = new URL('.', import.meta.url).pathname
const folder = mkdtempSync(join(tmpdir(), 'bareboat-umoci-'))
after(() => rmSync(folder, { recursive: true, force: true }))

const missing = ['umoci', 'tar', 'cpio', 'busybox', 'python3'].filter(
  (program) => spawnSync('sh', ['-c', `command -v ${program}`]).status !== 0,
)
const skip = missing.length > 0 ? `not installed: ${missing.join(', ')}` : process.getuid?.() !== 0 && 'needs root'

const started = BigInt(Date.now()) * 1_000_000n
const rich = skip ? [] : richLayers()

test('umoci unpacks the rich image as we merge it', { skip }, () => {
  assertEqual(unpacked('rich', rich), listed(treeOf(rich), rich))
})

test('the rich image holds what it is meant to hold', { skip }, () => {
  const tree = treeOf(rich)
  assert.equal(tree.get('etc/passwd'), undefined, 'whited out')
  assert.equal(tree.get('hard')!.linkCount, 3, 'hard, "etc/hard too", and a link from the second layer')
  assert.deepEqual(
    tree.children('opaque').map(({ path }) => path),
    ['opaque/above'],
  )
  assert.equal(tree.get('sparse')!.data.length > 1, true)
  assert.equal(tree.get('capable')!.xattrs.get('security.capability')!.length, 20)
  assert.equal(tree.get('old')!.mtimeNanoseconds, 750_000_000)
})

test('umoci unpacks 40 random images as we merge them', { skip }, (t) => {
  const seed = Number(process.env['SEED'] ?? 20_261_121)
  t.diagnostic(`SEED=${seed}`)
  for (let image = 0; image < 40; image += 1) {
    const layers = randomLayers(seed + image).map((fields) => tarOf(...fields))
    const ours = listed(treeOf(layers), layers)
    assertEqual(withoutTouched(unpacked(`random-${image}`, layers), ours), ours, `image ${image}`)
  }
})

test(
  'the kernel overlays the unpacked layers as we merge entries below links and files of lower layers',
  { skip },
  (t) => {
    const root: TarField = { name: './', type: '5', mode: '0000755', mtime: '13000000001' }
    const layers = [
      tarOf(
        root,
        { name: 'usr/', type: '5' },
        { name: 'usr/below', data: 'below' },
        { name: 'lib', type: '2', link: 'usr' },
        { name: 'file', data: 'x' },
      ),
      tarOf(root, { name: 'lib/above', data: 'above' }, { name: 'file/above', data: 'above' }),
    ]
    const got = overlaid(layers)
    if (got === undefined) return t.skip('no overlay mounts here')
    // The times of directories that no entry describes are those of the unpacking.
    const tidy = (list: readonly Listed[]): Listed[] => list.map((entry) => ({ ...entry, mtime: '' }))
    assertEqual(tidy(got), tidy(listed(treeOf(layers), layers)))
    assert.deepEqual(
      treeOf(layers)
        .children('lib')
        .map(({ path }) => path),
      ['lib/above'],
    )
  },
)

test('GNU tar unpacks our tar to the same tree', { skip }, () => {
  const arguments_ = ['--xattrs', '--xattrs-include=*', '--numeric-owner', '-xpf', '-']
  const got = unpackWith('gnu', 'tar', arguments_, projected(tarExtents))
  assertEqual(got, listed(treeOf(rich), rich))
})

test('busybox unpacks our tar to the same tree, but for what it never restores', { skip }, () => {
  const got = unpackWith('busybox', 'busybox', ['tar', '-xpf', '-'], projected(tarExtents))
  assertEqual(got.map(plainTar), listed(treeOf(rich), rich).map(plainTar))
})

for (const program of ['cpio', 'busybox'])
  test(`${program} unpacks our cpio to the same tree, but for what newc cannot hold`, { skip }, () => {
    const options = program === 'cpio' ? ['-idm', '--quiet'] : ['cpio', '-idm']
    const got = unpackWith(`cpio-${program}`, program, options, projected(cpioExtents))
    assertEqual(got.map(plainCpio), listed(treeOf(rich), rich).map(plainCpio))
  })

test('cpio lists our archive of literal files', { skip }, async () => {
  const { cpioArchive } = await import('../../src/formats/cpio/archive.ts')
  const bytes = cpioArchive([
    { kind: 'file', path: '/init', bytes: Buffer.from('#!/bin/sh\n'), mode: 0o755 },
    { kind: 'symlink', path: 'bin/sh', target: 'busybox' },
    { kind: 'character', path: 'dev/console', major: 5, minor: 1, mode: 0o600 },
    { kind: 'directory', path: 'dev', mode: 0o711 },
  ])
  const list = execFileSync('cpio', ['-itv', '--quiet', '--numeric-uid-gid'], { input: bytes }).toString()
  const lines = list
    .trim()
    .split('\n')
    .map((line) => line.replace(/\s+/g, ' ').replace(/Jan 1 1970 /, ''))
  assert.deepEqual(lines, [
    '-rwxr-xr-x 1 0 0 10 init',
    'drwxr-xr-x 2 0 0 0 bin',
    'lrwxrwxrwx 1 0 0 7 bin/sh -> busybox',
    'drwx--x--x 2 0 0 0 dev',
    'crw------- 1 0 0 5, 1 dev/console',
  ])
})

/** A first layer from a real file system by GNU tar, then two written entry by entry. */
function richLayers(): Buffer[] {
  const source = join(folder, 'source')
  mkdirSync(source)
  execFileSync('python3', [join(HERE, 'make-layer.py'), source])
  const options = ['--format=posix', '--sparse', '--numeric-owner', '--xattrs', '--xattrs-include=*', '--sort=name']
  const first = execFileSync('tar', [...options, '-C', source, '-cf', '-', '.'], { maxBuffer: 1 << 26 })
  rmSync(source, { recursive: true })
  return [first, tarOf(...secondLayer()), tarOf(...thirdLayer())]
}

function secondLayer(): TarField[] {
  return [
    { name: 'etc/', type: '5', mode: '0000750', mtime: '13000000000' },
    { name: 'etc/.wh.passwd' },
    { name: 'links/', type: '5' },
    { name: 'links/across layers', type: '1', link: 'hard' },
    { name: 'opaque/', type: '5' },
    { name: 'opaque/below', data: 'below' },
    { name: 'replaced/', type: '5' },
    { name: 'replaced/child', data: 'child' },
    { name: 'became a directory', data: 'file' },
    pax({ mtime: '1600000000.000000001', 'SCHILY.xattr.user.second': 'two' }),
    { name: 'second', data: 'second', uid: '0001750' },
    { name: 'empty', data: 'not empty now' },
    { name: 're-added', data: 'lower' },
    { name: 'gone/', type: '5' },
    { name: 'gone/child', data: 'x' },
    { name: 'linked dir', type: '2', link: 'etc' },
  ]
}

function thirdLayer(): TarField[] {
  return [
    { name: './', type: '5', mode: '0000755', mtime: '13000000001' },
    { name: 'opaque/', type: '5', mode: '0000700' },
    { name: 'opaque/above', data: 'above' },
    { name: 'opaque/.wh..wh..opq' },
    { name: 'replaced', data: 'a file now', mode: '0000600' },
    { name: 'became a directory/', type: '5' },
    { name: 'became a directory/child', data: 'child' },
    { name: '.wh.re-added' },
    { name: 're-added', data: 'upper' },
    { name: '.wh.gone' },
    { name: 'linked dir/', type: '5' },
    { name: 'linked dir/own', data: 'own' },
    { name: 'dev/', type: '5', mode: '0000755' },
    { name: 'dev/.wh.sda' },
    { name: '.wh.never was' },
  ]
}

function treeOf(layers: readonly Buffer[]): Tree {
  return mergeLayers(
    layers.map((bytes, number) => {
      const indexer = createTarIndexer()
      indexer.push(bytes)
      return { digest: `layer ${number}`, index: indexer.end() }
    }),
  )
}

function listed(tree: Tree, layers: readonly Buffer[]): Listed[] {
  return [...tree.entries()].map((entry) => {
    const isDevice = entry.kind === 'character' || entry.kind === 'block'
    const hash = createHash('sha256')
    for (const piece of pieces(fileExtents(entry), layers)) hash.update(piece)
    return {
      path: entry.path,
      kind: entry.kind,
      mode: entry.mode,
      uid: entry.uid,
      gid: entry.gid,
      mtime: String(BigInt(entry.mtimeSeconds) * 1_000_000_000n + BigInt(entry.mtimeNanoseconds)),
      size: entry.size,
      content: entry.kind === 'file' ? hash.digest('hex') : '',
      target: entry.target,
      device: isDevice ? `${entry.deviceMajor}:${entry.deviceMinor}` : '',
      xattrs: Object.fromEntries([...entry.xattrs].map(([name, value]) => [name, Buffer.from(value).toString('hex')])),
      links: entry.kind !== 'directory' && entry.linkCount > 1 ? tree.names(entry.inode).map(({ path }) => path) : [],
    }
  })
}

function pieces(extents: readonly Extent[], layers: readonly Buffer[]): Uint8Array[] {
  return extents.map((extent) => {
    if (extent.kind === 'bytes') return extent.bytes
    if (extent.kind === 'zeros') return Buffer.alloc(extent.length)
    return layers[Number(extent.blob.slice('layer '.length))]!.subarray(extent.offset, extent.offset + extent.length)
  })
}

function projected(project: (tree: Tree) => Extent[]): Buffer {
  return Buffer.concat(pieces(project(treeOf(rich)), rich))
}

function unpacked(name: string, layers: readonly Buffer[]): Listed[] {
  const image = join(folder, `${name}-image`)
  const bundle = join(folder, `${name}-bundle`)
  const umoci = (...words: string[]): void => void execFileSync('umoci', words, { stdio: ['ignore', 'ignore', 'pipe'] })
  umoci('init', '--layout', image)
  umoci('new', '--image', `${image}:t`)
  for (const layer of layers) {
    writeFileSync(join(folder, 'layer.tar'), layer)
    umoci('raw', 'add-layer', '--image', `${image}:t`, join(folder, 'layer.tar'))
  }
  umoci('unpack', '--image', `${image}:t`, bundle)
  const list = listFolder(join(bundle, 'rootfs'))
  rmSync(image, { recursive: true })
  rmSync(bundle, { recursive: true })
  return list
}

/** Each layer unpacked by GNU tar, then stacked by the kernel in a mount namespace that ends with the listing. */
function overlaid(layers: readonly Buffer[]): Listed[] | undefined {
  const stack = mkdtempSync(join(folder, 'overlay-'))
  mkdirSync(join(stack, 'merged'))
  for (const [number, layer] of layers.entries()) {
    mkdirSync(join(stack, `${number}`))
    execFileSync('tar', ['-xpf', '-', '-C', join(stack, `${number}`)], { input: layer })
  }
  const lower = layers
    .map((_, number) => `${number}`)
    .toReversed()
    .join(':')
  const script = `mount -t overlay overlay -o lowerdir=${lower} merged && exec python3 "$0" merged`
  const { status, stdout } = spawnSync('unshare', ['-m', 'sh', '-c', script, join(HERE, 'list-tree.py')], {
    cwd: stack,
  })
  return status === 0 ? parseListing(stdout.toString()) : undefined
}

function unpackWith(name: string, program: string, options: readonly string[], archive: Buffer): Listed[] {
  const target = join(folder, name)
  mkdirSync(target)
  execFileSync(program, options, { cwd: target, input: archive, stdio: ['pipe', 'ignore', 'pipe'] })
  const list = listFolder(target)
  rmSync(target, { recursive: true })
  return list
}

function listFolder(path: string): Listed[] {
  return parseListing(execFileSync('python3', [join(HERE, 'list-tree.py'), path], { maxBuffer: 1 << 26 }).toString())
}

function parseListing(text: string): Listed[] {
  const entries = text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Listed & { inode: number })
  const names = Map.groupBy(entries, ({ inode }) => inode)
  return entries.map(({ inode, ...entry }) => {
    const links = names.get(inode)!.map((other) => other.path)
    return { ...entry, links: links.length > 1 ? links : [] }
  })
}

/**
 * umoci restores a directory's time after it unpacks an entry into it, but not where an opaque whiteout of a directory above
 * takes names out of it: there the time is that of the unpacking, and says nothing.
 */
function withoutTouched(got: readonly Listed[], ours: readonly Listed[]): Listed[] {
  const times = new Map(ours.map(({ path, mtime }) => [path, mtime]))
  return got.map((entry) =>
    entry.kind === 'directory' && BigInt(entry.mtime) > started
      ? { ...entry, mtime: times.get(entry.path) ?? entry.mtime }
      : entry,
  )
}

function assertEqual(got: readonly Listed[], want: readonly Listed[], what = ''): void {
  const order = (a: Listed, b: Listed): number => (a.path < b.path ? -1 : 1)
  const tidy = (list: readonly Listed[]): Listed[] =>
    list.map((entry) => ({ ...entry, links: entry.links.toSorted() })).sort(order)
  assert.deepEqual(tidy(got), tidy(want), what)
}

/** Busybox restores no attributes, no times of directories and links, no owners of links. */
function plainTar(entry: Listed): Listed {
  const isLink = entry.kind === 'symlink'
  const mtime = isLink || entry.kind === 'directory' ? '' : seconds(entry)
  return { ...entry, xattrs: {}, mtime, ...(isLink && { uid: 0, gid: 0 }) }
}

/** Neither the format nor its readers link symbolic links; busybox is as above. */
function plainCpio(entry: Listed): Listed {
  return { ...plainTar(entry), links: entry.kind === 'symlink' ? [] : entry.links }
}

/** Whole seconds; what is before 1970 is 1970. */
function seconds({ mtime }: Listed): string {
  const value = BigInt(mtime)
  return value < 0n ? '0' : String(value / 1_000_000_000n)
}
