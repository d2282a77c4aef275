/**
 * P2 and P3 by their counts: the n-th sync of a life fails, its n-th writes find the disk full, or the process is killed at its n-th
 * sync. strace counts for each thread; the main thread, which has the databases, has more than 100 syncs.
 */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { missingProgram } from './docker-registry.ts'
import type { ModelDirectory } from './disk-model.ts'
import { checkFolder, readAcknowledged, writeSampleLayout } from './durable-check.ts'
import { runKilledAt } from './killed-at.ts'
import { readRecording, recorder } from './syscall-log.ts'

const missing = missingProgram('strace')
const canTrace = missing === undefined && spawnSync('strace', ['-o', '/dev/null', 'true']).status === 0
const needs = { skip: missing === undefined ? !canTrace && 'no tracing here' : `no ${missing} here` }

/** In memory where that goes: no disk is needed to lie about it. */
const FAST = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()
const SYNCS = 'fsync,fdatasync'
const WORKLOAD = join(import.meta.dirname, 'durable-workload.ts')

interface Life {
  readonly folder: string
  readonly log: string
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Lives with one fault each, some at once. @param faults as strace's `-e inject=` takes them  @param rounds of a life */
async function liveWith(
  t: TestContext,
  faults: readonly string[],
  rounds: number,
  look: (fault: string, life: Life) => Promise<void>,
): Promise<void> {
  const scratch = mkdtempSync(join(FAST, 'bareboat-faults-'))
  t.after(() => rmSync(scratch, { recursive: true, force: true }))
  const layout = writeSampleLayout(scratch)
  const next = faults.values()
  await Promise.all(
    Array.from({ length: availableParallelism() }, async () => {
      for (const fault of next) {
        const folder = mkdtempSync(join(scratch, 'life-'))
        await look(fault, await live(folder, layout, fault, rounds))
        rmSync(folder, { recursive: true })
      }
    }),
  )
}

async function live(folder: string, layout: string, fault: string, rounds: number): Promise<Life> {
  const [log, root] = [join(folder, 'calls'), join(folder, 'root')]
  mkdirSync(root)
  const words = [WORKLOAD, root, layout, String(rounds)]
  const [calls, , when] = fault.split(/:signal=KILL(:when=)/)
  if (when !== undefined)
    return {
      folder: root,
      log,
      ...(await runKilledAt({ calls: calls!, when: Number(when), words: [...words, 'wait'] })),
    }
  const [strace, ...how] = recorder(log)
  const child = spawn(strace, [...how, '-e', `inject=${fault}`, process.execPath, ...words], {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 60_000,
    killSignal: 'SIGKILL',
  })
  let [stdout, stderr] = ['', '']
  child.stdout.on('data', (bytes: Buffer) => (stdout += bytes.toString()))
  child.stderr.on('data', (bytes: Buffer) => (stderr += bytes.toString()))
  const [status] = (await once(child, 'close')) as [number | null]
  return { folder: root, log, status, stdout, stderr }
}

/** What was acknowledged is on the disk, even if nothing is that no sync has confirmed. */
async function checkDisk(fault: string, { folder, log, stdout, stderr }: Life): Promise<void> {
  const left = mkdtempSync(`${folder}-left-`)
  let last: ModelDirectory | undefined
  readRecording(log, folder).play(
    (_change, disk) => (last = disk),
    () => {},
  )
  last?.leave(left, 'nothing', Math.random)
  await checkFolder(left, readAcknowledged(stdout), `${fault} (${stderr})`)
}

function wasInjected({ log }: Life): boolean {
  return readFileSync(log, 'latin1').includes('(INJECTED)')
}

function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index + 1)
}

test('P2: after a sync that fails nothing is acknowledged that is not on the disk', needs, async (t) => {
  let ended = 0
  const faults = upTo(50).flatMap((n) => [
    `${SYNCS}:error=EIO:when=${n}`,
    ...(n % 5 === 0 ? [`${SYNCS}:error=ENOSPC:when=${n}`] : []),
  ])
  await liveWith(t, faults, 3, async (fault, life) => {
    assert.ok(wasInjected(life), fault)
    if (life.status !== 0) ended++
    await checkDisk(fault, life)
  })
  // The others are of directories, about which SQLite says nothing, or of an image: its import is refused.
  assert.ok(ended >= 30, `only ${ended} ended`)
  t.diagnostic(`${faults.length} syncs failed, ${ended} ended the process`)
})

test('P2: writes that find the disk full are refused, and those after them go on', needs, async (t) => {
  let [refused, acknowledged] = [0, 0]
  const faults = upTo(12).map((n) => `pwrite64:error=ENOSPC:when=${n * 80}..${n * 80 + 15}`)
  await liveWith(t, faults, 4, async (fault, life) => {
    assert.ok(wasInjected(life), fault)
    if (/the disk is full|no space is left/.test(life.stderr)) refused++
    acknowledged += readAcknowledged(life.stdout).length
    await checkDisk(fault, life)
  })
  assert.ok(refused > 1, `only ${refused} were told`)
  t.diagnostic(`${faults.length} full disks, ${refused} told by a refusal, ${acknowledged} things acknowledged`)
})

test('P3: a process that is killed at any sync leaves what the next one goes on from', needs, async (t) => {
  let killed = 0
  const faults = upTo(100).map((n) => `${SYNCS}:signal=KILL:when=${n}`)
  await liveWith(t, faults, 4, async (fault, life) => {
    if (life.status !== 0) killed++
    await checkFolder(life.folder, readAcknowledged(life.stdout), fault)
  })
  assert.equal(killed, faults.length)
  t.diagnostic(`${killed} kills, each followed by a start that works`)
})
