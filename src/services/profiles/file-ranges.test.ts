import assert from 'node:assert/strict'
import { test } from 'node:test'
import { erofsImage } from '../../formats/erofs/image.ts'
import { LITERALS } from '../../formats/extent-map.ts'
import { createTarIndexer } from '../../formats/tar/indexer.ts'
import { tarOf } from '../../formats/tar/tar-maker.ts'
import { createMerger } from '../../formats/tree/merge.ts'
import { fileRanges, renderFileRanges } from './file-ranges.ts'

const BLOCK = 4096
const blob = `sha256:${'a'.repeat(64)}`
const indexer = createTarIndexer()
indexer.push(
  tarOf(
    { name: 'a', data: 'a'.repeat(3 * BLOCK) },
    { name: 'dir/', type: '5' },
    { name: 'dir/b c', data: 'b'.repeat(2 * BLOCK + 1) },
    { name: 'same', type: '1', link: 'a' },
    { name: 'bad\nname', data: 'x'.repeat(BLOCK) },
  ),
)
const merger = createMerger()
merger.apply({ digest: blob, index: indexer.end() })
const tree = merger.tree()
const map = erofsImage(tree, { uuid: new Uint8Array(16) })
const dataBlocks = map.sizeBytes / BLOCK
/** The block at which a file begins on the device. */
const begin = (path: string): number => {
  const [run] = tree.get(path)!.data
  const row = map.offsets.findIndex((offset, at) => map.sources[at] !== LITERALS && offset === run!.offset)
  return map.starts[row]! / BLOCK
}

test('fileRanges: blocks of the device become blocks of files, in the order in which they were read', () => {
  const ranges = [
    { start: begin('dir/b c') + 1, count: 2 },
    { start: 0, count: 1 },
    { start: begin('a'), count: 2 },
    { start: begin('a') + 2, count: 1 },
    { start: dataBlocks, count: 9 },
  ]
  assert.deepEqual(fileRanges(ranges, map, tree, dataBlocks), [
    { start: 1, count: 2, path: 'dir/b c' },
    { start: 0, count: 1 },
    { start: 0, count: 3, path: 'a' },
  ])
})

test('fileRanges: a read over several files is told of each; a name that no line holds is left out', () => {
  const found = fileRanges([{ start: 0, count: dataBlocks }], map, tree, dataBlocks)
  assert.deepEqual(found.map(({ path }) => path).toSorted(), ['a', 'dir/b c', undefined])
  const lines = Buffer.from(renderFileRanges(found)).toString('latin1')
  assert.match(lines, /^0 3 a$/m)
  assert.match(lines, /^0 3 dir\/b c$/m)
  assert.match(lines, /^0 1$/m)
})
