/**
 * P1–P3 with the real daemon: killed at random moments and at every sync, with disks that fail. What was acknowledged is there
 * afterwards, nothing is acknowledged that is not durable, and the next start works.
 */
import assert from 'node:assert/strict'
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test, type TestContext } from 'node:test'
import { poll } from '../../src/base/clock.ts'

const ROOT = join(import.meta.dirname, '../..')
const hasStrace = spawnSync('strace', ['-V']).status === 0
const needsStrace = { skip: hasStrace ? false : 'strace is missing' }
const SYNCS = 'fsync,fdatasync'

interface Daemon extends AsyncDisposable {
  readonly child: ChildProcess
  readonly ended: Promise<number | null>
  /** @returns true once it answers; false when it has ended before */
  isReady(): Promise<boolean>
  said(): string
}

function folderFor(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'bareboat-durable-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** @param inject a fault as strace's `-e inject=` takes it */
function startDaemon(folder: string, inject?: string): Daemon {
  const socket = join(folder, 'api.sock')
  const server = [
    ...[process.execPath, '--disable-warning=ExperimentalWarning', join(ROOT, 'src/main.ts'), 'server'],
    ...['--data-dir', join(folder, 'data'), '--kit-dir', join(folder, 'kits'), '--socket', socket],
  ]
  const traced =
    inject === undefined
      ? []
      : ['strace', '-f', '-qq', '-o', '/dev/null', '-e', `trace=${inject.split(':')[0]!}`, '-e', `inject=${inject}`]
  mkdirSync(join(folder, 'kits'), { recursive: true })
  const [program, ...words] = [...traced, ...server] as [string, ...string[]]
  // Its own process group: strace does not hand a KILL on.
  const child = spawn(program, words, {
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true,
    env: { ...process.env, HOME: folder },
  })
  let said = ''
  child.stderr!.on('data', (bytes: Buffer) => (said = (said + bytes.toString()).slice(-20_000)))
  let isOver = false
  const ended = new Promise<number | null>((resolve) =>
    child.once('close', (code) => {
      isOver = true
      resolve(code)
    }),
  )
  return {
    child,
    ended,
    said: () => said,
    async isReady() {
      const found = await poll(
        async () => (isOver ? 'ended' : (await ask(socket, 'GET', '/readyz'))?.status === 200 ? 'ready' : undefined),
        { everyMs: 25, deadlineMs: 30_000 },
      )
      assert.ok(found, `neither ready nor ended: ${said}`)
      return found === 'ready'
    },
    async [Symbol.asyncDispose]() {
      kill(child)
      await ended
    },
  }
}

function kill(child: ChildProcess): void {
  try {
    process.kill(-child.pid!, 'SIGKILL')
  } catch {
    // It has ended.
  }
}

/** @returns the answer, or undefined when none came */
function ask(
  socketPath: string,
  method: string,
  path: string,
  body?: object,
): Promise<{ status: number; text: string } | undefined> {
  return new Promise((resolve) => {
    const text = body === undefined ? undefined : JSON.stringify(body)
    const headers =
      text === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }
    const asked = request({ socketPath, method, path, headers, agent: false, timeout: 10_000 }, (response) => {
      let answer = ''
      response.on('data', (part: Buffer) => (answer += part.toString()))
      response.on('end', () => resolve({ status: response.statusCode!, text: answer }))
      response.on('error', () => resolve(undefined))
    })
    asked.on('error', () => resolve(undefined)).on('timeout', () => asked.destroy())
    asked.end(text)
  })
}

const macOf = (n: number): string =>
  `52:54:00:${[n >> 16, n >> 8, n].map((byte) => (byte & 255).toString(16).padStart(2, '0')).join(':')}`

/** Adds machines and changes them, one after the other, until no answer comes. @returns name -> rank that was acknowledged */
async function load(
  folder: string,
  first: number,
  acknowledged: Map<string, number>,
  stop: () => boolean,
): Promise<number> {
  const socket = join(folder, 'api.sock')
  let refused = 0
  for (let n = first; !stop(); n++) {
    const name = `m${n}`
    const added = await ask(socket, 'POST', '/v1/machines', {
      name,
      macs: [macOf(n)],
      bmc: 'http://127.0.0.1:9',
      bmcPassword: 'secret',
    })
    if (!added) return refused
    if (added.status === 201) acknowledged.set(name, 0)
    else refused++
    const changed = await ask(socket, 'PATCH', `/v1/machines/${name}`, { rank: n })
    if (!changed) return refused
    if (changed.status === 200) acknowledged.set(name, n)
    else refused++
  }
  return refused
}

/** Every acknowledged change is there (a later one that was not acknowledged may be too), and the file is whole. */
async function check(folder: string, acknowledged: ReadonlyMap<string, number>): Promise<void> {
  const startMs = performance.now()
  await using daemon = startDaemon(folder)
  assert.ok(await daemon.isReady(), `does not start again: ${daemon.said()}`)
  const tookMs = performance.now() - startMs
  assert.ok(tookMs < 25_000, `restart took ${tookMs} ms`)
  const answer = await ask(join(folder, 'api.sock'), 'GET', '/v1/machines')
  const machines = (JSON.parse(answer!.text) as { machines: { name: string; rank: number }[] }).machines
  const ranks = new Map(machines.map(({ name, rank }) => [name, rank]))
  for (const [name, rank] of acknowledged) {
    assert.ok(ranks.has(name), `${name} was acknowledged and is lost`)
    if (rank !== 0) assert.equal(ranks.get(name), rank, `the change of ${name} was acknowledged and is lost`)
  }
  kill(daemon.child)
  await daemon.ended
  const db = new DatabaseSync(join(folder, 'data', 'state.db'))
  assert.deepEqual(
    db
      .prepare('PRAGMA integrity_check')
      .all()
      .map((row) => ({ ...row })),
    [{ integrity_check: 'ok' }],
  )
  // Each change and its event are one: as many `create` events as machines.
  const count = (sql: string): unknown => db.prepare(sql).get()!['n']
  assert.equal(
    count("SELECT count(*) n FROM event WHERE kind = 'machine' AND action = 'create'"),
    count('SELECT count(*) n FROM machine'),
  )
  db.close()
}

test('P1: a daemon that is killed under load has lost nothing that it acknowledged', async (t) => {
  const folder = folderFor(t)
  const acknowledged = new Map<string, number>()
  for (let round = 0; round < 4; round++) {
    await using daemon = startDaemon(folder)
    assert.ok(await daemon.isReady(), daemon.said())
    const loading = load(folder, round * 100_000, acknowledged, () => false)
    // After some changes, at any moment of the next one.
    const enough = acknowledged.size + 3 + round * 3
    await poll(() => (acknowledged.size >= enough ? true : undefined), { everyMs: 3 + round * 2, deadlineMs: 20_000 })
    kill(daemon.child)
    await loading
  }
  assert.ok(acknowledged.size > 20, `${acknowledged.size} machines`)
  await check(folder, acknowledged)
  t.diagnostic(`${acknowledged.size} acknowledged machines, 4 kills, none lost`)
})

for (const [fault, when] of [
  [`${SYNCS}:error=EIO`, 12],
  [`${SYNCS}:error=EIO`, 25],
  [`${SYNCS}:error=EIO`, 60],
] as const)
  test(
    `P2: after the ${when}th sync that fails nothing is acknowledged and the daemon ends`,
    needsStrace,
    async (t) => {
      const folder = folderFor(t)
      const acknowledged = new Map<string, number>()
      {
        await using daemon = startDaemon(folder, `${fault}:when=${when}`)
        if (await daemon.isReady()) {
          const over = daemon.ended.then(() => 'over')
          const loading = load(folder, 1, acknowledged, () => false)
          assert.equal(await Promise.race([over, loading.then(() => over)]), 'over')
          assert.match(daemon.said(), /Cannot go on with the database|EIO|disk I\/O error/)
        }
        assert.notEqual(await daemon.ended, 0)
      }
      await check(folder, acknowledged)
    },
  )

test(
  'P2: a full disk refuses changes in words, loses none that was acknowledged, and passes',
  needsStrace,
  async (t) => {
    const folder = folderFor(t)
    const acknowledged = new Map<string, number>()
    await startDaemonOnce(folder)
    {
      await using daemon = startDaemon(folder, 'pwrite64:error=ENOSPC:when=60..75')
      if (await daemon.isReady()) {
        const startMs = performance.now()
        const refused = await load(folder, 1, acknowledged, () => performance.now() - startMs > 3000)
        t.diagnostic(`${refused} changes refused, ${acknowledged.size} machines acknowledged`)
        assert.ok(refused > 0)
        const last = await ask(join(folder, 'api.sock'), 'POST', '/v1/machines', {
          name: 'last',
          macs: ['52:54:01:00:00:01'],
        })
        assert.equal(last?.status, 201, `${last?.text} ${daemon.said()}`)
        acknowledged.set('last', 0)
      }
    }
    await check(folder, acknowledged)
  },
)

test('P3: a daemon that is killed at any sync starts again', needsStrace, async (t) => {
  const acknowledged = new Map<string, number>()
  let folder = folderFor(t)
  // The first syncs make the files anew, so each kill there needs a folder of its own.
  for (const n of [1, 2, 3, 4, 6, 9, 14, 20, 30]) {
    if (n <= 4) {
      folder = folderFor(t)
      acknowledged.clear()
    }
    await using daemon = startDaemon(folder, `${SYNCS}:signal=KILL:when=${n}`)
    if (await daemon.isReady()) await load(folder, n * 1000, acknowledged, () => false)
    await daemon.ended
    if (n <= 4 || n === 30) await check(folder, acknowledged)
  }
  t.diagnostic('9 kills, each followed by a start that works')
})

async function startDaemonOnce(folder: string): Promise<void> {
  await using daemon = startDaemon(folder)
  assert.ok(await daemon.isReady(), daemon.said())
}
