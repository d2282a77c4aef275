/**
 * A pull, a prune and a repair that are killed at any sync, rename or unlink (P3), against a real registry: nothing that is
 * referred to is lost, nothing stays for ever that is not.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { openImageBench, type ImageBench } from '../../src/drivers/layout/image-bench.ts'
import { parseDigest } from '../../src/formats/oci/digest.ts'
import { tarOf } from '../../src/formats/tar/tar-maker.ts'
import { layoutFiles, makeImage, sha256, writeLayout } from '../../src/services/images/layout-maker.ts'
import { runKilledAt } from './killed-at.ts'
import { missingProgram, run, startRegistry, type RunningRegistry } from './docker-registry.ts'

const missing = missingProgram('strace', 'docker-registry', 'skopeo', 'perl')
const canTrace = missing === undefined && spawnSync('strace', ['-o', '/dev/null', 'true']).status === 0
const skip = missing !== undefined ? `no ${missing} here` : !canTrace && 'no tracing here'
const scratch = mkdtempSync(join(tmpdir(), 'bareboat-store-faults-'))
after(() => rmSync(scratch, { recursive: true, force: true }))

/**
 * Where a kill may leave half of something. One at a time: strace counts for each thread, and the database's own syncs would hide
 * those of a thread that has fewer.
 */
const POINTS = ['fdatasync', 'fsync', 'rename', 'unlink,unlinkat,rmdir']
const never = new AbortController().signal

const shared = { plain: tarOf({ name: 'shared', data: 's'.repeat(100_000) }) }
const own = { plain: tarOf({ name: 'own', data: 'o'.repeat(100_000) }) }

function push(registry: RunningRegistry, name: string, layers: readonly { readonly plain: Uint8Array }[]): string {
  const layout = mkdtempSync(join(scratch, 'layout-'))
  writeLayout(layout, layoutFiles([{ tag: 'x', image: makeImage({ layers }) }]))
  const target = `${registry.host}/${name}:1`
  run('skopeo', 'copy', '--quiet', '--dest-tls-verify=false', `oci:${layout}:x`, `docker://${target}`)
  return target
}

/** Runs a script that is killed at the n-th of these system calls in one thread. @returns whether it came to its end */
async function runKilled(calls: string, when: number, script: string, ...args: string[]): Promise<boolean> {
  const words = [join(import.meta.dirname, script), ...args, 'wait']
  // One thread does all input and output but a layer's, so that all of it is counted.
  const env = { ...process.env, UV_THREADPOOL_SIZE: '1' }
  const { status, stderr } = await runKilledAt({ calls, when, words, env })
  assert.ok(status === 0 || status === null, stderr)
  return status === 0
}

/** Kills at the first point, the second, and so on until the work comes to its end. @returns how many kills there were */
async function killEverywhere(template: string, script: string, args: string[], judge: Judge): Promise<number> {
  let kills = 0
  for (const calls of POINTS)
    for (let when = 1, isDone = false; !isDone; when++) {
      assert.ok(when < 100, 'it never comes to its end')
      const directory = mkdtempSync(join(scratch, 'store-'))
      cpSync(template, directory, { recursive: true })
      isDone = await runKilled(calls, when, script, directory, ...args)
      {
        await using bench = await openImageBench({ directory })
        await judge(bench, `kill at ${calls} ${when}`, isDone)
      }
      rmSync(directory, { recursive: true })
      if (!isDone) kills++
    }
  return kills
}
type Judge = (bench: ImageBench, what: string, isDone: boolean) => Promise<void>

/** Every image is whole and nothing is wrong; after a prune there is nothing but what they need. */
async function assertClean(bench: ImageBench, what: string): Promise<void> {
  const checked = await bench.care.check({ repair: false }, () => {}, never)
  assert.deepEqual(checked.findings, [], what)
  await bench.care.prune({ dryRun: false, all: false, labels: [], notLabels: [] })
  const images = await bench.images.list()
  const needed = new Set(images.flatMap(({ layers }) => layers.map(({ diffId }) => diffId)))
  assert.deepEqual((await bench.blobs.list()).toSorted(), [...needed].toSorted(), what)
  const names = new Set(bench.files().map((file) => file.replace(/\.[a-z]+$/, '')))
  assert.equal(names.size, needed.size, `${what}: ${bench.files().join(' ')}`)
  for (const { id } of images) await bench.images.tree(id)
}

test(
  'a pull that is killed at any point leaves images that are whole, and nothing that a prune does not find',
  { skip },
  async (t) => {
    await using registry = await startRegistry()
    const name = push(registry, 'pulled', [shared, own])
    const empty = mkdtempSync(join(scratch, 'empty-'))
    await (await openImageBench({ directory: empty }))[Symbol.asyncDispose]()
    let orphans = 0
    const kills = await killEverywhere(empty, 'pull-once.ts', [name], async (bench, what, isDone) => {
      const before = await bench.images.list()
      if (isDone) assert.equal(before.length, 1, what)
      orphans += (await bench.care.usage()).layers.filter(({ images }) => images === 0).length
      await assertClean(bench, what)
      const { id } = await bench.images.pull(name, { plainHttp: true, policy: 'always' })
      assert.equal((await bench.images.layers(id)).length, 2, what)
      assert.equal((await bench.care.usage()).transfers.length, 0, what)
    })
    t.diagnostic(`${kills} kills left ${orphans} layers of no image, which prune removed`)
    assert.ok(kills >= 5 && orphans > 0)
  },
)

test(
  'a prune that is killed at any point has lost nothing that is referred to, and the next one ends it',
  { skip },
  async (t) => {
    await using registry = await startRegistry()
    const name = push(registry, 'kept', [shared])
    const template = mkdtempSync(join(scratch, 'template-'))
    let keptId: string
    {
      await using bench = await openImageBench({ directory: template })
      keptId = (await bench.images.pull(name, { plainHttp: true })).id
      const layout = mkdtempSync(join(scratch, 'layout-'))
      writeLayout(layout, layoutFiles([{ image: makeImage({ layers: [shared, own] }) }]))
      const [dangling] = await bench.images.import(layout)
      for (const id of [dangling!.id, parseDigest(keptId)]) await bench.devices.of(id)
      await bench.logs.append('a'.repeat(64), 'stdout', 0, Buffer.from('of nobody'))
      writeFileSync(join(template, 'store/incoming', `${sha256(own.plain).replace(':', '-')}.part`), 'half')
    }
    const kills = await killEverywhere(template, 'store-once.ts', ['prune'], async (bench, what) => {
      assert.ok(
        (await bench.images.list()).some(({ id }) => id === keptId),
        what,
      )
      await assertClean(bench, what)
      assert.deepEqual(
        (await bench.images.list()).map(({ id }) => id),
        [keptId],
        what,
      )
      assert.deepEqual(
        (await bench.devices.list()).map(({ imageId }) => imageId),
        [keptId],
        what,
      )
      assert.deepEqual(readdirSync(join(bench.directory, 'logs')), [], what)
    })
    t.diagnostic(`${kills} kills`)
    assert.ok(kills >= 5)
  },
)

test('a repair that is killed at any point leaves the layer rotten and known to be, or good', { skip }, async (t) => {
  await using registry = await startRegistry()
  const name = push(registry, 'rotten', [shared, own])
  const template = mkdtempSync(join(scratch, 'template-'))
  let imageId: string
  {
    await using bench = await openImageBench({ directory: template })
    imageId = (await bench.images.pull(name, { plainHttp: true })).id
  }
  const hex = sha256(own.plain).slice(7)
  const blob = (directory: string) => join(directory, 'store/blobs/sha256', hex.slice(0, 2), hex)
  const rotten = Buffer.from(own.plain)
  rotten[5000]! ^= 4
  writeFileSync(blob(template), rotten)
  const kills = await killEverywhere(template, 'store-once.ts', ['repair'], async (bench, what, isDone) => {
    const bytes = readFileSync(blob(bench.directory))
    assert.ok(
      bytes.equals(own.plain) || (bytes.equals(rotten) && !isDone),
      `${what}: neither the old nor the right bytes`,
    )
    const again = await bench.care.check({ repair: true }, () => {}, never)
    assert.ok(
      again.findings.every(({ state }) => state === 'repaired'),
      `${what}: ${JSON.stringify(again.findings)}`,
    )
    assert.ok(readFileSync(blob(bench.directory)).equals(own.plain), what)
    await assertClean(bench, what)
    assert.equal((await bench.images.list())[0]?.id, imageId, what)
  })
  t.diagnostic(`${kills} kills`)
  assert.ok(kills >= 5)
})
