/** Trees of ours and of programs that are not ours as lists of paths with all that a file system says of each. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Extent } from '../../src/formats/extents.ts'
import { createTarIndexer } from '../../src/formats/tar/indexer.ts'
import { pax, tarOf, type TarField } from '../../src/formats/tar/tar-maker.ts'
import { mergeLayers } from '../../src/formats/tree/merge.ts'
import { fileExtents, type Tree } from '../../src/formats/tree/tree.ts'

export interface Listed {
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
  linkCount: number
}

export const HERE = new URL('.', import.meta.url).pathname

/** A first layer from a real file system by GNU tar, then two written entry by entry. */
export function richLayers(folder: string): Buffer[] {
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

export function treeOf(layers: readonly Buffer[]): Tree {
  return mergeLayers(
    layers.map((bytes, number) => {
      const indexer = createTarIndexer()
      indexer.push(bytes)
      return { digest: `layer ${number}`, index: indexer.end() }
    }),
  )
}

export function listed(tree: Tree, layers: readonly Buffer[]): Listed[] {
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
      linkCount: entry.linkCount,
    }
  })
}

export function pieces(extents: readonly Extent[], layers: readonly Buffer[]): Uint8Array[] {
  return extents.map((extent) => {
    if (extent.kind === 'bytes') return extent.bytes
    if (extent.kind === 'zeros') return Buffer.alloc(extent.length)
    return layers[Number(extent.blob.slice('layer '.length))]!.subarray(extent.offset, extent.offset + extent.length)
  })
}

export function unpacked(folder: string, name: string, layers: readonly Buffer[]): Listed[] {
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

export function listFolder(path: string): Listed[] {
  return parseListing(execFileSync('python3', [join(HERE, 'list-tree.py'), path], { maxBuffer: 1 << 26 }).toString())
}

export function parseListing(text: string): Listed[] {
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
export function withoutTouched(got: readonly Listed[], ours: readonly Listed[], started: bigint): Listed[] {
  const times = new Map(ours.map(({ path, mtime }) => [path, mtime]))
  return got.map((entry) =>
    entry.kind === 'directory' && BigInt(entry.mtime) > started
      ? { ...entry, mtime: times.get(entry.path) ?? entry.mtime }
      : entry,
  )
}

/** Link counts of directories are left out: some file systems do not keep them. */
export function assertEqual(got: readonly Listed[], want: readonly Listed[], what = ''): void {
  const order = (a: Listed, b: Listed): number => (a.path < b.path ? -1 : 1)
  const tidy = (list: readonly Listed[]): Listed[] =>
    list
      .map((entry) => ({
        ...entry,
        links: entry.links.toSorted(),
        linkCount: entry.kind === 'directory' ? 0 : entry.linkCount,
      }))
      .sort(order)
  assert.deepEqual(tidy(got), tidy(want), what)
}
