import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cutExtents, type Extent } from '../../../formats/extents.ts'
import { createTarIndexer } from '../../../formats/tar/indexer.ts'
import { tarOf, type TarField } from '../../../formats/tar/tar-maker.ts'
import { mergeLayers } from '../../../formats/tree/merge.ts'
import { rootChanges } from './root-changes.ts'

async function changes(image: readonly TarField[], live: readonly TarField[]): Promise<string[]> {
  const blobs = new Map([image, live].map((fields, at) => [`sha256:${at}`, tarOf(...fields)]))
  const [a, b] = [...blobs].map(([digest, bytes]) => {
    const indexer = createTarIndexer()
    indexer.push(bytes)
    return mergeLayers([{ digest, index: indexer.end() }])
  })
  const readExtents = async function* (extents: readonly Extent[], from: number, to: number) {
    for (const extent of cutExtents(extents, from, to))
      if (extent.kind === 'blob') yield blobs.get(extent.blob)!.subarray(extent.offset, extent.offset + extent.length)
  }
  const lines: string[] = []
  for await (const change of rootChanges(a!, b!, { readExtents }))
    if (change.kind !== 'put') lines.push(`${change.kind} ${change.path}`)
    else lines.push([change.entry.kind, change.entry.path, change.entry.target].join(' ').trimEnd())
  return lines
}

const dir = (name: string): TarField => ({ name: `${name}/`, type: '5' })
const link = (name: string, to: string): TarField => ({ name, type: '1', link: to })
const file = (name: string, data = 'x'): TarField => ({ name, data })

const cases: { name: string; image: TarField[]; live: TarField[]; want: string[] }[] = [
  { name: 'nothing', image: [dir('a'), file('a/b')], live: [dir('a'), file('a/b')], want: [] },
  { name: 'content of the same size', image: [file('a', 'x')], live: [file('a', 'y')], want: ['file a'] },
  {
    name: 'a tree that is gone is said once, and its neighbour of a longer name for itself',
    image: [dir('a'), dir('a/b'), file('a/b/c'), file('a-'), file('ab')],
    live: [],
    want: ['remove a', 'remove a-', 'remove ab'],
  },
  { name: 'a directory that is a file now', image: [dir('a'), file('a/b')], live: [file('a')], want: ['file a'] },
  {
    name: 'a file that is a directory now',
    image: [file('a')],
    live: [dir('a'), file('a/b')],
    want: ['directory a', 'file a/b'],
  },
  {
    name: 'what is mounted, and what is written for each machine',
    image: [
      dir('dev'),
      file('dev/null'),
      dir('etc'),
      file('etc/hosts'),
      file('etc/hostname'),
      dir('tmp'),
      file('tmp/a'),
    ],
    live: [
      dir('dev'),
      dir('proc'),
      dir('sys'),
      dir('etc'),
      file('etc/hosts', 'y'),
      file('etc/resolv.conf'),
      dir('tmp'),
    ],
    want: [],
  },
  {
    name: 'a /tmp that is not mounted',
    image: [dir('tmp'), file('tmp/a')],
    live: [dir('tmp'), file('tmp/b')],
    want: ['remove tmp/a', 'file tmp/b'],
  },
  {
    name: 'a name more of a file',
    image: [file('a')],
    live: [file('a'), link('b', 'a')],
    want: ['file a', 'hardlink b a'],
  },
  { name: 'a name less of a file', image: [file('a'), link('b', 'a')], live: [file('a')], want: ['remove b'] },
  {
    name: 'names that are two files now',
    image: [file('a'), link('b', 'a')],
    live: [file('a'), file('b')],
    want: ['file a', 'file b'],
  },
  {
    name: 'files that are one now',
    image: [file('a'), file('b')],
    live: [file('a'), link('b', 'a')],
    want: ['file a', 'hardlink b a'],
  },
]
for (const c of cases)
  test(`changes of a root: ${c.name}`, async () => assert.deepEqual(await changes(c.image, c.live), c.want))
