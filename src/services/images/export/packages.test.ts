import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cutExtents } from '../../../formats/extents.ts'
import { createTarIndexer } from '../../../formats/tar/indexer.ts'
import { tarOf, type TarField } from '../../../formats/tar/tar-maker.ts'
import { mergeLayers } from '../../../formats/tree/merge.ts'
import { packageList } from './packages.ts'

function list(...fields: TarField[]): Promise<string | undefined> {
  const layer = tarOf(...fields)
  const indexer = createTarIndexer()
  indexer.push(layer)
  const tree = mergeLayers([{ digest: 'sha256:x', index: indexer.end() }])
  return packageList(tree, {
    async *readExtents(extents, from, to) {
      for (const extent of cutExtents(extents, from, to))
        if (extent.kind === 'blob') yield layer.subarray(extent.offset, extent.offset + extent.length)
    },
  })
}

const stanza = (name: string, rest: string): string =>
  `Package: ${name}\nVersion: 1:2.3-4\nArchitecture: amd64\nDescription: häll\n more\n${rest}\n`

test('the packages of dpkg as dpkg -l lists them', async () => {
  const status = [
    stanza('libc6-dev', 'Status: install ok installed'),
    stanza('libc6', 'Status: hold reinstreq half-installed\nMulti-Arch: same'),
    stanza('gone', 'Status: purge ok not-installed'),
    stanza('rest', 'Status: deinstall ok config-files'),
  ].join('\n')
  assert.deepEqual((await list({ name: 'var/lib/dpkg/status', data: Buffer.from(status) }))?.split('\n').slice(3), [
    '||/ Name           Version      Architecture Description',
    '+++-==============-============-============-=================================',
    'hHR libc6:amd64    1:2.3-4      amd64        häll',
    'ii  libc6-dev      1:2.3-4      amd64        häll',
    'rc  rest           1:2.3-4      amd64        häll',
    '',
  ])
})

test('the packages of an image without dpkg, one file each', async () => {
  const got = await list(
    { name: 'var/lib/dpkg/status.d/base', data: stanza('base-files', '') },
    { name: 'var/lib/dpkg/status.d/base.md5sums', data: 'abc  etc/x\n' },
    { name: 'var/lib/dpkg/status.d/tz', data: stanza('tzdata', '') },
  )
  assert.deepEqual(got?.match(/^ii {2}\S+/gm), ['ii  base-files', 'ii  tzdata'])
})

test('the packages of apk as apk info -v lists them', async () => {
  const installed = 'C:Q1\nP:musl\nV:1.2.5-r0\nF:lib\n\nC:Q2\nP:busybox\nV:1.36.1-r29\n\n'
  assert.equal(await list({ name: 'lib/apk/db/installed', data: installed }), 'busybox-1.36.1-r29\nmusl-1.2.5-r0\n')
})

test('no list where there is no database, or one that is broken or leads nowhere', async () => {
  assert.equal(await list({ name: 'etc/passwd' }), undefined)
  assert.equal(await list({ name: 'var/lib/dpkg/status', data: ' no stanza\n' }), undefined)
  assert.equal(await list({ name: 'var/lib/dpkg/status', type: '2', link: '/var/lib/dpkg/status' }), undefined)
})
