import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseImageConfig } from '../../../formats/oci/config.ts'
import { parseDigest } from '../../../formats/oci/digest.ts'
import type { ImageRecord } from '../../../services/images/image.ts'
import { blobOf, sha256 } from '../../../services/images/layout-maker.ts'
import { openSqlite } from './database.ts'
import { createImageStore, imageMigrations, type ImageTables } from './images.ts'

function open() {
  const database = openSqlite<ImageTables>(':memory:', imageMigrations)
  return {
    store: createImageStore(database.db),
    raw: database.raw,
    [Symbol.asyncDispose]: database[Symbol.asyncDispose],
  }
}

function digest(text: string) {
  return parseDigest(sha256(Buffer.from(text)))
}

function image(name: string, more: Partial<ImageRecord> = {}): ImageRecord {
  const { bytes, digest: id } = blobOf({
    os: 'linux',
    architecture: 'amd64',
    author: name,
    rootfs: { type: 'layers', diff_ids: [digest('base'), digest(name)] },
  })
  const layers = ['base', name].map((text) => ({
    diffId: digest(text),
    digest: digest(`${text}.gz`),
    mediaType: 'x/y',
    sizeBytes: 512,
  }))
  const config = parseImageConfig(bytes)
  return {
    id: parseDigest(id),
    manifestDigest: digest(`${name} manifest`),
    references: [],
    repoDigests: [],
    platform: config.platform,
    createdAtMs: undefined,
    storedAtMs: 1000,
    sizeBytes: 1024,
    layers,
    config,
    configBytes: Uint8Array.from(bytes),
    manifestBytes: Uint8Array.of(1, 2, 3),
    ...more,
  }
}

test('a record comes back as it was put', async () => {
  await using at = open()
  const one = image('one', { references: ['r/a:1', 'r/b:2'], repoDigests: ['r/a@sha256:x'], createdAtMs: 5 })
  await at.store.put(one)
  assert.deepEqual(await at.store.get(one.id), one)
  assert.deepEqual(await at.store.byReference('r/b:2'), one)
  assert.deepEqual(await at.store.byRepoDigest('r/a@sha256:x'), [one])
  assert.equal(await at.store.byReference('r/b'), undefined)
  await at.store.put(image('one', { references: ['r/c:3'], repoDigests: ['r/a@sha256:x', 'r/c@sha256:y'] }))
  const again = await at.store.get(one.id)
  assert.deepEqual(again?.references, ['r/a:1', 'r/b:2', 'r/c:3'])
  assert.deepEqual(again?.repoDigests, ['r/a@sha256:x', 'r/c@sha256:y'])
})

test('a reference belongs to one image: the last that took it', async () => {
  await using at = open()
  const [one, two] = [
    image('one', { references: ['r/a:1'] }),
    image('two', { references: ['r/a:1'], storedAtMs: 2000 }),
  ]
  await at.store.put(one)
  await at.store.put(two)
  assert.deepEqual(
    (await at.store.list()).map(({ id, references }) => [id, references]),
    [
      [two.id, ['r/a:1']],
      [one.id, []],
    ],
  )
  await at.store.tag(one.id, 'r/a:1')
  assert.equal((await at.store.byReference('r/a:1'))?.id, one.id)
  assert.equal(await at.store.untag('r/a:1'), true)
  assert.equal(await at.store.untag('r/a:1'), false)
  await assert.rejects(at.store.tag(digest('nobody'), 'r/x:1'))
})

test('ids are found by their first digits', async () => {
  await using at = open()
  const records = ['one', 'two', 'three'].map((name) => image(name))
  for (const record of records) await at.store.put(record)
  for (const { id } of records) assert.deepEqual(await at.store.idsStartingWith(id.slice(7, 20), 2), [id])
  assert.deepEqual(await at.store.idsStartingWith('%', 2), [])
  assert.deepEqual(await at.store.idsStartingWith('sha', 2), [])
})

test('with an image goes all that is its own', async () => {
  await using at = open()
  const one = image('one', { references: ['r/a:1'], repoDigests: ['r/a@sha256:x'] })
  await at.store.put(one)
  await at.store.remove(one.id)
  assert.deepEqual(await at.store.list(), [])
  for (const table of ['image_layer', 'image_reference', 'image_repo_digest'])
    assert.deepEqual({ ...at.raw.prepare(`SELECT count(*) AS n FROM ${table}`).get() }, { n: 0 })
})
