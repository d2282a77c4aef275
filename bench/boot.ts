/**
 * `run` to the workload's first line, and what went over the wire for it, for every kind of root file system: the same rack, the
 * same images, in turns, in one run. The peers here are the ways in which others boot: the whole tar into memory, the whole file
 * system image into memory, NFS.
 *
 *     node bench/boot.ts [--rounds 2] [--machine rack-1] [--sizes 50,1000]
 *
 * Needs what the end-to-end tests need. The machine has memory for all kinds. Bytes are those of the machine's own tap, boot
 * loader, kernel and initrd included, and again without them (less those of an image of nothing).
 */
import { spawnSync } from 'node:child_process'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { tarEntry, type TarField } from '../src/formats/tar/tar-maker.ts'
import { openSite, skip, type Site } from '../test/e2e/site.ts'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '2' },
    machine: { type: 'string', default: 'rack-1' },
    sizes: { type: 'string', default: '50,1000' },
  },
})
if (skip !== false) throw new Error(skip)

interface Contender {
  readonly name: string
  readonly flags: readonly string[]
  /** Run before each boot. */
  readonly prepare?: (site: Site, image: string) => Promise<void>
}

const forget = async (site: Site, image: string): Promise<void> =>
  void (await site.ok(['image', 'profile', '--forget', image]))
const CONTENDERS: readonly Contender[] = [
  { name: 'lazy, cold', flags: ['--rootfs', 'lazy'], prepare: forget },
  { name: 'lazy, with its profile', flags: ['--rootfs', 'lazy'] },
  { name: 'image', flags: ['--rootfs', 'image'] },
  { name: 'ram', flags: ['--rootfs', 'ram'] },
  { name: 'nfs', flags: ['--rootfs', 'nfs'] },
]
const MB = 1_000_000
const WORKLOAD = 'cat /lib/used-* >/dev/null 2>&1; echo up'

const machine = values.machine
const sizes = values.sizes.split(',').map(Number)
await using site = await openSite({ name: 'bench', memoryMiB: 4096 })
const tap = site.rack.machines.find(({ name }) => name === machine)!.tap
const results = new Map<string, { seconds: number[]; bytes: number[] }>()
for (const size of [0, ...sizes]) {
  const image = `localhost/bench-${size}:1`
  const path = join(site.dir, `${size}.tar`)
  writeFileSync(path, rootOf(size))
  await site.ok(['import', '-q', path, image], { deadlineMs: 300_000 })
  rmSync(path)
}
for (let round = 0; round < Number(values.rounds); round += 1)
  for (const size of [0, ...sizes])
    for (const { name, flags, prepare } of size === 0 ? CONTENDERS.slice(0, 1) : CONTENDERS) {
      const image = `localhost/bench-${size}:1`
      await prepare?.(site, image)
      const before = sentTo(tap)
      const { seconds } = await boot(image, flags)
      const row = results.get(`${size} ${name}`) ?? { seconds: [], bytes: [] }
      row.seconds.push(seconds)
      row.bytes.push(sentTo(tap) - before)
      results.set(`${size} ${name}`, row)
      console.log(
        `round ${round + 1}: ${size} MB ${name}: ${seconds.toFixed(1)} s, ${((row.bytes.at(-1) ?? 0) / MB).toFixed(1)} MB`,
      )
    }

const floor = median(results.get(`0 ${CONTENDERS[0]!.name}`)!.bytes)
console.log(
  `\n${machine}, ${values.rounds} rounds in turns, medians; bytes of the root: less ${(floor / MB).toFixed(1)} MB of loader, kernel, initrd`,
)
for (const size of sizes)
  for (const { name } of CONTENDERS) {
    const { seconds, bytes } = of(size, name)
    const own = Math.max(0, bytes - floor)
    console.log(
      `${String(size).padStart(5)} MB  ${name.padEnd(24)} ${seconds.toFixed(1).padStart(6)} s  ${(bytes / MB).toFixed(1).padStart(7)} MB  root ${(own / MB).toFixed(1).padStart(7)} MB, ${((own / (size * MB)) * 100).toFixed(1)} % of the image`,
    )
  }
const [small, large] = [sizes[0]!, sizes.at(-1)!]
const lazy = CONTENDERS[0]!.name
console.log(
  `\nlazy, ${large} MB against ${small} MB: ${(of(large, lazy).seconds / of(small, lazy).seconds).toFixed(2)} (goal: at most 1.10)`,
)
console.log(
  `lazy, ${large} MB: bytes of the root ${(((of(large, lazy).bytes - floor) / (large * MB)) * 100).toFixed(2)} % of the image (goal: at most 10 %)`,
)
console.log(
  `ram against lazy, ${large} MB: ${(of(large, 'ram').seconds / of(large, lazy).seconds).toFixed(2)} times as long (goal: at least 3)`,
)
console.log(
  `cold against profile, ${large} MB: ${(of(large, lazy).seconds / of(large, CONTENDERS[1]!.name).seconds).toFixed(2)}`,
)

function of(size: number, name: string): { seconds: number; bytes: number } {
  const { seconds, bytes } = results.get(`${size} ${name}`)!
  return { seconds: median(seconds), bytes: median(bytes) }
}

/** From the command to the first byte of output. The container is removed before the next one. */
async function boot(image: string, flags: readonly string[]): Promise<{ seconds: number }> {
  const startMs = performance.now()
  const running = site.start(
    ['run', '-q', '--rm', '--machine', machine, '--timeout', '900', ...flags, image, 'sh', '-c', WORKLOAD],
    { deadlineMs: 900_000 },
  )
  await running.until(/up\n/, 900_000)
  const seconds = (performance.now() - startMs) / 1000
  const { code, stderr } = await running.done
  if (code !== 0) throw new Error(`${image} ${flags.join(' ')}: ${stderr}`)
  return { seconds }
}

/** Bytes that went to the machine behind a tap. */
function sentTo(device: string): number {
  const inside = ['-t', String(site.rack.keeperPid), '-n']
  const { stdout } = spawnSync('nsenter', [...inside, 'ip', '-json', '-s', 'link', 'show', 'dev', device], {
    encoding: 'utf8',
  })
  return (JSON.parse(stdout) as { stats64: { tx: { bytes: number } } }[])[0]!.stats64.tx.bytes
}

/** A busybox that loads what programs load at their start, 4 MB, and files of 1 MB that nobody reads, `megabytes` together. */
function rootOf(megabytes: number): Buffer {
  const filler = Buffer.alloc(MB)
  const fields: TarField[] = [
    { name: 'bin/', type: '5', mode: '0000755' },
    { name: 'bin/busybox', mode: '0000755', data: readFileSync('/bin/busybox') },
    ...['sh', 'cat', 'echo'].map((name) => ({ name: `bin/${name}`, type: '2', link: 'busybox' })),
    { name: 'lib/', type: '5', mode: '0000755' },
    ...(megabytes === 0 ? [] : [1, 2, 3, 4].map((at) => ({ name: `lib/used-${at}`, data: noise(filler, -at) }))),
    { name: 'opt/', type: '5', mode: '0000755' },
  ]
  const parts = fields.map(tarEntry)
  for (let at = 0; at < megabytes - 4; at += 1)
    parts.push(tarEntry({ name: `opt/file-${at}`, data: noise(filler, at) }))
  return Buffer.concat([...parts, Buffer.alloc(1024)])
}

/** No two files alike, and nothing that compresses. */
function noise(into: Buffer, seed: number): Buffer {
  let state = (seed + 1_000_003) >>> 0
  for (let at = 0; at + 4 <= into.length; at += 4) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    into.writeUInt32LE(state, at)
  }
  return Buffer.from(into)
}

function median(list: readonly number[]): number {
  return list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)]!
}
