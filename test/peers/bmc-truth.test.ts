/**
 * The truth layer over BMCs that lie, forget, lose and take their time. What an operation says is held against what the BMC did:
 * a success whose effect was never there is a false one; two equal power commands in a row in the BMC's own log are a duplicate.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sleep } from '../../src/base/clock.ts'
import { AppError } from '../../src/base/errors.ts'
import { quietLog } from '../../src/base/log.ts'
import { createIpmiBmc } from '../../src/drivers/bmc/ipmi/ipmi-bmc.ts'
import type { PowerPatience } from '../../src/drivers/bmc/set-power.ts'
import type { StoredMachine } from '../../src/services/machines/ports.ts'
import type { EventBus } from '../../src/services/ports.ts'
import { createPower } from '../../src/services/power/power.ts'
import type { IntentStore, PowerIntent, SystemPort } from '../../src/services/power/ports.ts'
import type { BmcPort } from '../../src/services/power/power-port.ts'
import { startBmcSim, type BmcSim, type Misbehaviour } from '../fakes/bmc-sim.ts'
import { randomFrom } from '../fuzz/mutate.ts'

const SEED = Number(process.env['SEED'] ?? 4)
const BMCS = 80
const OPERATIONS = 25
const PATIENCE = { offMs: 5, pollMs: 20, deadlineMs: 600, softOffDeadlineMs: 600, resendMs: 200 }

/** Each BMC has one or two of these. */
const MISBEHAVIOURS: readonly Misbehaviour[] = [
  {},
  { loss: 0.15 },
  { duplicates: true },
  { wrongSequence: true },
  { ignoresPower: 0.3 },
  { ignoresPower: true },
  { powerDelayMs: 100 },
  { powerDelayMs: 700 },
  { losesPowerAnswers: 0.2 },
  { declinesPower: 0.4 },
  { busyAnswers: 2 },
  { noSessionAnswers: 2 },
  { ignoresClose: true },
  { ignoresBootOptions: true },
]

test(
  `${BMCS * OPERATIONS} operations on BMCs that misbehave: none is a false success (seed ${SEED})`,
  { timeout: 300_000 },
  async () => {
    const random = randomFrom(SEED)
    const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!
    const tally = { done: 0, refused: 0 }
    await Promise.all(
      Array.from({ length: BMCS }, async (_, seed) => {
        await using sim = await startBmcSim({
          ...pick(MISBEHAVIOURS),
          ...pick(MISBEHAVIOURS),
          isOn: random() < 0.5,
          seed,
        })
        await using bmc = open(sim)
        for (let n = 0; n < OPERATIONS; n++) {
          const startMs = performance.now()
          const wasOn = sim.isOn
          const what = pick(['status', 'on', 'off', 'cycle', 'soft-off', 'boot', 'forget'] as const)
          try {
            if (what === 'forget') sim.forgetSessions()
            else if (what === 'boot') {
              await bmc.setBoot({ device: 'pxe', firmware: 'uefi', once: true })
              assert.equal(Buffer.from(sim.bootFlags).toString('hex'), 'a004000000')
            } else {
              const state = what === 'status' ? await bmc.status() : await bmc.set(what)
              const wanted = state ?? (what === 'on' || what === 'cycle' ? 'on' : 'off')
              assert.ok(
                wasSeen(sim, wanted === 'on', wasOn, startMs),
                `${what} on BMC ${seed} ended well, and it never was ${wanted}`,
              )
              if (what === 'cycle')
                assert.ok(wasSeen(sim, false, wasOn, startMs), `cycle on BMC ${seed}: it never was off`)
            }
            tally.done++
          } catch (error) {
            if (!(error instanceof AppError)) throw error
            tally.refused++
          }
        }
      }),
    )
    assert.equal(tally.done + tally.refused, BMCS * OPERATIONS)
    assert.ok(tally.done > BMCS * OPERATIONS * 0.3 && tally.refused > BMCS, JSON.stringify(tally))
  },
)

const MACHINES = 50
const INTENTS = 20

test(
  `${MACHINES * INTENTS} intents with kills and lost answers: no duplicate in the BMC's log (seed ${SEED})`,
  { timeout: 300_000 },
  async () => {
    const random = randomFrom(SEED)
    let kills = 0
    await Promise.all(
      Array.from({ length: MACHINES }, async (_, seed) => {
        const does = { losesPowerAnswers: 0.15, powerDelayMs: seed % 2 ? 30 : 0 }
        await using sim = await startBmcSim({ ...does, seed })
        const intents = memoryIntents()
        let daemon = await startDaemon(sim, intents)
        let changes = 0
        for (let n = 0; n < INTENTS; n++) {
          const action = random() < 0.5 ? 'on' : 'off'
          if ((action === 'on') !== sim.isOn) changes++
          // Asked again by whoever comes after a daemon that died of it, as a person would.
          for (let isDone = false; !isDone;) {
            const killer = new AbortController()
            const killed =
              random() < 0.5 ? sleep(random() * 60).then(() => killer.abort(new Error('killed'))) : undefined
            try {
              await daemon.power.set(daemon.machine, action, { signal: killer.signal })
              isDone = true
              assert.equal(sim.isOn, action === 'on', `machine ${seed}: "${action}" was done, and is not`)
            } catch (error) {
              if (!killer.signal.aborted) throw error
              kills++
              await daemon[Symbol.asyncDispose]()
              daemon = await startDaemon(sim, intents)
            }
            await killed
          }
        }
        await daemon[Symbol.asyncDispose]()
        const { trace } = sim
        const duplicates = trace.filter((action, at) => at > 0 && action === trace[at - 1])
        assert.deepEqual(duplicates, [], `machine ${seed}: ${trace.join(' ')}`)
        assert.equal(trace.length, changes, `machine ${seed}: ${trace.join(' ')}`)
      }),
    )
    assert.ok(kills > MACHINES, `${kills} kills`)
  },
)

function open(sim: BmcSim, patience: Partial<PowerPatience> = PATIENCE): BmcPort {
  const where = { host: '127.0.0.1', port: sim.port, user: 'admin', password: 'secret' }
  return createIpmiBmc({ ...where, log: quietLog, patience, paceMs: 0, fullWaitsMs: [10, 20, 40] })
}

/** Whether the machine was so at some moment since `sinceMs`. */
function wasSeen(sim: BmcSim, isOn: boolean, wasOn: boolean, sinceMs: number): boolean {
  return wasOn === isOn || sim.changes.some((change) => change.atMs >= sinceMs && change.isOn === isOn)
}

/** A daemon's power service, with the intents that earlier ones left. */
async function startDaemon(sim: BmcSim, intents: IntentStore) {
  const events = { publish: async () => {} } as unknown as EventBus
  const power = createPower({
    log: quietLog,
    intents,
    events,
    // These BMCs say themselves whether their machine is on.
    system: {} as SystemPort,
    // A lost answer is waited for 3 s.
    openBmc: () => open(sim, { pollMs: 20, deadlineMs: 10_000 }),
    passwordOf: async () => 'secret',
    now: Date.now,
    settleMs: 400,
  })
  await power.recover()
  const machine = {
    id: 'm',
    name: 'm',
    macs: ['52:54:00:00:00:01'],
    bmc: `ipmi://admin@127.0.0.1:${sim.port}`,
  } as StoredMachine
  return { power, machine, [Symbol.asyncDispose]: () => power[Symbol.asyncDispose]() }
}

/** What is written outlives the daemon that wrote it. */
function memoryIntents(): IntentStore {
  const open = new Map<number, PowerIntent>()
  let next = 1
  return {
    async begin(intent) {
      const whole = { ...intent, intentId: next++, createdAt: Date.now() }
      open.set(whole.intentId, whole)
      return whole
    },
    async end(intentId) {
      open.delete(intentId)
    },
    async unfinished() {
      return [...open.values()]
    },
    switchedOn: async () => [],
  }
}
