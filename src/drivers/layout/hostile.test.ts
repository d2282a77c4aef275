/** Images that lie or attack: each is refused with its reason, and nothing of it stays. */
import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { AppError } from '../../base/errors.ts'
import { pax, tarOf, type TarField } from '../../formats/tar/tar-maker.ts'
import {
  blobOf,
  layoutFiles,
  makeImage,
  makeIndex,
  sha256,
  writeLayout,
  type Json,
  type MadeImage,
  type MadeLayer,
} from '../../services/images/layout-maker.ts'
import { openImageBench, type ImageBenchOptions } from './image-bench.ts'

const scratch = mkdtempSync(join(tmpdir(), 'bareboat-hostile-'))
after(() => rmSync(scratch, { recursive: true, force: true }))

const good = tarOf({ name: 'etc/', type: '5' }, { name: 'etc/good', data: 'good' })
const layers = (...plain: TarField[][]): MadeImage => ({ layers: plain.map((fields) => ({ plain: tarOf(...fields) })) })
const layer = (made: MadeLayer): MadeImage => ({ layers: [{ plain: good }, made] })
const zeros = Buffer.alloc(8 << 20)

interface Case {
  readonly name: string
  readonly image?: MadeImage
  readonly index?: Json
  readonly says: RegExp
  readonly code?: string
  readonly options?: ImageBenchOptions
  /** Changes the files of the layout. */
  readonly change?: (files: Map<string, Uint8Array>) => void
}

const one = makeImage({ layers: [{ plain: good }] })
const cases: Case[] = [
  {
    name: '`..` in a name',
    image: layers([{ name: '../../etc/cron.d/x', data: 'x' }]),
    says: /layer sha256:.*\.\.\/\.\.\/etc\/cron\.d\/x/,
  },
  {
    name: '`..` inside a PAX path',
    image: layers([pax({ path: 'a/../../b' }), { name: 'x' }]),
    says: /layer sha256:.*entry "x".*"\.\." in the name/,
  },
  {
    name: 'a hard link to what is not there',
    image: layers([{ name: 'l', type: '1', link: 'etc/shadow' }]),
    says: /layer sha256:.*"?l"?.*etc\/shadow/,
  },
  {
    name: 'a hard link out of the tree',
    image: layers([{ name: 'l', type: '1', link: '../../etc/shadow' }]),
    says: /layer sha256:.*entry "l".*"\.\." in the name of its link target/,
  },
  { name: 'a whiteout of the root', image: layers([{ name: '.wh.' }]), says: /layer sha256:.*\.wh\./ },
  { name: 'a whiteout of `.`', image: layers([{ name: 'a/.wh..' }]), says: /layer sha256:.*\.wh\.\./ },
  { name: 'a whiteout of `..`', image: layers([{ name: '.wh...' }]), says: /layer sha256:.*\.wh\.\.\./ },
  {
    name: 'a sparse file of 10 TB',
    image: layers([
      pax({
        'GNU.sparse.major': '1',
        'GNU.sparse.minor': '0',
        'GNU.sparse.name': 'huge',
        'GNU.sparse.realsize': String(10 * 1024 ** 4),
      }),
      { name: 'huge', data: Buffer.concat([Buffer.from('0\n'), Buffer.alloc(510)]) },
    ]),
    says: /layer sha256:.*huge/,
  },
  {
    name: 'a gzip bomb',
    image: layer({ plain: good, bytes: gzipSync(Buffer.alloc(64 << 20)) }),
    options: { blobs: { decompression: { freeBytes: 16 << 20 } } },
    says: /layer sha256:.*a decompression bomb/,
  },
  {
    name: 'a gzip bomb, by the limits as they are',
    image: layer({ plain: good, bytes: gzipSync(Buffer.alloc(300 << 20), { level: 1 }) }),
    says: /layer sha256:.*a decompression bomb/,
  },
  {
    name: 'a zstd bomb',
    image: layer({ plain: good, compression: 'zstd', bytes: zstdCompressSync(Buffer.alloc(64 << 20)) }),
    options: { blobs: { decompression: { freeBytes: 16 << 20 } } },
    says: /layer sha256:.*a decompression bomb/,
  },
  {
    name: 'a layer beyond the budget',
    image: layer({ plain: tarOf({ name: 'z', data: zeros }), compression: 'none' }),
    options: { blobs: { decompression: { plainBytes: 1 << 20 } } },
    says: /layer sha256:.*unpacks to more than 1048576 bytes/,
  },
  {
    name: 'more than the store may hold',
    image: layer({ plain: tarOf({ name: 'z', data: zeros }) }),
    options: { blobs: { quotaBytes: 1 << 20 } },
    code: 'exhausted',
    says: /layer sha256:.*the store has room for/,
  },
  {
    name: 'a truncated layer',
    image: layer({ plain: good, bytes: gzipSync(tarOf({ name: 'r', data: zeros })).subarray(0, -100) }),
    says: /layer sha256:.*gzip data is cut short/,
  },
  {
    name: 'a layer that is no archive',
    image: layer({ plain: Buffer.from('#!/bin/sh\n'.repeat(100)), compression: 'none' }),
    says: /layer sha256:/,
  },
  {
    name: 'garbage after the magic of gzip',
    image: layer({ plain: good, bytes: Buffer.from('1f8b0800ffffffffffffffffffff', 'hex') }),
    says: /layer sha256:.*gzip data is (damaged|cut short)/,
  },
  {
    name: 'a diff id that is another',
    image: layer({ plain: good, diffId: sha256(zeros) }),
    says: /layer sha256:.*unpacked, its digest is sha256:\w+, not sha256:/,
  },
  {
    name: 'a size that is another',
    image: layer({ plain: tarOf({ name: 'b' }), descriptor: { size: 3 } }),
    says: /layer sha256:.*bytes, its manifest says 3/,
  },
  {
    name: 'a layer that is not there',
    image: layer({ plain: tarOf({ name: 'b' }), isMissing: true }),
    says: /layer sha256:.*it is not there/,
  },
  {
    name: 'a layer of another digest',
    image: layer({ plain: tarOf({ name: 'b' }), descriptor: { digest: sha256(zeros), size: 10 } }),
    says: /layer sha256:.*it is not there/,
  },
  {
    name: 'layer bytes that were changed',
    image: { layers: [{ plain: good, compression: 'none' }] },
    change: (files) => files.get(`blobs/${sha256(good).replace(':', '/')}`)!.set([120], 512 * 3),
    says: /layer sha256:.*its digest is sha256:\w+, not sha256:/,
  },
  {
    name: 'config bytes that were changed',
    image: layer({ plain: good }),
    change: (files) => {
      for (const bytes of files.values()) if (Buffer.from(bytes).includes('diff_ids')) bytes[bytes.length - 1] = 32
    },
    says: /blob sha256:.*its digest is/,
  },
  {
    name: 'manifest bytes that were changed',
    image: layer({ plain: good }),
    change: (files) => {
      for (const bytes of files.values()) if (Buffer.from(bytes).includes('"layers":[')) bytes[bytes.length - 1] = 32
    },
    says: /blob sha256:.*its digest is/,
  },
  {
    name: 'layers and manifests at once',
    image: { layers: [{ plain: good }], manifest: { manifests: [] } },
    says: /manifest sha256:.*both manifests and layers/,
  },
  {
    name: 'a manifest of an unknown type',
    image: { layers: [{ plain: good }], manifest: { mediaType: 'application/vnd.example.v1+json' } },
    says: /manifest sha256:/,
  },
  {
    name: "Docker's schema 1",
    image: { layers: [{ plain: good }], manifest: { schemaVersion: 1, fsLayers: [] } },
    says: /schema 1/,
  },
  {
    name: 'an artifact',
    image: {
      layers: [{ plain: good }],
      manifest: {
        config: { mediaType: 'application/vnd.oci.empty.v1+json', digest: sha256(Buffer.from('{}')), size: 2 },
      },
    },
    says: /no container image/,
  },
  {
    name: 'a layer of a foreign type',
    image: layer({ plain: good, descriptor: { mediaType: 'application/x-sh' } }),
    says: /no container image; layer sha256:.*application\/x-sh/,
  },
  {
    name: 'a digest that is a path',
    image: layer({ plain: good, descriptor: { digest: 'sha256:../../../../etc/passwd' } }),
    says: /manifest sha256:.*digest/,
  },
  {
    name: 'more layers than diff ids',
    image: { layers: [{ plain: good }], config: { rootfs: { type: 'layers', diff_ids: [] } } },
    says: /it names 0 layers, the manifest 1/,
  },
  {
    name: 'a config that is a list',
    image: { layers: [{ plain: good }], config: { rootfs: [] } },
    says: /config sha256:/,
  },
  { name: 'an index within an index', index: { manifests: [descriptor(blobOf({ x: 1 }))] }, says: /it is not there/ },
  {
    name: 'index.json that is a manifest',
    index: JSON.parse(Buffer.from(one.bytes).toString()) as Json,
    says: /both manifests and layers|not an image index|is not what its type/,
  },
  {
    name: 'a deep index.json',
    change: (files) => files.set('index.json', Buffer.from('['.repeat(200_000))),
    says: /index\.json.*deep|level/,
  },
]

function descriptor({ digest, bytes }: { digest: string; bytes: Uint8Array }) {
  return { mediaType: 'application/vnd.oci.image.index.v1+json', digest, size: bytes.length }
}

for (const c of cases)
  test(`refused: ${c.name}`, async () => {
    const directory = mkdtempSync(join(scratch, 'layout-'))
    const files = layoutFiles([{ image: makeImage(c.image ?? { layers: [{ plain: good }] }) }], c.index)
    for (const [name, bytes] of files) files.set(name, Uint8Array.from(bytes))
    c.change?.(files)
    writeLayout(directory, files)
    await using bench = await openImageBench(c.options)
    const startedMs = performance.now()
    await assert.rejects(bench.images.import(directory), (error) => {
      assert.ok(error instanceof AppError, String(error instanceof Error ? error.stack : error))
      assert.equal(error.code, c.code ?? 'invalid', error.message)
      assert.match(error.message, c.says)
      return true
    })
    assert.ok(performance.now() - startedMs < 10_000)
    assert.deepEqual(await bench.images.list(), [])
    const left = bench.files()
    // A full store is no fault of the layers that did fit.
    if (c.code === undefined) assert.deepEqual(left, [])
    else
      assert.deepEqual(
        left.filter((file) => file.includes('incoming')),
        [],
      )
  })

test('files of a layout that are links are not read', async () => {
  const directory = mkdtempSync(join(scratch, 'links-'))
  const files = layoutFiles([{ image: one }])
  const index = files.get('index.json')!
  files.delete('index.json')
  writeLayout(directory, files)
  writeFileSync(join(scratch, 'elsewhere.json'), index)
  symlinkSync(join(scratch, 'elsewhere.json'), join(directory, 'index.json'))
  await using bench = await openImageBench()
  await assert.rejects(bench.images.import(directory), /a directory without oci-layout and index\.json/)
})

test('no scheme but http and https is followed, and no path is made of a name', async () => {
  await using bench = await openImageBench()
  for (const source of ['file:///etc/passwd', 'ftp://127.0.0.1/x', 'data://x'])
    await assert.rejects(bench.images.import(source), (error: AppError) => error.code === 'invalid')
  await assert.rejects(bench.images.import('/no/such/file'), (error: AppError) => error.code === 'not_found')
  await assert.rejects(bench.images.import('/dev/null'), (error: AppError) => error.code === 'invalid')
  await assert.rejects(
    bench.images.import('http://user:pass@127.0.0.1/x'),
    (error: AppError) => !error.message.includes('pass@'),
  )
})

test('a docker archive whose names lead out is refused', async () => {
  const config = blobOf({ os: 'linux', architecture: 'amd64', rootfs: { type: 'layers', diff_ids: [sha256(good)] } })
  const archive = (manifest: unknown) =>
    tarOf(
      { name: 'manifest.json', data: Buffer.from(JSON.stringify(manifest)) },
      { name: 'config.json', data: config.bytes },
      { name: 'layer.tar', data: good },
    )
  await using bench = await openImageBench()
  const attempt = async (manifest: unknown) => {
    const path = join(scratch, 'archive.tar')
    writeFileSync(path, archive(manifest))
    return bench.images.import(path)
  }
  for (const Layers of [['../../../etc/passwd'], ['/etc/passwd'], ['missing.tar'], []])
    await assert.rejects(
      attempt([{ Config: 'config.json', RepoTags: ['x:1'], Layers }]),
      (error: AppError) => error.code === 'invalid',
    )
  await assert.rejects(
    attempt([{ Config: '../x', RepoTags: null, Layers: ['layer.tar'] }]),
    (error: AppError) => error.code === 'invalid',
  )
  assert.deepEqual(bench.files(), [])
  const [record] = await attempt([{ Config: 'config.json', RepoTags: ['x:1'], Layers: ['layer.tar'] }])
  assert.deepEqual(record?.references, ['docker.io/library/x:1'])
  // Only the layer stays, not the archive around it.
  assert.equal(bench.files().length, 3)
})

test('an index may list one image for several platforms', async () => {
  const directory = mkdtempSync(join(scratch, 'multi-'))
  const images = ['linux/amd64', 'linux/arm64'].map((platform) => ({
    platform,
    image: makeImage({ platform, layers: [{ plain: tarOf({ name: 'arch', data: platform }) }] }),
  }))
  writeLayout(directory, layoutFiles([{ tag: 'example.org/multi:1', image: makeIndex(images) }]))
  await using bench = await openImageBench()
  const [record] = await bench.images.import(directory, { platform: 'linux/arm64' })
  assert.equal(record?.platform.architecture, 'arm64')
  assert.deepEqual(record?.references, ['example.org/multi:1'])
  assert.equal(readdirSync(directory).length, 3)
})
