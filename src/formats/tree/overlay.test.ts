import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createTarIndexer } from '../tar/indexer.ts'
import { packIndex } from '../tar/packed-index.ts'
import { pax, tarOf, type TarField } from '../tar/tar-maker.ts'
import { changeExtents } from './changes.ts'
import { overlayChanges } from './overlay.ts'

const opaque = (value: string) => pax({ 'SCHILY.xattr.trusted.overlay.opaque': value })

function changes(...fields: TarField[]): string[] {
  const indexer = createTarIndexer()
  indexer.push(tarOf(...fields))
  return [...overlayChanges(packIndex(indexer.end()).each(), 'sha256:x')].map((change) => {
    if (change.kind !== 'put') return `${change.kind} ${change.path}`
    const { path, kind, xattrs } = change.entry
    return [`put ${kind} ${path}`, ...xattrs.keys()].join(' ')
  })
}

const cases: { name: string; fields: TarField[]; want?: string[]; error?: RegExp }[] = [
  {
    name: 'what was removed, by a device and by an attribute',
    fields: [
      { name: './', type: '5' },
      { name: './etc/', type: '5' },
      { name: './etc/gone', type: '3' },
      { name: './null', type: '3', major: '0000001', minor: '0000003' },
      opaque('x'),
      { name: './x/', type: '5' },
      pax({ 'SCHILY.xattr.trusted.overlay.whiteout': '' }),
      { name: './x/gone' },
    ],
    want: [
      'put directory ',
      'put directory etc',
      'remove etc/gone',
      'put character null',
      'put directory x',
      'remove x/gone',
    ],
  },
  {
    name: 'a directory that hides what is below',
    fields: [opaque('y'), { name: 'd/', type: '5' }, { name: 'd/a', data: 'a' }],
    want: ['put directory d', 'opaque d', 'put file d/a'],
  },
  {
    name: 'notes of the file system go, attributes of an overlay within stay',
    fields: [
      pax({
        'SCHILY.xattr.trusted.overlay.origin': 'x',
        'SCHILY.xattr.trusted.overlay.impure': 'y',
        'SCHILY.xattr.trusted.overlay.overlay.opaque': 'y',
        'SCHILY.xattr.user.mine': '1',
      }),
      { name: 'd/', type: '5' },
    ],
    want: ['put directory d trusted.overlay.opaque user.mine'],
  },
  {
    name: 'a directory that is elsewhere',
    fields: [pax({ 'SCHILY.xattr.trusted.overlay.redirect': '/old' }), { name: 'new/', type: '5' }],
    error: /Cannot put "new" into a layer: its attribute "trusted.overlay.redirect"/,
  },
]
for (const c of cases)
  test(`overlay: ${c.name}`, () => {
    if (c.error) assert.throws(() => changes(...c.fields), c.error)
    else assert.deepEqual(changes(...c.fields), c.want)
  })

test('a name that a layer cannot remove is refused', () => {
  assert.throws(() => changeExtents({ kind: 'remove', path: 'n'.repeat(252) }), /too long for a layer/)
  assert.equal(changeExtents({ kind: 'remove', path: 'n'.repeat(251) }).length, 1)
})
