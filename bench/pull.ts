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
import { mkdtempSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { sleep } from '../src/base/clock.ts'
import { openImageBench } from '../src/drivers/layout/image-bench.ts'
import { sizeOf } from '../src/formats/extents.ts'
import { tarExtents } from '../src/formats/tar/project.ts'
import { missingProgram, run, startRegistry } from '../test/peers/docker-registry.ts'
import { median, printSeconds, pushImage, sampleImage, secondsOf } from './sample-image.ts'

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
  pushImage(scratch, sampleImage(scratch, values.rootfs), `${registry.host}/bench:1`)

  const rounds = Number(values.rounds)
  const peer: number[] = []
  const ours: number[] = []
  const oneShot: number[] = []
  const contenders = [
    [peer, runPeer],
    [ours, runOurs],
    [oneShot, runOneShot],
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
  console.log(`\n${availableParallelism()} cores, ${rounds} rounds in turns`)
  printSeconds('skopeo copy + umoci unpack', peer)
  printSeconds('bareboat pull + tree', ours)
  printSeconds('the same with its start', oneShot)
  console.log(`ratio ${(median(peer) / median(ours)).toFixed(2)} (goal: at least 3)`)
} finally {
  rmSync(scratch, { recursive: true, force: true })
}

function runPeer(directory: string, host: string): Promise<number> {
  const copied = join(directory, 'layout')
  return secondsOf(() => {
    run('skopeo', 'copy', '--quiet', '--src-tls-verify=false', `docker://${host}/bench:1`, `oci:${copied}:x`)
    run('umoci', 'unpack', '--image', `${copied}:x`, join(directory, 'bundle'))
  })
}

async function runOurs(directory: string, host: string): Promise<number> {
  await using bench = await openImageBench({ directory })
  await sleep(1000)
  return await secondsOf(async () => {
    const { id } = await bench.images.pull(`${host}/bench:1`, { plainHttp: true })
    sizeOf(tarExtents(await bench.images.tree(id)))
  })
}

function runOneShot(directory: string, host: string): Promise<number> {
  const script = join(import.meta.dirname, '../test/peers/pull-once.ts')
  return secondsOf(() => {
    const { status, stderr } = spawnSync(process.execPath, [script, directory, `${host}/bench:1`], { encoding: 'utf8' })
    if (status !== 0) throw new Error(stderr)
  })
}
