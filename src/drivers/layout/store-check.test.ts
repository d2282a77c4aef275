/** The check of the store on its real drivers, where there is no registry: what is told, what is made again, what cannot be. */
import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, test } from 'node:test'
import { AppError } from '../../base/errors.ts'
import { ExtentMapBuilder } from '../../formats/extent-map.ts'
import { tarOf } from '../../formats/tar/tar-maker.ts'
import type { CheckReport } from '../../model/store.ts'
import { layoutFiles, makeImage, writeLayout } from '../../services/images/layout-maker.ts'
import { openImageBench, type ImageBench } from './image-bench.ts'

const scratch = mkdtempSync(join(tmpdir(), 'bareboat-check-test-'))
after(() => rmSync(scratch, { recursive: true, force: true }))
const layout = join(scratch, 'layout')
const layers = ['a', 'b'].map((name) => ({ plain: tarOf({ name, data: name.repeat(50_000) }) }))
writeLayout(layout, layoutFiles([{ image: makeImage({ layers }) }]))
const never = new AbortController().signal

async function load(bench: ImageBench) {
  const [record] = await bench.images.import(layout, { reference: 'example' })
  return record!
}

function check(bench: ImageBench, repair: boolean): Promise<CheckReport> {
  return bench.care.check({ repair }, () => {}, never)
}

function told({ findings }: CheckReport): string[] {
  return findings.map(({ kind, state, note }) => `${kind} ${state}${note === undefined ? '' : `: ${note}`}`)
}

function pathOf(bench: ImageBench, diffId: string): string {
  const hex = diffId.slice(7)
  return join(bench.directory, 'store/blobs/sha256', hex.slice(0, 2), hex)
}

function flipBit(path: string, at: number): void {
  const bytes = readFileSync(path)
  bytes[at]! ^= 1
  writeFileSync(path, bytes)
}

test('a good store is read whole and nothing is said of it', async () => {
  await using bench = await openImageBench()
  const { id } = await load(bench)
  await bench.devices.of(id)
  const report = await check(bench, true)
  const sizeBytes = layers.reduce((sum, { plain }) => sum + plain.length, 0)
  assert.deepEqual(report, { images: 1, layers: 2, devices: 1, sizeBytes, findings: [] })
})

test('a rotten layer of an imported image is told by name and marked; it is put right by importing it again', async () => {
  await using bench = await openImageBench()
  const { layers: stored, id } = await load(bench)
  const path = pathOf(bench, stored[1]!.diffId)
  flipBit(path, 1000)
  const [found, ...others] = (await check(bench, false)).findings
  assert.deepEqual(others, [])
  assert.deepEqual(
    [found!.kind, found!.id, found!.images, found!.state],
    ['layer', stored[1]!.diffId, ['docker.io/library/example:latest'], 'found'],
  )
  assert.deepEqual(told(await check(bench, true)), [
    `layer failed: Cannot fetch layer ${stored[1]!.diffId} again: no image that has it came from a registry; import the image again`,
  ])
  assert.deepEqual(
    (await bench.care.usage()).layers.map(({ isRotten }) => isRotten).toSorted((a, b) => Number(a) - Number(b)),
    [false, true],
  )
  assert.equal((await load(bench)).id, id)
  assert.ok(readFileSync(path).equals(layers[1]!.plain))
  assert.deepEqual((await check(bench, false)).findings, [])
})

test('a layer that is gone is told; one of no image that has rotten is removed', async () => {
  await using bench = await openImageBench()
  const { layers: stored } = await load(bench)
  rmSync(pathOf(bench, stored[0]!.diffId))
  const orphan = tarOf({ name: 'orphan' })
  const source = {
    name: 'layer',
    open: async function* () {
      yield orphan
    },
  }
  const { diffId } = await bench.blobs.ingest(source, () => {}, never)
  flipBit(pathOf(bench, diffId), 3)
  const [missing, rotten] = (await check(bench, false)).findings
  assert.deepEqual([missing!.id, missing!.why], [stored[0]!.diffId, 'it is not in the store'])
  assert.deepEqual([rotten!.id, rotten!.images], [diffId, []])
  assert.deepEqual(told(await check(bench, true)).slice(1), ['layer repaired: removed: no image has it'])
  assert.deepEqual(await bench.blobs.list(), [stored[1]!.diffId])
})

test('indexes and device maps are made again; those of no image are left to prune', async () => {
  await using bench = await openImageBench()
  const { id, layers: stored } = await load(bench)
  const { rootHash } = await bench.devices.of(id)
  const ofNobody = new ExtentMapBuilder().blob(0, `sha256:${'0'.repeat(64)}`, 0, 1).done(4096)
  await bench.deviceFiles.put('a'.repeat(64), ofNobody)
  truncateSync(`${pathOf(bench, stored[0]!.diffId)}.index`, 5)
  assert.deepEqual(told(await check(bench, false)), ['index found'])
  assert.deepEqual(told(await check(bench, true)), ['index repaired: made again from its layer'])
  const path = bench.deviceFiles.path(rootHash)
  const right = readFileSync(path)
  flipBit(path, 70)
  assert.deepEqual(told(await check(bench, true)), ['device repaired: made again from its layers'])
  assert.ok(readFileSync(path).equals(right))
  flipBit(path, 70)
  rmSync(pathOf(bench, stored[1]!.diffId))
  const [layer, device] = told(await check(bench, true))
  assert.match(layer!, /^layer failed: /)
  assert.match(device!, /^device failed: Cannot make it again before layer sha256:\w+ is here$/)
  await load(bench)
  assert.deepEqual(told(await check(bench, true)), ['device repaired: made again from its layers'])
  assert.deepEqual((await check(bench, false)).findings, [])
})

test('a squashfs file that has rotten is removed, since it is made again; a good one stays', async () => {
  await using bench = await openImageBench()
  const { id } = await load(bench)
  await bench.squashfs.of(id)
  assert.deepEqual((await check(bench, true)).findings, [])
  const folder = join(bench.directory, 'squashfs')
  flipBit(join(folder, readdirSync(folder)[0]!), 5)
  const [finding] = (await check(bench, false)).findings
  assert.deepEqual([finding!.kind, finding!.id, finding!.state], ['squashfs', id, 'found'])
  assert.deepEqual(told(await check(bench, true)), ['squashfs repaired: removed; it is made again when it is needed'])
  assert.deepEqual(readdirSync(folder), [])
})

test('documents that changed in the database are told, and put right by importing the image again', async () => {
  await using bench = await openImageBench()
  const { id } = await load(bench)
  const database = new DatabaseSync(join(bench.directory, 'state.db'))
  database.prepare("UPDATE image SET config = x'7b'").run()
  database.close()
  await assert.rejects(
    bench.images.list(),
    (error) => error instanceof AppError && /its config is damaged/.test(error.message),
  )
  const report = await check(bench, true)
  assert.deepEqual(
    [report.findings.length, report.findings[0]!.kind, report.findings[0]!.state],
    [1, 'image', 'failed'],
  )
  assert.match(report.findings[0]!.why, /^the digest of its config is sha256:/)
  assert.equal(report.layers, 2)
  assert.equal((await load(bench)).id, id)
  assert.deepEqual((await check(bench, false)).findings, [])
})

test('one check at a time; an interrupted one ends and the next one runs', async () => {
  await using bench = await openImageBench()
  await load(bench)
  const stop = new AbortController()
  const slow = bench.care.check({ repair: false, bytesPerSecond: 1 }, () => {}, stop.signal)
  const isConflict = (error: unknown) => error instanceof AppError && error.code === 'conflict'
  await assert.rejects(check(bench, false), isConflict)
  stop.abort()
  await assert.rejects(slow, (error) => error instanceof AppError && error.code === 'interrupted')
  assert.deepEqual((await check(bench, false)).findings, [])
})
