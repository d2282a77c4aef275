/**
 * P1: what was acknowledged survives a power cut. A run is recorded call by call; at 50 random moments of it the disk is made as
 * a power cut would leave it (`disk-model.ts`), and what was acknowledged before that moment is looked for.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test, type TestContext } from 'node:test'
import { randomFrom } from '../fuzz/mutate.ts'
import type { Survival } from './disk-model.ts'
import { missingProgram } from './docker-registry.ts'
import { checkFolder, readAcknowledged, writeSampleLayout } from './durable-check.ts'
import { checkStart, checkState, load, startDaemon } from './durable-daemon.ts'
import { readRecording, recorder } from './syscall-log.ts'

const missing = missingProgram('strace')
const canTrace = missing === undefined && spawnSync('strace', ['-o', '/dev/null', 'true']).status === 0
const needs = { skip: missing === undefined ? !canTrace && 'no tracing here' : `no ${missing} here` }

/** In memory where that goes: the disk that counts here is the modelled one. */
const FAST = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()
const CUTS = 50
const SEED = 20_260_101
const SURVIVALS: readonly Survival[] = ['nothing', 'some pages', 'some sectors', 'everything']

function scratchFor(t: TestContext): string {
  const scratch = mkdtempSync(join(FAST, 'bareboat-power-'))
  t.after(() => rmSync(scratch, { recursive: true, force: true }))
  return scratch
}

interface Cut {
  /** Where in the recording, and what survives of what nobody synced. */
  readonly at: string
  readonly survival: Survival
  readonly folder: string
  /** What was said to the outside by then. */
  readonly said: string
}

interface Run {
  readonly scratch: string
  /** Runs the program under the recorder, to its end; its files are in the folder, which is there and empty. */
  readonly program: (recorder: readonly string[], root: string) => Promise<void> | void
  /** Whether this is something that the outside hears. */
  readonly hears: (bytes: Buffer, fd: number) => boolean
}

/** Cuts the power at random moments of a run, each in every way, and looks at what is left. */
async function cutPower({ scratch, program, hears }: Run, look: (cut: Cut) => Promise<void> | void): Promise<void> {
  const [log, root] = [join(scratch, 'calls'), join(scratch, 'root')]
  mkdirSync(root)
  await program(recorder(log), root)
  const recording = readRecording(log, root)
  const { length } = recording
  assert.ok(length > CUTS, `only ${length} changes of the disk`)
  const random = randomFrom(SEED)
  // After the last one as well: what was acknowledged at the very end.
  const moments = new Set([length - 1])
  while (moments.size < CUTS) moments.add(Math.floor(random() * length))
  const cuts: Cut[] = []
  let said = ''
  recording.play(
    (change, disk) => {
      if (!moments.has(change)) return
      for (const survival of SURVIVALS) {
        const folder = mkdtempSync(join(scratch, 'cut-'))
        disk.leave(folder, survival, random)
        const at = `power cut at change ${change} of ${length}, ${survival} survives`
        cuts.push({ at, survival, folder, said })
      }
    },
    (bytes, fd) => {
      if (hears(bytes, fd)) said += bytes.toString()
    },
  )
  for (const cut of cuts) {
    await look(cut)
    rmSync(cut.folder, { recursive: true, force: true })
  }
}

const isStdout = (_bytes: Buffer, fd: number): boolean => fd === 1

function runNode([strace, ...how]: readonly string[], words: readonly string[]): void {
  const { status, stderr } = spawnSync(strace!, [...how, process.execPath, ...words], {
    encoding: 'utf8',
    timeout: 120_000,
  })
  assert.equal(status, 0, stderr)
}

/** Commits rows one by one and says so after each. */
const COMMITS = `
  import { DatabaseSync } from 'node:sqlite'
  import { writeSync } from 'node:fs'
  const db = new DatabaseSync(process.argv[1])
  db.exec('PRAGMA journal_mode = WAL')
  db.exec('PRAGMA wal_autocheckpoint = 20')
  db.exec('PRAGMA synchronous = ' + process.argv[2])
  db.exec('CREATE TABLE t (n INTEGER PRIMARY KEY, text TEXT) STRICT')
  for (let n = 1; n <= 60; n++) {
    db.prepare('INSERT INTO t VALUES (?, ?)').run(n, 'x'.repeat(n * 20))
    writeSync(1, n + '\\n')
  }`

for (const { synchronous, loses } of [
  { synchronous: 'FULL', loses: false },
  { synchronous: 'NORMAL', loses: true },
  { synchronous: 'OFF', loses: true },
])
  test(
    `the model: SQLite with synchronous=${synchronous} ${loses ? 'loses' : 'keeps'} what it committed`,
    needs,
    async (t) => {
      let lost = 0
      const program = (traced: readonly string[], root: string): void =>
        runNode(traced, ['--input-type=module', '-e', COMMITS, join(root, 'a.db'), synchronous])
      await cutPower({ scratch: scratchFor(t), program, hears: isStdout }, ({ folder, said }) => {
        const acknowledged = Math.max(0, ...(said.match(/^\d+$/gm) ?? []).map(Number))
        if (rowsOf(join(folder, 'a.db')) < acknowledged) lost++
      })
      t.diagnostic(`${lost} of ${CUTS * SURVIVALS.length} power cuts lost what was acknowledged`)
      assert.equal(lost > 0, loses, `${lost} power cuts lost rows`)
    },
  )

/** Rows that can be read; none of a database that is damaged. */
function rowsOf(path: string): number {
  const db = new DatabaseSync(path)
  try {
    const isMade = db.prepare("SELECT 1 FROM sqlite_schema WHERE name = 't'").all().length > 0
    return isMade ? Number(db.prepare('SELECT max(n) n FROM t').get()!['n']) : 0
  } catch {
    return 0
  } finally {
    db.close()
  }
}

test('a power cut at any moment of lives, leases and imports loses nothing that was acknowledged', needs, async (t) => {
  const scratch = scratchFor(t)
  const layout = writeSampleLayout(scratch)
  let count = 0
  const program = (traced: readonly string[], root: string): void =>
    runNode(traced, [join(import.meta.dirname, 'durable-workload.ts'), root, layout])
  await cutPower({ scratch, program, hears: isStdout }, async ({ at, folder, said }) => {
    const acknowledged = readAcknowledged(said)
    count = Math.max(count, acknowledged.length)
    await checkFolder(folder, acknowledged, at)
  })
  assert.ok(count > 25, `${count} things acknowledged`)
  t.diagnostic(`${count} things acknowledged, ${CUTS * SURVIVALS.length} power cuts, none lost`)
})

test('a power cut at any moment of a daemon under load loses nothing that it answered', needs, async (t) => {
  const scratch = scratchFor(t)
  const program = async (traced: readonly string[], root: string): Promise<void> => {
    await using daemon = startDaemon(root, traced)
    assert.ok(await daemon.isReady(), daemon.said())
    await load(root, 1, new Map(), () => false, 40)
  }
  const answers = (bytes: Buffer): boolean => bytes.subarray(0, 5).toString() === 'HTTP/'
  let [count, starts, slowestMs] = [0, 0, 0]
  await cutPower({ scratch, program, hears: answers }, async ({ at, survival, folder, said }) => {
    const acknowledged = new Map(
      said.matchAll(/"name":"(m\d+)".*?"rank":(\d+)/g).map(([, name, rank]) => [name!, Number(rank)]),
    )
    count = Math.max(count, acknowledged.size)
    await checkState(folder, acknowledged, at)
    // A daemon takes its time to start: one in five is enough.
    if (survival !== 'nothing' || starts++ % 5 !== 0) return
    slowestMs = Math.max(slowestMs, await checkStart(folder, acknowledged))
  })
  assert.ok(count > 30, `${count} machines answered for`)
  t.diagnostic(`${count} machines answered for, none lost; slowest start ${Math.round(slowestMs)} ms`)
})
