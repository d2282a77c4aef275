/** What rots is found and fetched again from a real registry, by the image service and by the command line of a real daemon. */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, test } from 'node:test'
import { poll } from '../../src/base/clock.ts'
import { openImageBench, type ImageBench } from '../../src/drivers/layout/image-bench.ts'
import { sizeOf } from '../../src/formats/extents.ts'
import { tarExtents } from '../../src/formats/tar/project.ts'
import { tarOf } from '../../src/formats/tar/tar-maker.ts'
import type { CheckReport, PruneReport, StoreUsage } from '../../src/model/store.ts'
import { layoutFiles, makeImage, sha256, writeLayout } from '../../src/services/images/layout-maker.ts'
import { missingProgram, run, startRegistry, type RunningRegistry } from './docker-registry.ts'

const missing = missingProgram('docker-registry', 'skopeo', 'perl')
const skip = missing !== undefined && `no ${missing} here`
const scratch = mkdtempSync(join(tmpdir(), 'bareboat-store-check-'))
after(() => rmSync(scratch, { recursive: true, force: true }))

const layers = [
  { plain: tarOf({ name: 'etc/', type: '5' }, { name: 'etc/a', data: 'a'.repeat(200_000) }), compression: 'gzip' },
  { plain: tarOf({ name: 'etc/b', data: 'b'.repeat(300_000) }), compression: 'zstd' },
] as const
const never = new AbortController().signal

function push(registry: RunningRegistry, name: string): string {
  const layout = mkdtempSync(join(scratch, 'layout-'))
  writeLayout(layout, layoutFiles([{ tag: 'x', image: makeImage({ layers }) }]))
  const target = `${registry.host}/${name}:1`
  run('skopeo', 'copy', '--quiet', '--dest-tls-verify=false', `oci:${layout}:x`, `docker://${target}`)
  return target
}

/** The digest of an image's whole root as a tar. */
async function rootDigest(bench: ImageBench, reference: string): Promise<string> {
  const extents = tarExtents(await bench.images.tree(await bench.images.resolve(reference)))
  const parts = await Array.fromAsync(bench.blobs.readExtents(extents, 0, sizeOf(extents)))
  return sha256(Buffer.concat(parts))
}

function blobPath(store: string, plain: Uint8Array): string {
  const hex = sha256(plain).slice(7)
  return join(store, 'blobs/sha256', hex.slice(0, 2), hex)
}

function flipBit(path: string, at: number): void {
  const bytes = readFileSync(path)
  bytes[at]! ^= 0x10
  writeFileSync(path, bytes)
}

test('a rotten layer, a lost one and damaged documents come again from the registry', { skip }, async () => {
  await using registry = await startRegistry()
  const name = push(registry, 'checked')
  await using bench = await openImageBench()
  const store = join(bench.directory, 'store')
  const { id } = await bench.images.pull(name, { plainHttp: true })
  const before = await rootDigest(bench, name)
  flipBit(blobPath(store, layers[0].plain), 100_000)
  rmSync(blobPath(store, layers[1].plain))
  const database = new DatabaseSync(join(bench.directory, 'state.db'))
  database.prepare("UPDATE image SET manifest = x'7b7d'").run()
  database.close()
  assert.notEqual(await rootDigest(bench, name).catch(() => 'unreadable'), before)
  const check = (repair: boolean) => bench.care.check({ repair }, () => {}, never)
  assert.deepEqual(
    (await check(false)).findings.map(({ kind, id: what, state }) => `${kind} ${what} ${state}`).toSorted(),
    [`image ${id} found`, ...layers.map(({ plain }) => `layer ${sha256(plain)} found`).toSorted()],
  )
  const repaired = await check(true)
  assert.deepEqual(
    repaired.findings.map(({ state, note }) => `${state} ${note}`),
    Array<string>(3).fill('repaired fetched again'),
  )
  assert.equal(await rootDigest(bench, name), before)
  assert.deepEqual((await check(false)).findings, [])
  assert.deepEqual(
    bench.files().filter((file) => /incoming|rotten/.test(file)),
    [],
  )
})

test('a run or pull fetches a layer that was found rotten, without a repair', { skip }, async () => {
  await using registry = await startRegistry()
  const name = push(registry, 'pulled')
  await using bench = await openImageBench()
  await bench.images.pull(name, { plainHttp: true })
  const before = await rootDigest(bench, name)
  const path = blobPath(join(bench.directory, 'store'), layers[1].plain)
  flipBit(path, 7)
  assert.equal((await bench.care.check({ repair: false }, () => {}, never)).findings.length, 1)
  await bench.images.pull(name, { plainHttp: true, policy: 'missing' })
  assert.ok(readFileSync(path).equals(layers[1].plain))
  assert.equal(await rootDigest(bench, name), before)
})

test(
  'a layer of an image that was pulled and then imported is found in the registry by its place',
  { skip },
  async () => {
    await using registry = await startRegistry()
    const name = push(registry, 'both')
    await using bench = await openImageBench()
    const { id } = await bench.images.pull(name, { plainHttp: true })
    const layout = mkdtempSync(join(scratch, 'layout-'))
    // The same layers, packed in another way: other digests lead to them.
    writeLayout(layout, layoutFiles([{ image: makeImage({ layers: layers.map(({ plain }) => ({ plain })) }) }]))
    const [imported] = await bench.images.import(layout, { reference: 'both' })
    assert.equal(imported!.id, id)
    flipBit(blobPath(join(bench.directory, 'store'), layers[0].plain), 1)
    const report = await bench.care.check({ repair: true }, () => {}, never)
    assert.deepEqual(
      report.findings.map(({ state }) => state),
      ['repaired'],
    )
  },
)

test('where the registry is gone the check says so, and the layer stays marked', { skip }, async () => {
  await using bench = await openImageBench()
  {
    await using registry = await startRegistry()
    await bench.images.pull(push(registry, 'gone'), { plainHttp: true })
  }
  flipBit(blobPath(join(bench.directory, 'store'), layers[0].plain), 1)
  const [finding] = (await bench.care.check({ repair: true }, () => {}, never)).findings
  assert.equal(finding!.state, 'failed')
  assert.match(finding!.note!, /^Cannot fetch layer sha256:\w+ again: .* cannot be reached/)
  assert.equal((await bench.care.usage()).layers.filter(({ isRotten }) => isRotten).length, 1)
})

interface Daemon extends AsyncDisposable {
  /** Runs the command line against it to its end. */
  bareboat(...words: string[]): { readonly status: number | null; readonly stdout: string; readonly stderr: string }
}

async function startDaemon(folder: string): Promise<Daemon> {
  const socket = join(folder, 'api.sock')
  rmSync(socket, { force: true })
  mkdirSync(join(folder, 'kits'), { recursive: true })
  const main = ['--disable-warning=ExperimentalWarning', join(import.meta.dirname, '../../src/main.ts')]
  const places = ['--data-dir', join(folder, 'data'), '--kit-dir', join(folder, 'kits'), '--socket', socket]
  const server = spawn(process.execPath, [...main, 'server', ...places], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, HOME: folder },
  })
  let said = ''
  server.stderr.on('data', (bytes: Buffer) => (said = (said + bytes.toString()).slice(-2000)))
  const ended = new Promise((resolve) => server.once('close', resolve))
  const stop = async () => {
    server.kill('SIGKILL')
    await ended
  }
  const up = await poll(() => (existsSync(socket) || server.exitCode !== null ? true : undefined), {
    everyMs: 50,
    deadlineMs: 120_000,
  })
  if (up !== true || server.exitCode !== null) {
    await stop()
    throw new Error(`the server does not come up: ${said}`)
  }
  return {
    bareboat: (...words) =>
      spawnSync(process.execPath, [...main, '--host', `unix://${socket}`, ...words], { encoding: 'utf8' }),
    [Symbol.asyncDispose]: stop,
  }
}

test('system df, check and prune of a real daemon', { skip }, async () => {
  await using registry = await startRegistry()
  const name = push(registry, 'daemon')
  const folder = mkdtempSync(join(scratch, 'site-'))
  await using daemon = await startDaemon(folder)
  const { bareboat } = daemon
  assert.equal(bareboat('pull', '--plain-http', '-q', name).status, 0)
  const usage = JSON.parse(bareboat('system', 'df', '--json').stdout) as StoreUsage
  const plainBytes = layers.reduce((sum, { plain }) => sum + plain.length, 0)
  assert.ok(usage.images[0]!.sizeBytes > plainBytes)
  assert.match(bareboat('system', 'df').stdout, /^TYPE +TOTAL.*\nImages +1 +0 /)
  assert.equal(bareboat('system', 'check', '-q').status, 0)

  const path = blobPath(join(folder, 'data/images'), layers[0].plain)
  flipBit(path, 5000)
  const found = bareboat('system', 'check', '-q')
  assert.equal(found.status, 5)
  assert.match(found.stdout, new RegExp(`^layer ${sha256(layers[0].plain)}: its digest is sha256:`))
  const repaired = bareboat('system', 'check', '-q', '--repair', '--json')
  assert.equal(repaired.status, 0, repaired.stderr)
  assert.equal((JSON.parse(repaired.stdout) as CheckReport).findings[0]!.state, 'repaired')
  assert.ok(readFileSync(path).equals(layers[0].plain))

  assert.equal(bareboat('system', 'prune', '--all').status, 2)
  const dry = JSON.parse(bareboat('system', 'prune', '--all', '--dry-run', '--json').stdout) as PruneReport
  const real = JSON.parse(bareboat('system', 'prune', '--all', '--force', '--json').stdout) as PruneReport
  assert.deepEqual({ ...dry, dryRun: false }, real)
  assert.deepEqual(
    real.items.map(({ kind }) => kind),
    ['image', 'layer', 'layer'],
  )
  assert.equal(real.reclaimedBytes, usage.images[0]!.sizeBytes)
  assert.equal((JSON.parse(bareboat('system', 'df', '--json').stdout) as StoreUsage).images.length, 0)
})

test('a daemon whose database has a damaged image starts, says so, and fetches it again', { skip }, async () => {
  await using registry = await startRegistry()
  const name = push(registry, 'damaged')
  const folder = mkdtempSync(join(scratch, 'site-'))
  {
    await using daemon = await startDaemon(folder)
    assert.equal(daemon.bareboat('pull', '--plain-http', '-q', name).status, 0)
  }
  const database = new DatabaseSync(join(folder, 'data/state.db'))
  database.prepare("UPDATE image SET config = x'7b'").run()
  database.close()
  await using daemon = await startDaemon(folder)
  const listed = daemon.bareboat('images')
  assert.equal(listed.status, 70)
  assert.match(listed.stderr, /its config is damaged; "bareboat system check --repair" fetches it again/)
  const repaired = daemon.bareboat('system', 'check', '-q', '--repair')
  assert.equal(repaired.status, 0, repaired.stderr)
  assert.match(daemon.bareboat('images').stdout, /damaged +1 /)
})
