/**
 * Our trees against programs that are not ours: umoci unpacks an image, we merge the same layers, and every path must be equal
 * in kind, mode, owner, time, attributes, links and content. Then GNU tar, busybox and cpio unpack our projections.
 */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { cpioExtents } from '../../src/formats/cpio/project.ts'
import type { Extent } from '../../src/formats/extents.ts'
import { tarExtents } from '../../src/formats/tar/project.ts'
import { tarOf, type TarField } from '../../src/formats/tar/tar-maker.ts'
import type { Tree } from '../../src/formats/tree/tree.ts'
import {
  assertEqual,
  listed,
  listFolder,
  parseListing,
  pieces,
  richLayers,
  treeOf,
  unpacked,
  withoutTouched,
  type Listed,
} from './listing.ts'
import { randomLayers } from './random-layers.ts'

const HERE = new URL('.', import.meta.url).pathname
const folder = mkdtempSync(join(tmpdir(), 'bareboat-umoci-'))
after(() => rmSync(folder, { recursive: true, force: true }))

const missing = ['umoci', 'tar', 'cpio', 'busybox', 'python3'].filter(
  (program) => spawnSync('sh', ['-c', `command -v ${program}`]).status !== 0,
)
const skip = missing.length > 0 ? `not installed: ${missing.join(', ')}` : process.getuid?.() !== 0 && 'needs root'

const started = BigInt(Date.now()) * 1_000_000n
const rich = skip ? [] : richLayers(folder)

test('umoci unpacks the rich image as we merge it', { skip }, () => {
  assertEqual(unpacked(folder, 'rich', rich), listed(treeOf(rich), rich))
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

test('umoci unpacks 20 random images as we merge them', { skip }, (t) => {
  const seed = Number(process.env['SEED'] ?? 20_261_121)
  t.diagnostic(`SEED=${seed}`)
  for (let image = 0; image < 20; image += 1) {
    const layers = randomLayers(seed + image).map((fields) => tarOf(...fields))
    const ours = listed(treeOf(layers), layers)
    assertEqual(withoutTouched(unpacked(folder, `random-${image}`, layers), ours, started), ours, `image ${image}`)
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

function projected(project: (tree: Tree) => Extent[]): Buffer {
  return Buffer.concat(pieces(project(treeOf(rich)), rich))
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

/** Busybox restores no attributes, no times of directories and links, no owners of links. */
function plainTar(entry: Listed): Listed {
  const isLink = entry.kind === 'symlink'
  const mtime = isLink || entry.kind === 'directory' ? '' : seconds(entry)
  return { ...entry, xattrs: {}, mtime, ...(isLink && { uid: 0, gid: 0 }) }
}

/** Neither the format nor its readers link symbolic links; busybox is as above. */
function plainCpio(entry: Listed): Listed {
  const plain = plainTar(entry)
  return entry.kind === 'symlink' ? { ...plain, links: [], linkCount: 1 } : plain
}

/** Whole seconds; what is before 1970 is 1970. */
function seconds({ mtime }: Listed): string {
  const value = BigInt(mtime)
  return value < 0n ? '0' : String(value / 1_000_000_000n)
}
