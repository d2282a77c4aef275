/** Many BMCs at once, which share a budget of sessions: each is logged in to once per operation, and nothing is left open. */
import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { readdirSync } from 'node:fs'
import { test } from 'node:test'
import { quietLog } from '../../src/base/log.ts'
import { createIpmiBmc } from '../../src/drivers/bmc/ipmi/ipmi-bmc.ts'
import { SessionBudget } from '../../src/drivers/bmc/ipmi/session-budget.ts'
import type { BmcPort } from '../../src/services/power/power-port.ts'
import { startBmcSim, type BmcSim, type Misbehaviour } from '../fakes/bmc-sim.ts'

/** What an operation on a BMC must end with. */
interface Ending {
  readonly name: string
  readonly does?: Misbehaviour
  readonly place?: 'nobody listens' | 'nobody answers'
  readonly isAborted?: boolean
  readonly deadlineMs?: number
  /** The code of the error; undefined: it is done. */
  readonly code?: string
}

const ENDINGS: readonly Ending[] = [
  { name: 'well' },
  { name: 'well, over a link that loses', does: { loss: 0.1 } },
  { name: 'without a free session', does: { maxSessions: 0 }, code: 'exhausted' },
  { name: 'nothing happens', does: { ignoresPower: true }, deadlineMs: 300, code: 'timeout' },
  { name: 'a session that is never closed', does: { ignoresClose: true } },
  { name: 'a last proof that is wrong', does: { wrongRakp4: true }, code: 'bad_peer' },
  { name: 'nobody listens', place: 'nobody listens', code: 'unreachable' },
  { name: 'nobody answers', place: 'nobody answers', code: 'unreachable' },
  { name: 'given up while nothing happens', does: { ignoresPower: true }, isAborted: true },
  { name: 'given up while nobody answers', place: 'nobody answers', isAborted: true },
]
const BMCS = 50
const PATIENCE = { pollMs: 20, resendMs: 200 }

test(
  `power of ${BMCS} BMCs, dead ones and such that are given up among them: no descriptor is left open`,
  { timeout: 300_000 },
  async () => {
    await using stack = new AsyncDisposableStack()
    const deaf = createSocket('udp4')
    stack.defer(() => new Promise<void>((resolve) => void deaf.close(resolve)))
    await new Promise<void>((resolve) => deaf.bind(0, '127.0.0.1', resolve))
    const bmcs: { ending: Ending; sim: BmcSim; port: number }[] = []
    for (let n = 0; n < BMCS; n++) {
      const ending = ENDINGS[n % ENDINGS.length]!
      const sim = stack.use(await startBmcSim({ ...ending.does, seed: n }))
      const port =
        ending.place === 'nobody listens' ? 9 : ending.place === 'nobody answers' ? deaf.address().port : sim.port
      bmcs.push({ ending, sim, port })
    }
    // The first of a kind opens what the process keeps, such as its threads.
    await using first = await startBmcSim()
    await operate(first.port, new SessionBudget(1), new AbortController().signal)
    const before = descriptors()
    const budget = new SessionBudget(16)
    await Promise.all(
      bmcs.map(async ({ ending, sim, port }) => {
        const given = new AbortController()
        const { deadlineMs = 60_000 } = ending
        const operated = operate(port, budget, given.signal, 0, { deadlineMs })
        if (ending.code !== undefined)
          return assert.rejects(operated, { name: 'AppError', code: ending.code }, ending.name)
        if (ending.isAborted !== true) return operated
        // Once it has the command, or waits for the first answer.
        const patient = setInterval(() => {
          if (ending.place !== undefined || sim.trace.length > 0) given.abort(new Error('given up'))
        }, 5)
        try {
          await assert.rejects(operated, isGivenUp, ending.name)
        } finally {
          clearInterval(patient)
        }
      }),
    )
    assert.equal(descriptors(), before)
    assert.equal(budget.held, 0)
  },
)

test(
  'an operation keeps its session while others wait for one: each BMC is logged in to once',
  { timeout: 300_000 },
  async () => {
    await using stack = new AsyncDisposableStack()
    const sims = await Promise.all(Array.from({ length: 24 }, async () => stack.use(await startBmcSim())))
    const budget = new SessionBudget(3)
    await Promise.all(sims.map((sim) => operate(sim.port, budget, new AbortController().signal, 20)))
    assert.deepEqual(
      sims.map((sim) => ({ isOn: sim.isOn, logins: sim.proofs, trace: sim.trace })),
      sims.map(() => ({ isOn: true, logins: 1, trace: ['on'] })),
    )
    assert.equal(budget.held, 0)
  },
)

test('a machine that takes its time does not keep the place of its session', { timeout: 300_000 }, async () => {
  await using slow = await startBmcSim({ ignoresPower: true })
  await using quick = await startBmcSim()
  const budget = new SessionBudget(1)
  const given = new AbortController()
  const waits = operate(slow.port, budget, given.signal, 20, { pollMs: 300, deadlineMs: 60_000 })
  waits.catch(() => {})
  while (slow.trace.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  await operate(quick.port, budget, given.signal, 20)
  assert.equal(quick.isOn, true)
  given.abort(new Error('given up'))
  await assert.rejects(waits, isGivenUp)
})

/** The reason that was given, or what a timer makes of it. */
function isGivenUp(error: unknown): boolean {
  return error instanceof Error && [error.message, (error.cause as Error | undefined)?.message].includes('given up')
}

async function operate(
  port: number,
  budget: SessionBudget,
  signal: AbortSignal,
  paceMs = 0,
  patience = {},
): Promise<void> {
  await using bmc: BmcPort = createIpmiBmc({
    host: '127.0.0.1',
    port,
    user: 'admin',
    password: 'secret',
    log: quietLog,
    budget,
    paceMs,
    patience: { ...PATIENCE, ...patience },
    fullWaitsMs: [10, 20],
  })
  await bmc.set('on', signal)
}

/** How many are open, without the one that reads the list. */
function descriptors(): number {
  return readdirSync('/proc/self/fd').length - 1
}
