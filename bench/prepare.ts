/**
 * Registry → bootable: pull, tree, EROFS, hash tree, the device's map on the disk; against `skopeo copy` + `umoci unpack` + `mkfs.erofs`,
 * and … + `mksquashfs -comp zstd`: the same image from the same registry on loopback, in one run, in turns, each from an empty store.
 * Beside them the floor: a program that fetches the layers, unpacks them and makes the hashes that are needed of them (digest, diff
 * id, leaves), and neither keeps nor understands a byte. Ours is a daemon that runs already, as in use.
 *
 *     node bench/prepare.ts [--rootfs FILE.tar] [--rounds 3] [--floor]
 *
 * `--floor` leaves the peers out.
 *
 * Needs docker-registry, skopeo, umoci, erofs-utils and squashfs-tools; mmdebstrap where no rootfs is given. As root.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Worker } from 'node:worker_threads'
import { gunzipSync } from 'node:zlib'
import { sleep } from '../src/base/clock.ts'
import { replaceFile } from '../src/drivers/durable.ts'
import { openImageBench, type ImageBench } from '../src/drivers/layout/image-bench.ts'
import { erofsImage } from '../src/formats/erofs/image.ts'
import { extentsOf, serializeExtentRows } from '../src/formats/extent-map.ts'
import { parseDigest } from '../src/formats/oci/digest.ts'
import { createTarIndexer } from '../src/formats/tar/indexer.ts'
import type { LeafTable } from '../src/formats/verity/leaves.ts'
import { addVerity } from '../src/formats/verity/verity.ts'
import type { MadeManifest } from '../src/services/images/layout-maker.ts'
import { missingProgram, run, startRegistry } from '../test/peers/docker-registry.ts'
import type { FloorJob } from './floor-worker.ts'
import { median, printSeconds, pushImage, sampleImage, secondsOf } from './sample-image.ts'

const { values } = parseArgs({
  options: {
    rootfs: { type: 'string' },
    rounds: { type: 'string', default: '3' },
    floor: { type: 'boolean', default: false },
  },
})
const missing = missingProgram(
  'docker-registry',
  'skopeo',
  ...(values.floor ? [] : ['umoci', 'mkfs.erofs', 'mksquashfs']),
  ...(values.rootfs === undefined ? ['mmdebstrap'] : []),
)
if (missing !== undefined) throw new Error(`no ${missing} here`)

const scratch = mkdtempSync(join(tmpdir(), 'bareboat-bench-'))
try {
  await using registry = await startRegistry()
  const image = sampleImage(scratch, values.rootfs)
  const reference = `${registry.host}/bench:1`
  pushImage(scratch, image, reference)
  const jobs = floorJobs(image, registry.host)

  const erofs: number[] = []
  const squashfs: number[] = []
  const ours: number[] = []
  const parts: Parts[] = []
  const floor: number[] = []
  for (let round = 0; round < Number(values.rounds); round += 1) {
    if (!values.floor) {
      const seconds = await runPeers(reference)
      erofs.push(seconds.copied + seconds.erofs)
      squashfs.push(seconds.copied + seconds.squashfs)
    }
    run('sync')
    floor.push(await runFloor(jobs))
    const made = await runOurs(reference)
    ours.push(made.seconds)
    parts.push(made.parts)
  }

  console.log(`\n${availableParallelism()} cores, ${values.rounds} rounds in turns`)
  if (!values.floor) {
    printSeconds('skopeo copy + umoci unpack + mkfs.erofs', erofs)
    printSeconds('skopeo copy + umoci unpack + mksquashfs zstd', squashfs)
  }
  printSeconds('bareboat', ours)
  for (const name of ['pull', 'tree', 'erofs', 'verity', 'store'] as const)
    printSeconds(
      `  of which ${name}`,
      parts.map((part) => part[name]),
    )
  printSeconds('fetching, unpacking and hashing alone', floor)
  if (!values.floor) {
    console.log(`against mkfs.erofs ${(median(erofs) / median(ours)).toFixed(2)} (goal: at least 5)`)
    console.log(`against mksquashfs ${(median(squashfs) / median(ours)).toFixed(2)} (goal: at least 5)`)
  }
  console.log(`against the floor ${(median(ours) / median(floor)).toFixed(2)} (goal: at most 1.25)`)
} finally {
  rmSync(scratch, { recursive: true, force: true })
}

/** Seconds of each step. What one has left to write is not for the next to wait for: bareboat syncs what it stores, they do not. */
async function runPeers(reference: string): Promise<{ copied: number; erofs: number; squashfs: number }> {
  const directory = mkdtempSync(join(scratch, 'peers-'))
  const [layout, bundle] = [join(directory, 'layout'), join(directory, 'bundle')]
  const rootfs = join(bundle, 'rootfs')
  try {
    run('sync')
    const copied = await secondsOf(() => {
      run('skopeo', 'copy', '--quiet', '--src-tls-verify=false', `docker://${reference}`, `oci:${layout}:x`)
      run('umoci', 'unpack', '--image', `${layout}:x`, bundle)
    })
    const erofs = await secondsOf(() => run('mkfs.erofs', '--quiet', join(directory, 'erofs'), rootfs))
    const squashfs = await secondsOf(() =>
      run('mksquashfs', rootfs, join(directory, 'squashfs'), '-comp', 'zstd', '-quiet', '-no-progress'),
    )
    return { copied, erofs, squashfs }
  } finally {
    rmSync(directory, { recursive: true })
  }
}

type Parts = Record<'pull' | 'tree' | 'erofs' | 'verity' | 'store', number>

async function runOurs(reference: string): Promise<{ seconds: number; parts: Parts }> {
  const directory = mkdtempSync(join(scratch, 'ours-'))
  try {
    await using bench = await openImageBench({ directory, blobs: { threads: 3 } })
    await sleep(1000)
    const marks = [performance.now()]
    const { id } = await bench.images.pull(reference, { plainHttp: true })
    marks.push(performance.now())
    const tree = await bench.images.tree(id)
    marks.push(performance.now())
    const map = erofsImage(tree, { uuid: new Uint8Array(16) })
    marks.push(performance.now())
    const leaves = await leavesOf(bench, map.blobs)
    const device = await addVerity(
      map,
      (blob) => leaves.get(blob)!,
      async (from, to) => {
        const pieces: Uint8Array[] = []
        for await (const piece of bench.blobs.readExtents([...extentsOf(map, from, to)], 0, to - from))
          pieces.push(piece)
        return Buffer.concat(pieces)
      },
    )
    marks.push(performance.now())
    await replaceFile(join(directory, 'device.map'), [serializeExtentRows(device.map), device.map.literals])
    marks.push(performance.now())
    const [pull, tree_, erofs, verity, store] = marks.slice(1).map((mark, at) => (mark - marks[at]!) / 1000)
    const parts = { pull: pull!, tree: tree_!, erofs: erofs!, verity: verity!, store: store! }
    return { seconds: (marks.at(-1)! - marks[0]!) / 1000, parts }
  } finally {
    rmSync(directory, { recursive: true })
  }
}

async function leavesOf(bench: ImageBench, blobs: readonly string[]): Promise<ReadonlyMap<string, LeafTable>> {
  const tables = new Map<string, LeafTable>()
  for (const blob of blobs) tables.set(blob, await bench.blobs.leaves(parseDigest(blob)))
  return tables
}

/** What the floor is told of the layers. */
function floorJobs({ blobs }: MadeManifest, host: string): FloorJob[] {
  return blobs
    .filter(({ bytes }) => bytes[0] === 0x1f && bytes[1] === 0x8b)
    .map(({ digest, bytes }) => {
      const runs: number[] = []
      createTarIndexer({}, (offset, length) => runs.push(offset, length)).push(gunzipSync(bytes))
      return { url: `http://${host}/v2/bench/blobs/${digest}`, runs: Float64Array.from(runs) }
    })
}

/** A thread for each layer, which is there already, as ours are. */
async function runFloor(jobs: readonly FloorJob[]): Promise<number> {
  const workers = jobs.map((job) => new Worker(new URL('./floor-worker.ts', import.meta.url), { workerData: job }))
  const failed = Promise.race(workers.map((worker) => new Promise((_, reject) => worker.on('error', reject))))
  const message = (worker: Worker) => new Promise((resolve) => worker.once('message', resolve))
  await Promise.race([failed, Promise.all(workers.map(message))])
  await sleep(1000)
  return secondsOf(() => {
    const done = Promise.all(workers.map(message))
    for (const worker of workers) worker.postMessage('go')
    return Promise.race([failed, done])
  })
}
