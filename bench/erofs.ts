/**
 * Layer indexes → EROFS file system that can be served, against `mkfs.erofs` on the same files, in one run, in turns. Ours reads
 * the stored index, merges the tree, lays the file system out and makes the bytes of its map; mkfs.erofs reads and writes every
 * byte. Each of ours runs in a process of its own that is as the daemon is, whose peak of memory is shown. On a host that is not
 * quiet, seconds of the processor say more than those of the clock.
 *
 *     node bench/erofs.ts [--rounds 3]
 *
 * Needs erofs-utils, GNU tar and 5 GB of room for temporary files.
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { LAUNCHER_OPTIONS } from '../src/cli/demo/place.ts'
import { erofsImage } from '../src/formats/erofs/image.ts'
import { uuidOf } from '../src/formats/erofs/uuid.ts'
import { serializeExtentRows } from '../src/formats/extent-map.ts'
import { parseLayerIndex, serializeLayerIndex } from '../src/formats/tar/index-codec.ts'
import { createTarIndexer } from '../src/formats/tar/indexer.ts'
import { mergeLayers } from '../src/formats/tree/merge.ts'
import { missingProgram } from '../test/peers/docker-registry.ts'

const CASES = [
  { name: '1,000 files, 20 MB', files: 1000, fileBytes: 20_000 },
  { name: '1,000 files, 2 GB', files: 1000, fileBytes: 2_000_000 },
  { name: '100,000 files, 50 MB', files: 100_000, fileBytes: 500 },
] as const

/** It is over so soon that one run says little. */
const OURS_PER_ROUND = 5

interface Once {
  readonly seconds: number
  readonly processorSeconds: number
  readonly peakMegabytes: number
  readonly metadataMegabytes: number
  readonly imageMegabytes: number
}

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '3' }, once: { type: 'string' } } })
if (values.once === undefined) await compare(Number(values.rounds))
else console.log(JSON.stringify(once(values.once)))

async function compare(rounds: number): Promise<void> {
  const missing = missingProgram('mkfs.erofs', 'tar')
  if (missing !== undefined) throw new Error(`no ${missing} here`)
  const scratch = mkdtempSync(join(tmpdir(), 'bareboat-bench-'))
  try {
    console.log(`${availableParallelism()} cores, ${rounds} rounds in turns, medians`)
    const prepared = []
    for (const each of CASES) prepared.push({ ...each, ...(await prepare(scratch, each.files, each.fileBytes)) })
    const results = prepared.map((each) => ({ ...each, ours: [] as Once[], peer: [] as number[] }))
    for (let round = 0; round < rounds; round += 1)
      for (const { index, folder, ours, peer } of results) {
        for (let run = 0; run < OURS_PER_ROUND; run += 1) ours.push(runOurs(index))
        peer.push(runPeer(folder, join(scratch, 'peer.erofs')))
      }
    const medians = results.map(({ ours }) => ({
      seconds: median(ours.map((each) => each.seconds)),
      processor: median(ours.map((each) => each.processorSeconds)),
    }))
    for (const [at, { name, ours, peer }] of results.entries()) {
      const { seconds, processor } = medians[at]!
      const { metadataMegabytes, imageMegabytes } = ours[0]!
      const peak = Math.max(...ours.map((each) => each.peakMegabytes))
      console.log(
        `${name}: ours ${seconds.toFixed(3)} s, ${processor.toFixed(3)} s of the processor, ` +
          `${peak.toFixed(0)} MB of memory at most, ` +
          `${metadataMegabytes.toFixed(1)} MB made for an image of ${imageMegabytes.toFixed(0)} MB; ` +
          `mkfs.erofs ${median(peer).toFixed(2)} s; ratio ${(median(peer) / seconds).toFixed(1)}`,
      )
    }
    const [small, large, many] = medians
    const grown = (of: (each: { seconds: number; processor: number }) => number) => (of(large!) / of(small!)).toFixed(2)
    console.log(
      `2 GB to 20 MB: ${grown((each) => each.seconds)} by the clock, ${grown((each) => each.processor)} by the processor ` +
        '(goal: 0.8 to 1.2)',
    )
    console.log(
      `100,000 files: ${many!.seconds.toFixed(2)} s, ${many!.processor.toFixed(2)} s of the processor ` +
        '(goal: at most 2 s and 300 MB)',
    )
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}

/** Files of the given size in directories of a hundred, and the index of a tar of them. */
async function prepare(scratch: string, files: number, fileBytes: number) {
  const folder = join(scratch, `${files}-${fileBytes}`)
  const data = Buffer.alloc(fileBytes)
  for (let file = 0; file < files; file += 1) {
    if (file % 100 === 0) mkdirSync(join(folder, `usr/share/directory-${file / 100}`), { recursive: true })
    data.writeUInt32LE(file, 0)
    data.writeUInt32LE(file, fileBytes - 4)
    writeFileSync(join(folder, `usr/share/directory-${Math.floor(file / 100)}/file-${file}`), data)
  }
  const indexer = createTarIndexer()
  const tar = spawn('tar', ['--format=posix', '--sort=name', '-C', folder, '-cf', '-', '.'])
  for await (const chunk of tar.stdout) indexer.push(chunk as Buffer)
  const index = `${folder}.index`
  writeFileSync(index, serializeLayerIndex(indexer.end()))
  return { folder, index }
}

/** With the options that `./bareboat` gives Node.js. */
function runOurs(index: string): Once {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [...LAUNCHER_OPTIONS, import.meta.filename, '--once', index],
    {
      encoding: 'utf8',
      env: { ...process.env, MALLOC_MMAP_THRESHOLD_: '131072' },
    },
  )
  if (status !== 0) throw new Error(stderr)
  return JSON.parse(stdout) as Once
}

function once(indexFile: string): Once {
  const used = process.cpuUsage()
  const startedMs = performance.now()
  const tree = mergeLayers([{ digest: `sha256:${'0'.repeat(64)}`, index: parseLayerIndex(readFileSync(indexFile)) }])
  const map = erofsImage(tree, { uuid: uuidOf([indexFile]) })
  const head = serializeExtentRows(map)
  const seconds = (performance.now() - startedMs) / 1000
  const { user, system } = process.cpuUsage(used)
  const peak = /VmHWM:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))![1]!
  return {
    seconds,
    processorSeconds: (user + system) / 1e6,
    peakMegabytes: Number(peak) / 1000,
    metadataMegabytes: (head.length + map.literalBytes) / 1e6,
    imageMegabytes: map.sizeBytes / 1e6,
  }
}

function runPeer(folder: string, image: string): number {
  rmSync(image, { force: true })
  const startedMs = performance.now()
  execFileSync('mkfs.erofs', ['--quiet', image, folder], { stdio: ['ignore', 'ignore', 'pipe'] })
  return (performance.now() - startedMs) / 1000
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)]!
}
