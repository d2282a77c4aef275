/**
 * P1–P3 with the real daemon: killed at random moments and at every sync, with disks that fail. What was acknowledged is there
 * afterwards, nothing is acknowledged that is not durable, and the next start works.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { poll } from '../../src/base/clock.ts'
import { ask, checkStart, checkState, kill, load, startDaemon } from './durable-daemon.ts'
import { filterFor } from './killed-at.ts'

const hasStrace = spawnSync('strace', ['-V']).status === 0
const needsStrace = { skip: hasStrace ? false : 'strace is missing' }
const SYNCS = 'fsync,fdatasync'

function folderFor(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'bareboat-durable-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** A tracer that plays a fault, as strace's `-e inject=` takes it. */
function injecting(fault: string): string[] {
  const calls = fault.split(':')[0]!
  return [
    'strace',
    ...filterFor(fault),
    '-f',
    '-qq',
    '-o',
    '/dev/null',
    '-e',
    `trace=${calls}`,
    '-e',
    `inject=${fault}`,
  ]
}

async function check(folder: string, acknowledged: ReadonlyMap<string, number>): Promise<void> {
  await checkStart(folder, acknowledged)
  await checkState(folder, acknowledged, 'after a start')
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
        await using daemon = startDaemon(folder, injecting(`${fault}:when=${when}`))
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
      await using daemon = startDaemon(folder, injecting('pwrite64:error=ENOSPC:when=60..75'))
      if (await daemon.isReady()) {
        const startMs = performance.now()
        const refused = await load(folder, 1, acknowledged, () => performance.now() - startMs > 3000)
        t.diagnostic(`${refused} changes refused, ${acknowledged.size} machines acknowledged`)
        assert.ok(refused > 0)
        const last = await ask(join(folder, 'api.sock'), 'POST', '/v1/machines', {
          name: 'last',
          macs: ['52:54:01:00:00:01'],
          bmc: 'http://127.0.0.1:9',
          bmcPassword: 'secret',
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
    await using daemon = startDaemon(folder, injecting(`${SYNCS}:signal=KILL:when=${n}`))
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
