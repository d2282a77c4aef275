/** The care of the store on its real drivers: what takes room, what may go, what never does. */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { ExtentMapBuilder } from '../../formats/extent-map.ts'
import { parseDigest } from '../../formats/oci/digest.ts'
import { tarOf } from '../../formats/tar/tar-maker.ts'
import { runOptions, type Container } from '../../model/container.ts'
import type { UsageKind } from '../../model/store.ts'
import { layoutFiles, makeImage, sha256, writeLayout, type MadeImage } from '../../services/images/layout-maker.ts'
import type { PruneOptions } from '../../services/store/prune.ts'
import { openImageBench, type ImageBench } from './image-bench.ts'

const scratch = mkdtempSync(join(tmpdir(), 'bareboat-care-test-'))
after(() => rmSync(scratch, { recursive: true, force: true }))

const base = { plain: tarOf({ name: 'base', data: 'b'.repeat(10_000) }) }
const imageOf = (name: string, labels: Record<string, string> = {}): MadeImage => ({
  layers: [base, { plain: tarOf({ name, data: name.repeat(5000) }) }],
  config: { config: { Labels: labels } },
})

async function load(bench: ImageBench, image: MadeImage, reference?: string) {
  const directory = mkdtempSync(join(scratch, 'layout-'))
  writeLayout(directory, layoutFiles([{ image: makeImage(image) }]))
  const [record] = await bench.images.import(directory, reference === undefined ? {} : { reference })
  return record!
}

function aContainer(over: Partial<Omit<Container, 'options'>> & { labels?: Record<string, string> } = {}): Container {
  const { labels = {}, image = 'used', ...rest } = over
  return {
    id: 'c'.repeat(64),
    name: 'web',
    image,
    state: 'running',
    command: [],
    restartCount: 0,
    createdAt: Date.now(),
    ...rest,
    options: runOptions.parse({ image, labels }),
  }
}

const device = new ExtentMapBuilder().literal(0, Uint8Array.of(1)).done(4096)
const PLAIN: PruneOptions = { dryRun: false, all: false, labels: [], notLabels: [] }

/** A dry run, then the real one: both must say the same. @returns `kind name-or-id` of what went */
async function prune(bench: ImageBench, options: Partial<PruneOptions> = {}): Promise<string[]> {
  const planned = await bench.care.prune({ ...PLAIN, ...options, dryRun: true })
  const report = await bench.care.prune({ ...PLAIN, ...options })
  assert.deepEqual({ ...planned, dryRun: false }, report)
  assert.equal(
    report.reclaimedBytes,
    report.items.reduce((sum, item) => sum + item.sizeBytes, 0),
  )
  return report.items.map(({ kind, id, names }) => `${kind} ${names[0] ?? id}`)
}

async function row(bench: ImageBench, kind: UsageKind) {
  const { total, active, sizeBytes, reclaimableBytes } = (await bench.care.usage()).rows.find(
    (each) => each.kind === kind,
  )!
  return [total, active, sizeBytes, reclaimableBytes]
}

test('df counts shared layers once, and what containers use as needed', async () => {
  const containers: Container[] = []
  await using bench = await openImageBench({ containers })
  const used = await load(bench, imageOf('used'), 'used')
  const other = await load(bench, imageOf('other'), 'other')
  containers.push(aContainer(), aContainer({ id: 'd'.repeat(64), name: 'old', state: 'exited', image: 'gone' }))
  await bench.logs.append('d'.repeat(64), 'stdout', 0, Buffer.from('hello'))
  for (const { id } of [used, other]) await bench.devices.of(id)
  for (const { id } of [used, other]) await bench.squashfs.of(id)
  const mapBytes = (await bench.devices.list()).map(({ sizeBytes }) => sizeBytes)

  const usage = await bench.care.usage()
  assert.deepEqual(usage.images.map(({ references, containers: users }) => `${references[0]} ${users}`).toSorted(), [
    'docker.io/library/other:latest 0',
    'docker.io/library/used:latest 1',
  ])
  const [a, b] = usage.images
  const onDisk = usage.layers.reduce((sum, layer) => sum + layer.sizeBytes, 0)
  assert.equal(a!.sharedBytes, b!.sharedBytes)
  assert.equal(a!.uniqueBytes + b!.uniqueBytes + a!.sharedBytes, onDisk)
  assert.ok(a!.sharedBytes > 10_000 && a!.uniqueBytes > 20_000)
  assert.deepEqual(
    usage.layers.map(({ images }) => images).toSorted((one, two) => one - two),
    [1, 1, 2],
  )
  const unused = usage.images.find(({ id }) => id === other.id)!
  assert.deepEqual(await row(bench, 'images'), [2, 1, onDisk, unused.uniqueBytes])
  const logBytes = usage.containers.find(({ name }) => name === 'old')!.sizeBytes
  assert.ok(logBytes >= 5)
  assert.deepEqual(await row(bench, 'containers'), [2, 1, logBytes, logBytes])
  assert.deepEqual(await row(bench, 'devices'), [2, 1, mapBytes[0]! + mapBytes[1]!, mapBytes[0]])
  assert.deepEqual(await row(bench, 'squashfs'), [2, 1, 2 * 71, 71])
  assert.deepEqual(await row(bench, 'layers'), [0, 0, 0, 0])
  assert.ok(usage.disk.freeBytes < usage.disk.sizeBytes)
})

test('prune removes ended containers, unnamed images and what only they had; with all, unused images', async () => {
  const containers = [
    aContainer(),
    aContainer({ id: 'd'.repeat(64), name: 'ended', state: 'exited', image: 'ended' }),
    aContainer({ id: 'e'.repeat(64), name: 'stuck', state: 'failed', image: 'stuck', machineOff: false }),
  ]
  await using bench = await openImageBench({ containers })
  for (const name of ['used', 'ended', 'stuck', 'idle']) await load(bench, imageOf(name), name)
  const unnamed = await load(bench, imageOf('unnamed'))
  const wanted = await load(bench, imageOf('wanted'))
  containers.push(aContainer({ id: 'f'.repeat(64), name: 'by-id', image: 'moved', imageId: wanted.id }))
  const [idle] = [await bench.devices.of(unnamed.id), await bench.devices.of(wanted.id)]
  for (const { id } of [unnamed, wanted]) await bench.squashfs.of(id)
  await bench.logs.append('d'.repeat(64), 'stdout', 0, Buffer.from('hello'))
  await bench.logs.append('9'.repeat(64), 'stdout', 0, Buffer.from('of nobody'))

  assert.deepEqual(await prune(bench), [
    'container ended',
    `image ${unnamed.id}`,
    `layer ${unnamed.layers[1]!.diffId}`,
    `device ${idle!.rootHash}`,
    `squashfs ${unnamed.id}`,
    `log ${'9'.repeat(64)}`,
  ])
  assert.deepEqual(await prune(bench), [])
  assert.deepEqual(
    containers.map(({ name }) => name),
    ['web', 'stuck', 'by-id'],
  )
  assert.deepEqual(readdirSync(join(bench.directory, 'logs')), [])

  const gone = await prune(bench, { all: true })
  assert.deepEqual(gone.filter((item) => !item.startsWith('layer')).toSorted(), [
    'image docker.io/library/ended:latest',
    'image docker.io/library/idle:latest',
  ])
  assert.equal(gone.length, 4)
  const left = await bench.images.list()
  assert.deepEqual(left.flatMap(({ id, references }) => references[0] ?? id).toSorted(), [
    'docker.io/library/stuck:latest',
    'docker.io/library/used:latest',
    wanted.id,
  ])
  for (const { id } of left) assert.ok((await bench.images.tree(id)).entryCount > 0)
})

test('prune until= and label= choose among containers and images as docker does', async () => {
  const ended = { state: 'exited', image: 'nothing' } as const
  const containers = [
    aContainer({ ...ended, id: '1'.repeat(64), name: 'old', createdAt: 1000 }),
    aContainer({ ...ended, id: '2'.repeat(64), name: 'new', createdAt: 5000 }),
    aContainer({ ...ended, id: '3'.repeat(64), name: 'keep', createdAt: 1000, labels: { keep: '', tier: 'front' } }),
  ]
  let nowMs = 1000
  await using bench = await openImageBench({ containers, now: () => nowMs })
  await load(bench, imageOf('early', { tier: 'front' }), 'early')
  nowMs = 5000
  await load(bench, imageOf('late', { tier: 'back' }), 'late')
  const plan = async (options: Partial<PruneOptions>) =>
    (await bench.care.prune({ ...PLAIN, ...options, dryRun: true })).items
      .filter(({ kind }) => kind === 'container' || kind === 'image')
      .map(({ names }) => names[0]!.replace('docker.io/library/', ''))
  assert.deepEqual(await plan({ all: true }), ['old', 'new', 'keep', 'late:latest', 'early:latest'])
  assert.deepEqual(await plan({ all: true, until: 5000 }), ['old', 'keep', 'early:latest'])
  assert.deepEqual(await plan({ all: true, labels: ['tier=front'] }), ['keep', 'early:latest'])
  assert.deepEqual(await plan({ all: true, labels: ['tier'], notLabels: ['keep', 'tier=back'] }), ['early:latest'])
  assert.deepEqual(await plan({ notLabels: ['keep'] }), ['old', 'new'])
  assert.deepEqual(await plan({ labels: ['tier=front', 'keep='] }), ['keep'])
})

test('unfinished pulls and layers of no image are counted, and go with prune but not while they are under way', async () => {
  await using bench = await openImageBench()
  const kept = await load(bench, imageOf('kept'), 'kept')
  const digest = parseDigest(sha256(Buffer.from('x')))
  const part = join(bench.directory, 'store/incoming', `${digest.replace(':', '-')}.part`)
  writeFileSync(part, Buffer.alloc(3000))
  const orphan = tarOf({ name: 'orphan', data: 'o' })
  const diffId = parseDigest(sha256(orphan))
  const hold = Promise.withResolvers<void>()
  const begun = Promise.withResolvers<void>()
  const source = {
    name: 'layer',
    async *open() {
      yield orphan.subarray(0, 1000)
      begun.resolve()
      await hold.promise
      yield orphan.subarray(1000)
    },
  }
  const under = { ...source, digest: diffId, isResumable: true }
  const ingesting = bench.blobs.ingest(under, () => {}, new AbortController().signal)
  await begun.promise
  const transfers = (await bench.care.usage()).transfers
  assert.deepEqual(
    transfers.map(({ digest: id, isUnderWay }) => `${id} ${isUnderWay}`).toSorted(),
    [`${digest} false`, `${diffId} true`].toSorted(),
  )
  assert.deepEqual(await prune(bench, { labels: ['any'] }), [])
  assert.deepEqual(await prune(bench, { until: 1 }), [])
  assert.deepEqual(await prune(bench), [`transfer ${digest}`])
  hold.resolve()
  await ingesting
  assert.equal((await row(bench, 'layers'))[0], 1)
  assert.deepEqual(await prune(bench), [`layer ${diffId}`])
  assert.deepEqual(await row(bench, 'layers'), [0, 0, 0, 0])
  assert.ok((await bench.images.tree(kept.id)).entryCount > 0)
})

test('what a killed process left long ago goes at the next start; what is fresh waits for the next pull', async () => {
  const directory = mkdtempSync(join(scratch, 'store-'))
  const [fresh, old] = ['fresh', 'old'].map((name) => tarOf({ name, data: name }))
  {
    await using bench = await openImageBench({ directory })
    for (const bytes of [fresh!, old!])
      await bench.blobs.ingest(
        {
          name: 'layer',
          open: async function* () {
            yield bytes
          },
        },
        () => {},
        new AbortController().signal,
      )
    const hex = sha256(old!).slice(7)
    const longAgo = new Date(Date.now() - 8 * 24 * 3600_000)
    utimesSync(join(directory, 'store/blobs/sha256', hex.slice(0, 2), hex), longAgo, longAgo)
    mkdirSync(join(directory, 'logs', 'a'.repeat(64)), { recursive: true })
    await bench.deviceFiles.put('a'.repeat(64), device)
  }
  await using bench = await openImageBench({ directory })
  await bench.care.tidy()
  assert.deepEqual(await bench.blobs.list(), [sha256(fresh!)])
  assert.deepEqual(readdirSync(join(directory, 'logs')), [])
  assert.deepEqual(await bench.devices.list(), [])
})
