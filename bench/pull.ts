/**
 * Pull → bootable, against `skopeo copy` + `umoci unpack`: the same image from the same registry on loopback, in one run, in
 * turns, each from an empty store. Bootable means: the tree is there and its tar stream is laid out. The ratio is of a daemon
 * that runs already, as in use; a process that starts, pulls and ends is shown beside it.
 *
 *     node bench/pull.ts [--rootfs FILE.tar] [--rounds 3]
 *
 * Needs docker-registry, skopeo and umoci; mmdebstrap where no rootfs is given. As root, since umoci unpacks devices and owners.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { sleep } from '../src/base/clock.ts'
import { openImageBench } from '../src/drivers/layout/image-bench.ts'
import { sizeOf } from '../src/formats/extents.ts'
import { tarExtents } from '../src/formats/tar/project.ts'
import { tarOf } from '../src/formats/tar/tar-maker.ts'
import { layoutFiles, makeImage, writeLayout, type MadeManifest } from '../src/services/images/layout-maker.ts'
import { missingProgram, run, startRegistry } from '../test/peers/docker-registry.ts'

const { values } = parseArgs({ options: { rootfs: { type: 'string' }, rounds: { type: 'string', default: '3' } } })
const missing = missingProgram(
  'docker-registry',
  'skopeo',
  'umoci',
  ...(values.rootfs === undefined ? ['mmdebstrap'] : []),
)
if (missing !== undefined) throw new Error(`no ${missing} here`)

const scratch = mkdtempSync(join(tmpdir(), 'bareboat-bench-'))
try {
  await using registry = await startRegistry()
  const image = benchImage()
  const layout = join(scratch, 'source')
  writeLayout(layout, layoutFiles([{ tag: 'x', image }]))
  run('skopeo', 'copy', '--quiet', '--dest-tls-verify=false', `oci:${layout}:x`, `docker://${registry.host}/bench:1`)

  const rounds = Number(values.rounds)
  const peer: number[] = []
  const ours: number[] = []
  const oneShot: number[] = []
  const contenders = [
    [peer, timed(runPeer)],
    [ours, runOurs],
    [oneShot, timed(runOneShot)],
  ] as const
  for (let round = 0; round < rounds; round++) {
    // What one has left to write is not for the next to wait for: bareboat syncs what it stores, the peers do not.
    for (const [seconds, work] of contenders) {
      run('sync')
      const directory = mkdtempSync(join(scratch, 'round-'))
      seconds.push(await work(directory, registry.host))
      rmSync(directory, { recursive: true })
    }
  }
  const print = (name: string, seconds: number[]) =>
    console.log(
      `${name.padEnd(30)} ${seconds.map((s) => s.toFixed(2)).join('  ')}   median ${median(seconds).toFixed(2)} s`,
    )
  console.log(`\n${availableParallelism()} cores, ${rounds} rounds in turns`)
  print('skopeo copy + umoci unpack', peer)
  print('bareboat pull + tree', ours)
  print('the same with its start', oneShot)
  console.log(`ratio ${(median(peer) / median(ours)).toFixed(2)} (goal: at least 3)`)
} finally {
  rmSync(scratch, { recursive: true, force: true })
}

/** A small Debian, and layers as applications bring them: a few big files, many small ones, what compresses and what does not. */
function benchImage(): MadeManifest {
  const rootfs = values.rootfs ?? join(scratch, 'debian.tar')
  if (values.rootfs === undefined) run('mmdebstrap', '--quiet', '--variant=minbase', '--format=tar', 'bookworm', rootfs)
  const layers = [
    readFileSync(rootfs),
    tarOf(
      ...Array.from({ length: 20 }, (_, at) => ({ name: `opt/app/library-${at}.so`, data: halfRandom(2_000_000, at) })),
    ),
    tarOf(
      ...Array.from({ length: 5000 }, (_, at) => ({
        name: `opt/site/page-${at}.html`,
        data: text(4000 + (at % 7) * 1500, at),
      })),
    ),
  ]
  const image = makeImage({ layers: layers.map((plain) => ({ plain })) })
  const plainBytes = layers.reduce((sum, layer) => sum + layer.length, 0)
  const packedBytes = image.blobs.reduce((sum, blob) => sum + blob.bytes.length, 0)
  console.log(`${layers.length} layers, ${mb(plainBytes)} MB, ${mb(packedBytes)} MB as gzip`)
  return image
}

function runPeer(directory: string, host: string): void {
  const copied = join(directory, 'layout')
  run('skopeo', 'copy', '--quiet', '--src-tls-verify=false', `docker://${host}/bench:1`, `oci:${copied}:x`)
  run('umoci', 'unpack', '--image', `${copied}:x`, join(directory, 'bundle'))
}

async function runOurs(directory: string, host: string): Promise<number> {
  await using bench = await openImageBench({ directory })
  await sleep(1000)
  const startedMs = performance.now()
  const { id } = await bench.images.pull(`${host}/bench:1`, { plainHttp: true })
  sizeOf(tarExtents(await bench.images.tree(id)))
  return (performance.now() - startedMs) / 1000
}

function runOneShot(directory: string, host: string): void {
  const script = join(import.meta.dirname, '../test/peers/pull-once.ts')
  const { status, stderr } = spawnSync(process.execPath, [script, directory, `${host}/bench:1`], { encoding: 'utf8' })
  if (status !== 0) throw new Error(stderr)
}

/** Seconds that the work takes. */
function timed(work: (directory: string, host: string) => void) {
  return async (directory: string, host: string): Promise<number> => {
    const startedMs = performance.now()
    work(directory, host)
    return (performance.now() - startedMs) / 1000
  }
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)]!
}

/** Bytes that are the same in every run: half of them do not compress. */
function halfRandom(length: number, seed: number): Buffer {
  const bytes = Buffer.alloc(length)
  for (let at = 0, block = 0; at < length; at += 64, block++)
    createHash('sha256').update(`${seed} ${block}`).digest().copy(bytes, at)
  return bytes
}

function text(length: number, seed: number): string {
  return `<p>page ${seed} of a manual that nobody reads, section ${seed * 7919}</p>\n`
    .repeat(Math.ceil(length / 70))
    .slice(0, length)
}

function mb(bytes: number): string {
  return (bytes / 1e6).toFixed(0)
}
