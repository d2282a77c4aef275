import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createTarIndexer } from '../tar/indexer.ts'
import { pax, tarOf, type TarField } from '../tar/tar-maker.ts'
import { mergeLayers, type TreeLimits } from './merge.ts'
import { fileExtents, type Tree, type TreeEntry } from './tree.ts'

type Line = string | TarField

/** `d/` is a directory, `l -> t` a symlink, `h = t` a hard link, `f:text` a file, a bare name an empty file. */
function field(line: Line): TarField {
  if (typeof line !== 'string') return line
  const [, link, target] = / -> /.test(line) ? /^(.*) -> (.*)$/.exec(line)! : []
  if (link !== undefined) return { name: link, type: '2', link: target! }
  const [, hard, to] = / = /.test(line) ? /^(.*) = (.*)$/.exec(line)! : []
  if (hard !== undefined) return { name: hard, type: '1', link: to! }
  if (line.endsWith('/')) return { name: line, type: '5', mode: '0000700' }
  const [name, data] = line.split(':')
  return { name: name!, data: data ?? '' }
}

function merge(layers: Line[][], limits: Partial<TreeLimits> = {}): Tree {
  return mergeLayers(
    layers.map((lines, at) => {
      const indexer = createTarIndexer()
      indexer.push(tarOf(...lines.map(field)))
      return { digest: `sha256:${at}`, index: indexer.end() }
    }),
    limits,
  )
}

/** Paths with `/` for directories, `@N` for the layer of files, `->` for links, `#inode` where a file has more names. */
function show(tree: Tree): string[] {
  return [...tree.entries()].slice(1).map(line)
}

function line(entry: TreeEntry): string {
  const { kind, path, blob, linkCount, inode } = entry
  if (kind === 'directory') return `${path}/`
  if (kind === 'symlink') return `${path} -> ${entry.target}`
  return `${path}@${blob.slice(7)}${linkCount > 1 ? `#${inode}x${linkCount}` : ''}`
}

const cases: { name: string; layers: Line[][]; tree: string[] }[] = [
  { name: 'no layers', layers: [], tree: [] },
  {
    name: 'upper files replace lower ones',
    layers: [
      ['a', 'b'],
      ['b', 'c'],
    ],
    tree: ['a@0', 'b@1', 'c@1'],
  },
  { name: 'a whiteout removes', layers: [['d/', 'd/a', 'd/b'], ['d/.wh.a']], tree: ['d/', 'd/b@0'] },
  { name: 'a whiteout removes a directory whole', layers: [['d/', 'd/a', 'e'], ['.wh.d']], tree: ['e@0'] },
  { name: 'a whiteout of what is not there', layers: [['a'], ['.wh.b', 'x/.wh.y', 'a/.wh.c']], tree: ['a@0'] },
  { name: 'a whiteout spares its own layer, before', layers: [['a'], ['.wh.a', 'a']], tree: ['a@1'] },
  { name: 'a whiteout spares its own layer, after', layers: [['a'], ['a', '.wh.a']], tree: ['a@1'] },
  {
    name: 'a whiteout then a directory of the name',
    layers: [
      ['d/', 'd/a'],
      ['d/', '.wh.d', 'd/b'],
    ],
    tree: ['d/', 'd/b@1'],
  },
  { name: 'a whiteout hides from the layers above too', layers: [['a'], ['.wh.a'], ['b']], tree: ['b@2'] },
  { name: 'a name that was taken away comes back', layers: [['a'], ['.wh.a'], ['a']], tree: ['a@2'] },
  {
    name: 'opaque first',
    layers: [
      ['d/', 'd/a', 'd/s/', 'd/s/x'],
      ['d/', 'd/.wh..wh..opq', 'd/b'],
    ],
    tree: ['d/', 'd/b@1'],
  },
  {
    name: 'opaque last',
    layers: [
      ['d/', 'd/a', 'd/s/', 'd/s/x'],
      ['d/', 'd/b', 'd/.wh..wh..opq'],
    ],
    tree: ['d/', 'd/b@1'],
  },
  {
    name: 'opaque keeps re-made subdirectories empty',
    layers: [
      ['d/', 'd/s/', 'd/s/x'],
      ['d/s/', 'd/.wh..wh..opq'],
    ],
    tree: ['d/', 'd/s/'],
  },
  {
    name: 'opaque at the root',
    layers: [
      ['a', 'd/', 'd/x'],
      ['.wh..wh..opq', 'b'],
    ],
    tree: ['b@1'],
  },
  { name: 'opaque of what is no directory', layers: [['a'], ['a/.wh..wh..opq', 'n/.wh..wh..opq']], tree: ['a@0'] },
  { name: 'a file replaces a directory', layers: [['d/', 'd/a'], ['d']], tree: ['d@1'] },
  { name: 'a directory replaces a file', layers: [['d'], ['d/', 'd/a']], tree: ['d/', 'd/a@1'] },
  { name: 'a symlink replaces a directory', layers: [['d/', 'd/a'], ['d -> e']], tree: ['d -> e'] },
  {
    name: 'a directory replaces a symlink to a directory',
    layers: [['e/', 'e/a', 'd -> e'], ['d/']],
    tree: ['d/', 'e/', 'e/a@0'],
  },
  {
    name: 'a file below a symlink of a lower layer makes a directory of it',
    layers: [['e/', 'd -> e'], ['d/a']],
    tree: ['d/', 'd/a@1', 'e/'],
  },
  {
    name: 'a file below a file of a lower layer makes a directory of it',
    layers: [['d'], ['d/a']],
    tree: ['d/', 'd/a@1'],
  },
  { name: 'a file replaces a symlink, not its target', layers: [['t', 'l -> t'], ['l']], tree: ['l@1', 't@0'] },
  { name: 'a directory entry keeps the children below', layers: [['d/', 'd/a'], ['d/']], tree: ['d/', 'd/a@0'] },
  { name: 'the last of two entries wins', layers: [['a:1', 'a:2', 'd/', 'd/x', 'd']], tree: ['a@0', 'd@0'] },
  { name: 'parents are implied', layers: [['a/b/c/d']], tree: ['a/', 'a/b/', 'a/b/c/', 'a/b/c/d@0'] },
  {
    name: 'siblings in byte order, parents first',
    layers: [['a.b', 'a/', 'a/z', 'a-', '\xff', 'Z', '\x01']],
    tree: ['\x01@0', 'Z@0', 'a/', 'a/z@0', 'a-@0', 'a.b@0', '\xff@0'],
  },
  { name: 'hard links in one layer', layers: [['a:x', 'b = a', 'c = b']], tree: ['a@0#2x3', 'b@0#2x3', 'c@0#2x3'] },
  { name: 'a hard link to a lower layer', layers: [['a:x'], ['b = a']], tree: ['a@0#2x2', 'b@0#2x2'] },
  { name: 'a replaced name leaves its link group', layers: [['a:x', 'b = a'], ['a:y']], tree: ['a@1', 'b@0'] },
  {
    name: 'a whited-out name leaves its link group',
    layers: [['a:x', 'b = a', 'c = a'], ['.wh.a']],
    tree: ['b@0#2x2', 'c@0#2x2'],
  },
  { name: 'a hard link to a symlink', layers: [['l -> t', 'm = l']], tree: ['l -> t', 'm -> t'] },
  { name: 'a hard link to a target that is then replaced', layers: [['a:1', 'b = a', 'a:2']], tree: ['a@0', 'b@0'] },
  { name: 'a hard link replaces a directory', layers: [['a:1', 'd/', 'd/x'], ['d = a']], tree: ['a@0#2x2', 'd@0#2x2'] },
  {
    name: 'names that only look like whiteouts',
    layers: [['a.wh.b', '.wha', '.w/', '.w/h.x']],
    tree: ['.w/', '.w/h.x@0', '.wha@0', 'a.wh.b@0'],
  },
  {
    name: 'a whiteout of a name with dots',
    layers: [
      ['.a', '..b', '...'],
      ['.wh..a', '.wh...b', '.wh....'],
    ],
    tree: [],
  },
]
for (const c of cases) test(`mergeLayers: ${c.name}`, () => assert.deepEqual(show(merge(c.layers)), c.tree))

const refusals: { name: string; layers: Line[][]; error: RegExp; limits?: Partial<TreeLimits> }[] = [
  {
    name: 'a whiteout of nothing',
    layers: [['a'], ['.wh.']],
    error: /^Cannot use layer sha256:1: entry ".wh.": a whiteout of ""$/,
  },
  { name: 'a whiteout of "."', layers: [['d/.wh..']], error: /layer sha256:0: entry "d\/.wh..": a whiteout of "."/ },
  { name: 'a whiteout of ".."', layers: [['d/.wh...']], error: /entry "d\/.wh...": a whiteout of ".."/ },
  {
    name: 'an unknown special whiteout',
    layers: [['.wh..wh.plnk/']],
    error: /entry ".wh..wh.plnk": a whiteout of a kind/,
  },
  { name: 'opaque, almost', layers: [['.wh..wh..opq2']], error: /a whiteout of a kind/ },
  { name: 'an entry below a whiteout', layers: [['.wh.a/b']], error: /it lies below a whiteout/ },
  { name: 'a hard link to nothing', layers: [['b = a']], error: /entry "b": a hard link to "a", which is not there/ },
  { name: 'a hard link to what comes later', layers: [['b = a', 'a']], error: /which is not there/ },
  {
    name: 'a hard link to a whited-out name',
    layers: [['a'], ['b = a', '.wh.a']],
    error: /layer sha256:1: entry "b".*taken away/,
  },
  {
    name: 'a hard link to a hidden name',
    layers: [
      ['d/', 'd/a'],
      ['b = d/a', 'd/.wh..wh..opq'],
    ],
    error: /taken away/,
  },
  { name: 'a hard link to a directory', layers: [['d/', 'b = d']], error: /which is a directory/ },
  { name: 'a hard link to itself', layers: [['a', 'a = a']], error: /which it replaces/ },
  { name: 'a hard link in place of its target', layers: [['d/', 'd/a', 'd = d/a']], error: /which it replaces/ },
  { name: 'a hard link below its target', layers: [['a'], ['a/b = a']], error: /which it replaces/ },
  { name: 'a hard link through a symlink', layers: [['d/', 'd/a', 'l -> d', 'b = l/a']], error: /which is not there/ },
  {
    name: 'an entry below a symlink of its layer',
    layers: [['l -> /etc', 'l/passwd']],
    error: /entry "l\/passwd": "l" is a symlink in the same layer/,
  },
  { name: 'an entry below a file of its layer', layers: [['f', 'f/x/y']], error: /"f" is a file in the same layer/ },
  { name: 'too many names', layers: [['a/b/c', 'd']], limits: { names: 4 }, error: /entry "d": more than 4 names/ },
  { name: 'too many bytes of paths', layers: [['aaaa/b']], limits: { pathBytes: 9 }, error: /9 bytes of paths/ },
]
for (const c of refusals)
  test(`mergeLayers refuses ${c.name}`, () => {
    assert.throws(() => merge(c.layers, c.limits), { name: 'AppError', code: 'invalid', message: c.error })
  })

test('metadata: of the entry, of re-entries, of implied directories, of the root', () => {
  const tree = merge([
    [{ name: './', type: '5', mode: '0000711', uid: '0000001' }, { name: 'd', type: '5', mode: '0001777' }, 'd/x/y'],
    [pax({ mtime: '1.5', 'SCHILY.xattr.user.a': 'v' }), { name: 'd', type: '5', mode: '0000750', gid: '0000002' }],
  ])
  const { mode, gid, mtimeSeconds, mtimeNanoseconds, xattrs, linkCount } = tree.get('d')!
  assert.deepEqual([mode, gid, mtimeSeconds, mtimeNanoseconds, linkCount], [0o750, 2, 1, 500_000_000, 3])
  assert.deepEqual([...xattrs.keys()], ['user.a'])
  const implied = tree.get('d/x')!
  assert.deepEqual([implied.mode, implied.uid, implied.gid, implied.mtimeSeconds, implied.blob], [0o755, 0, 0, 0, ''])
  assert.deepEqual([tree.get('')!.mode, tree.get('/')!.uid, tree.get('')!.linkCount], [0o711, 1, 3])
})

test('symlinks have the bits that Linux gives them, and the size of their target', () => {
  const link = merge([[{ name: 'l', type: '2', link: 'target', mode: '0000600' }]]).get('l')!
  assert.deepEqual([link.mode, link.size], [0o777, 6])
})

test('get, children, names and counts', () => {
  const tree = merge([['d/', 'd/b', 'd/a', 'd/e/', 'd/e/f', 'h = d/a']])
  assert.deepEqual(
    tree.children('/d/').map(({ path }) => path),
    ['d/a', 'd/b', 'd/e'],
  )
  assert.deepEqual(
    tree.children('').map(({ path }) => path),
    ['d', 'h'],
  )
  assert.deepEqual([tree.children('d/a'), tree.children('nowhere')], [[], []])
  assert.deepEqual(tree.get('/d/a'), tree.get('d/a'))
  assert.deepEqual(
    tree.names(tree.get('h')!.inode).map(({ path }) => path),
    ['d/a', 'h'],
  )
  assert.deepEqual([tree.entryCount, tree.inodeCount], [7, 6])
  assert.deepEqual(
    [...tree.entries()].map(({ inode }) => inode),
    [1, 2, 3, 4, 5, 6, 3],
  )
})

test('resolve follows links inside the tree only', () => {
  const chain = Array.from({ length: 41 }, (_, n) => `c${n + 1} -> c${n}`)
  const tree = merge([
    [
      'etc/',
      'etc/passwd',
      'usr/',
      'usr/lib/',
      'usr/lib/so',
      'lib -> usr/lib',
      'abs -> /etc/passwd',
      'c0',
      ...chain,
      'loop -> loop',
      'up -> ../../../../etc',
      'etc/rel -> ../lib/so',
      'gone -> nowhere',
      'l2 -> /lib/../../etc/./passwd',
    ],
  ])
  const to = (path: string): string | undefined => tree.resolve(path)?.path
  assert.equal(to('lib/so'), 'usr/lib/so')
  assert.equal(to('/abs'), 'etc/passwd')
  assert.equal(to('up/passwd'), 'etc/passwd')
  assert.equal(to('etc/rel'), 'usr/lib/so')
  assert.equal(to('l2'), 'etc/passwd')
  assert.equal(to('lib/../lib/so'), 'usr/lib/so')
  assert.equal(to('../../..'), '')
  assert.equal(to('c40'), 'c0')
  assert.equal(to('c41'), undefined)
  for (const path of ['loop', 'gone', 'etc/passwd/x', 'etc/passwd/..', 'none/../etc'])
    assert.equal(to(path), undefined, path)
})

test('fileExtents fills holes with zeros', () => {
  const tree = merge([[pax({ 'GNU.sparse.size': '100', 'GNU.sparse.map': '10,1,50,2' }), { name: 's', data: 'abc' }]])
  assert.deepEqual(fileExtents(tree.get('s')!), [
    { kind: 'zeros', length: 10 },
    { kind: 'blob', blob: 'sha256:0', offset: 1536, length: 1 },
    { kind: 'zeros', length: 39 },
    { kind: 'blob', blob: 'sha256:0', offset: 1537, length: 2 },
    { kind: 'zeros', length: 48 },
  ])
  assert.deepEqual(fileExtents(tree.get('')!), [])
})

test('2,000 directories within each other', () => {
  const path = Array(2000).fill('d').join('/')
  const tree = merge([[{ type: 'L', data: `${path}\0` }, {}]])
  assert.equal(tree.entryCount, 2001)
  assert.equal(tree.resolve(path)?.kind, 'file')
})
