/**
 * Reads over NBD: ours against `nbdkit file` and `nbd-server`, on the same file in the page cache, in turns, in one run:
 * sequential by nbdcopy, random by fio with one and with sixteen requests in flight. Then 50 clients at once, while the process
 * that serves them is asked for a list of containers over its Unix socket.
 *
 *     node bench/nbd.ts [--size MIB] [--rounds N] [--seconds N] [--threads N]
 *
 * Needs nbdkit, nbd-server, nbdcopy and fio with its nbd engine.
 */
import { spawn, spawnSync } from 'node:child_process'
import { randomFillSync } from 'node:crypto'
import { once } from 'node:events'
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { request } from 'node:http'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { poll, sleep } from '../src/base/clock.ts'
import { ExtentMapBuilder, serializeExtentRows } from '../src/formats/extent-map.ts'
import { freePort, missingProgram } from '../test/peers/docker-registry.ts'
import { startNbd } from '../test/peers/nbd-process.ts'

const { values } = parseArgs({
  options: {
    size: { type: 'string', default: '512' },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '3' },
    threads: { type: 'string', default: '2' },
  },
})
const missing = missingProgram('nbdkit', 'nbd-server', 'nbdcopy', 'fio')
if (missing !== undefined) throw new Error(`no ${missing} here`)
const rounds = Number(values.rounds)
const seconds = Number(values.seconds)
const sizeMiB = Number(values.size)
const CLIENTS = 50

const scratch = mkdtempSync(join(tmpdir(), 'bareboat-bench-nbd-'))
const stops: (() => unknown)[] = []
try {
  const file = join(scratch, 'file')
  writeNoise(file, sizeMiB)
  const ours = await freePort()
  const layered = 'layered'
  const socket = join(scratch, 'api.sock')
  await using host = await startNbd({
    port: ours,
    threads: Number(values.threads),
    exports: {
      tok: { mapPath: wholeMap(join(scratch, 'whole.map')), blobPaths: [file], record: true },
      [layered]: { mapPath: filesMap(join(scratch, 'files.map')), blobPaths: [file], record: true },
    },
    socket,
  })
  const contenders = [
    { name: 'bareboat', uri: `nbd://127.0.0.1:${ours}/tok` },
    { name: 'bareboat, as of many files', uri: `nbd://127.0.0.1:${ours}/${layered}` },
    { name: 'nbdkit file', uri: `nbd://127.0.0.1:${await startNbdkit(file)}/tok` },
    { name: 'nbd-server', uri: `nbd://127.0.0.1:${await startNbdServer(file)}/tok` },
  ]
  const tests = [
    { name: 'sequential, nbdcopy, MB/s', measure: copy },
    { name: 'sequential, nbdcopy with one connection, MB/s', measure: (uri: string) => copy(uri, '--connections=1') },
    { name: 'random 4 KiB, 1 in flight, IOPS', measure: (uri: string) => fio(uri, 1) },
    { name: 'random 4 KiB, 16 in flight, IOPS', measure: (uri: string) => fio(uri, 16) },
  ]
  console.log(`${availableParallelism()} cores, ${sizeMiB} MiB, ${rounds} rounds in turns`)
  for (const { name, measure } of tests) {
    const results = contenders.map(() => [] as number[])
    for (let round = 0; round < rounds; round++)
      for (const [at, { uri }] of contenders.entries()) results[at]!.push(await measure(uri))
    console.log(`\n${name}`)
    const [own] = results.map(median)
    for (const [at, contender] of contenders.entries()) {
      const middle = median(results[at]!)
      const ratio = at === 0 ? '' : `   ours is ${(own! / middle).toFixed(2)} of it`
      const all = results[at]!.map((value) => value.toFixed(0)).join(' ')
      console.log(`  ${contender.name.padEnd(28)} ${middle.toFixed(0).padStart(7)}   (${all})${ratio}`)
    }
  }
  console.log(`\nlist of containers over the Unix socket, milliseconds`)
  print('nobody reads', await askApi(socket, 3000))
  // One token has 32 sessions at most, so two of them share the clients.
  const half = ['--bs=64k', '--iodepth=4', `--numjobs=${CLIENTS / 2}`, '--thread', '--runtime=12']
  const load = Promise.all(contenders.slice(0, 2).map(({ uri }) => runFio(uri, 'randread', half)))
  const served = await poll(
    async () => {
      const sessions = (await host.ask({ ask: 'sessions' })) as { connections: number }[]
      return sessions.reduce((sum, { connections }) => sum + connections, 0) >= CLIENTS || undefined
    },
    { everyMs: 100, deadlineMs: 10_000 },
  )
  if (!served) throw new Error(`there are no ${CLIENTS} clients`)
  print(`${CLIENTS} clients read`, await askApi(socket, 8000))
  console.log(`  which read ${((await load).reduce((sum, bytes) => sum + bytes, 0) / 1e6).toFixed(0)} MB/s together`)
} finally {
  for (const stop of stops) await stop()
  rmSync(scratch, { recursive: true, force: true })
}

function print(name: string, ms: number[]): void {
  const sorted = ms.toSorted((a, b) => a - b)
  const at = (share: number) => sorted[Math.min(Math.floor(sorted.length * share), sorted.length - 1)]!.toFixed(1)
  console.log(`  ${name.padEnd(28)} median ${at(0.5)}   p99 ${at(0.99)}   most ${at(1)}   (${ms.length} calls)`)
}

/** Asks once every 10 ms, or as soon as the last one is answered. @returns how long each took, milliseconds */
async function askApi(socketPath: string, forMs: number): Promise<number[]> {
  const took: number[] = []
  for (const endMs = performance.now() + forMs; performance.now() < endMs; await sleep(10)) {
    const startedMs = performance.now()
    await new Promise<void>((resolve, reject) => {
      request({ socketPath, path: '/containers' }, (response) => {
        response.resume().on('end', resolve).on('error', reject)
      })
        .on('error', reject)
        .end()
    })
    took.push(performance.now() - startedMs)
  }
  return took
}

async function copy(uri: string, ...options: string[]): Promise<number> {
  const startedMs = performance.now()
  await run('nbdcopy', ...options, uri, 'null:')
  return (sizeMiB * 1.048576) / ((performance.now() - startedMs) / 1000)
}

async function fio(uri: string, depth: number): Promise<number> {
  return (await runFio(uri, 'randread', ['--bs=4k', `--iodepth=${depth}`, `--runtime=${seconds}`])) / 4096
}

/** @returns bytes a second, of all jobs together */
async function runFio(uri: string, rw: string, options: readonly string[]): Promise<number> {
  const output = await run(
    'fio',
    ...['--name=bench', '--ioengine=nbd', `--uri=${uri}`, `--rw=${rw}`, '--time_based', '--norandommap'],
    ...['--group_reporting', '--output-format=json', ...options],
  )
  const { jobs } = JSON.parse(output.slice(output.indexOf('{'))) as { jobs: { read: { bw_bytes: number } }[] }
  return jobs.reduce((sum, { read }) => sum + read.bw_bytes, 0)
}

/** A program's output. It must not stop this process's loop, which is what measures. */
async function run(program: string, ...args: string[]): Promise<string> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  const parts: Buffer[] = []
  const errors: Buffer[] = []
  child.stdout.on('data', (part: Buffer) => parts.push(part))
  child.stderr.on('data', (part: Buffer) => errors.push(part))
  const [status] = (await once(child, 'close')) as [number]
  if (status !== 0) throw new Error(`${program} ended with ${status}: ${Buffer.concat(errors).toString()}`)
  return Buffer.concat(parts).toString()
}

async function startNbdkit(path: string): Promise<number> {
  const port = await freePort()
  const options = ['-f', '-r', '-e', 'tok', '-i', '127.0.0.1', '-p', String(port)]
  const child = spawn('nbdkit', [...options, 'file', path], { stdio: 'ignore' })
  stops.push(() => child.kill('SIGKILL'))
  return untilUp(port, 'nbdkit')
}

/** It only serves more than one connection as a daemon. */
async function startNbdServer(path: string): Promise<number> {
  const port = await freePort()
  const [config, pidFile] = [join(scratch, 'nbd-server.conf'), join(scratch, 'nbd-server.pid')]
  writeFileSync(
    config,
    `[generic]\nport = ${port}\nlistenaddr = 127.0.0.1\n[tok]\nexportname = ${path}\nreadonly = true\n`,
  )
  await run('nbd-server', '-C', config, '-p', pidFile)
  stops.push(() => {
    process.kill(Number(readFileSync(pidFile, 'utf8')), 'SIGTERM')
    // It removes this file as the last thing that it does.
    return poll(() => !existsSync(pidFile) || undefined, { everyMs: 20, deadlineMs: 5000 })
  })
  return untilUp(port, 'nbd-server')
}

async function untilUp(port: number, program: string): Promise<number> {
  const uri = `nbd://127.0.0.1:${port}/tok`
  const isUp = await poll(() => spawnSync('nbdinfo', ['--size', uri]).status === 0 || undefined, {
    everyMs: 50,
    deadlineMs: 10_000,
  })
  if (!isUp) throw new Error(`${program} does not serve`)
  return port
}

function writeNoise(path: string, mib: number): void {
  const fd = openSync(path, 'w')
  const piece = Buffer.alloc(1 << 20)
  for (let at = 0; at < mib; at++) writeSync(fd, randomFillSync(piece))
  closeSync(fd)
  readFileSync(path)
}

/** The file as one piece. */
function wholeMap(path: string): string {
  const builder = new ExtentMapBuilder().blob(0, 'sha256:file', 0, sizeMiB << 20)
  return writeMap(builder, path)
}

/** The file as a layer of many: 1 to 64 KiB long, each behind a header, as an image's root file system has them. */
function filesMap(path: string): string {
  const builder = new ExtentMapBuilder()
  for (let n = 0, at = 0, offset = 512; ; n++) {
    const length = 1 + ((n * 7919) % 65_536)
    if (at + length > sizeMiB << 20 || offset + length > sizeMiB << 20) return writeMap(builder, path)
    builder.blob(at, 'sha256:file', offset, length)
    at += Math.ceil(length / 4096) * 4096
    offset += Math.ceil(length / 512) * 512 + 512
  }
}

function writeMap(builder: ExtentMapBuilder, path: string): string {
  const map = builder.done(sizeMiB << 20)
  writeFileSync(path, Buffer.concat([serializeExtentRows(map), map.literals]))
  return path
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)]!
}
