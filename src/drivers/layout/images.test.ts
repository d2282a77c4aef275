/** The image service on its real drivers: names, removal, leases, differences, imports of every kind. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { AppError } from '../../base/errors.ts'
import { sizeOf } from '../../formats/extents.ts'
import { tarExtents } from '../../formats/tar/project.ts'
import { tarOf } from '../../formats/tar/tar-maker.ts'
import { layoutFiles, makeImage, writeLayout, type MadeImage } from '../../services/images/layout-maker.ts'
import { openImageBench, type ImageBench } from './image-bench.ts'

const scratch = mkdtempSync(join(tmpdir(), 'bareboat-images-test-'))
after(() => rmSync(scratch, { recursive: true, force: true }))

const base = { plain: tarOf({ name: 'etc/', type: '5' }, { name: 'etc/a', data: 'a' }, { name: 'etc/b', data: 'b' }) }
const one: MadeImage = { layers: [base, { plain: tarOf({ name: 'one', data: '1' }) }] }
const two: MadeImage = {
  layers: [
    base,
    { plain: tarOf({ name: 'etc/a', data: 'A', mode: '0000600' }, { name: 'etc/.wh.b' }, { name: 'two' }) },
  ],
}

async function load(bench: ImageBench, image: MadeImage, reference?: string) {
  const directory = mkdtempSync(join(scratch, 'layout-'))
  writeLayout(directory, layoutFiles([{ image: makeImage(image) }]))
  const [record] = await bench.images.import(directory, reference === undefined ? {} : { reference })
  return record!
}

const fails = (code: string) => (error: unknown) => error instanceof AppError && error.code === code

test('images are found by tag, id, first digits; differences are told path by path', async () => {
  await using bench = await openImageBench()
  const a = await load(bench, one, 'one')
  const b = await load(bench, two, 'example.org/x/two:2')
  for (const name of [
    'one',
    'one:latest',
    'docker.io/library/one',
    a.id,
    a.id.slice(7),
    a.id.slice(7, 19),
    a.id.slice(0, 15),
  ])
    assert.equal(await bench.images.resolve(name), a.id, name)
  assert.equal(await bench.images.resolve('example.org/x/two:2'), b.id)
  for (const name of ['two', 'one:2', 'sha256:0000', 'example.org/x/two'])
    await assert.rejects(bench.images.resolve(name), fails('not_found'))
  const changes = await Array.fromAsync(bench.images.diff('one', b.id))
  assert.deepEqual(
    changes.map(({ kind, path }) => `${kind} ${path}`),
    ['changed /etc/a', 'removed /etc/b', 'removed /one', 'added /two'],
  )
  assert.deepEqual(changes[0]?.details, ['mode 0644 -> 0600', 'content'])
  assert.deepEqual(await Array.fromAsync(bench.images.diff(a.id, 'one')), [])
})

test('removal: a tag, the image with its last tag, its layers unless another image has them', async () => {
  await using bench = await openImageBench()
  const a = await load(bench, one, 'one')
  await load(bench, two, 'two')
  await bench.images.tag('one', 'uno:1')
  await assert.rejects(bench.images.remove(a.id), fails('conflict'))
  assert.deepEqual(await bench.images.remove('uno:1'), {
    untagged: ['docker.io/library/uno:1'],
    deleted: [],
    layers: [],
  })
  const removed = await bench.images.remove('one')
  assert.deepEqual([removed.deleted, removed.layers], [[a.id], [a.layers[1]!.diffId]])
  assert.equal((await bench.images.inspect('two')).layers.length, 2)
  await bench.images.tag('two', 'dos')
  await bench.images.remove((await bench.images.resolve('two')).slice(7, 19), { force: true })
  assert.deepEqual([await bench.images.list(), bench.files()], [[], []])
})

test('an image that a container uses stays', async () => {
  let users = [{ name: 'c1', isLive: true }]
  await using bench = await openImageBench({ users: async () => users })
  await load(bench, one, 'one')
  for (const force of [false, true])
    await assert.rejects(
      bench.images.remove('one', { force }),
      (error: AppError) => fails('conflict')(error) && /container "c1" uses it/.test(error.message),
    )
  users = [{ name: 'c1', isLive: false }]
  await assert.rejects(bench.images.remove('one'), fails('conflict'))
  await bench.images.remove('one', { force: true })
})

test('an image keeps its layers while another import of them is under way and a removal comes', async () => {
  await using bench = await openImageBench()
  await load(bench, one, 'one')
  const again = load(bench, one, 'again')
  await bench.images.remove('one').catch(() => {})
  const record = await again
  for (const { diffId } of record.layers) assert.ok(await bench.blobs.has(diffId))
  const extents = tarExtents(await bench.images.tree(record.id))
  let length = 0
  for await (const piece of bench.blobs.readExtents(extents, 0, sizeOf(extents))) length += piece.length
  assert.equal(length, sizeOf(extents))
})

test('imports: rootfs tars of each compression, archives of images, a URL', async () => {
  await using bench = await openImageBench()
  const rootfs = tarOf(
    { name: './', type: '5' },
    { name: './etc/', type: '5' },
    { name: './etc/os-release', data: 'ID=x\n' },
  )
  const write = (name: string, bytes: Uint8Array) => {
    writeFileSync(join(scratch, name), bytes)
    return join(scratch, name)
  }
  const ids = new Set<string>()
  for (const [name, bytes] of [
    ['r.tar', rootfs],
    ['r.tar.gz', gzipSync(rootfs)],
    ['r.tar.zst', zstdCompressSync(rootfs)],
  ] as const) {
    const [record] = await bench.images.import(write(name, bytes), { reference: `r:${name.split('.').at(-1)}` })
    ids.add(record!.id)
    assert.deepEqual([record!.config.config.entrypoint, record!.config.config.cmd], [undefined, undefined])
  }
  assert.equal(ids.size, 1)
  assert.equal((await bench.images.inspect('r:gz')).references.length, 3)

  const files = layoutFiles([
    { tag: 'v1', image: makeImage(one) },
    { tag: 'example.org/two:2', image: makeImage(two) },
  ])
  const archive = tarOf(...[...files].map(([name, data]) => ({ name, data })))
  const records = await bench.images.import(write('app.tar.gz', gzipSync(archive)))
  assert.deepEqual(
    records.map(({ references }) => references),
    [['docker.io/library/app:v1'], ['example.org/two:2']],
  )
  await assert.rejects(bench.images.import(join(scratch, 'app.tar.gz'), { reference: 'x' }), fails('invalid'))

  const server = createServer((_request, response) => void response.end(gzipSync(rootfs)))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const [fetched] = await bench.images.import(
    `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}/img.tar.gz`,
  )
  assert.ok(ids.has(fetched!.id))
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
  // The archives themselves are not kept.
  assert.equal(bench.files().length, 3 * 4)
})

test('an import that is interrupted leaves nothing', async () => {
  await using bench = await openImageBench()
  const path = join(scratch, 'big.tar')
  writeFileSync(path, tarOf({ name: 'big', data: Buffer.alloc(20_000_000, 'x') }))
  const stop = new AbortController()
  const importing = bench.images.import(path, {}, () => stop.abort(), stop.signal)
  await assert.rejects(importing, fails('interrupted'))
  assert.deepEqual([await bench.images.list(), bench.files()], [[], []])
})

test('what is no archive is refused under the name that messages are to have, and nothing stays', async () => {
  await using bench = await openImageBench()
  const path = join(scratch, 'upload')
  writeFileSync(path, 'not a tar')
  for (const [options, name] of [
    [{}, path],
    [{ name: 'example:1' }, 'example:1'],
  ] as const)
    await assert.rejects(bench.images.import(path, options), (error) => {
      assert.ok(
        error instanceof Error && error.message.startsWith(`Cannot store "${name}": tar layer: `),
        String(error),
      )
      return true
    })
  assert.deepEqual([await bench.images.list(), bench.files()], [[], []])
})
