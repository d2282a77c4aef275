/** The IPMI driver against the ways in which real BMCs go wrong, each an option of the simulated BMC. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { poll, sleep } from '../../src/base/clock.ts'
import { quietLog } from '../../src/base/log.ts'
import { createIpmiBmc, type IpmiBmcOptions } from '../../src/drivers/bmc/ipmi/ipmi-bmc.ts'
import { openSolConsole } from '../../src/drivers/bmc/ipmi/sol-console.ts'
import { SessionBudget } from '../../src/drivers/bmc/ipmi/session-budget.ts'
import type { BmcConsole } from '../../src/services/power/power-port.ts'
import { startBmcSim, type BmcSimOptions } from '../fakes/bmc-sim.ts'

const patience = { offMs: 20, pollMs: 50, deadlineMs: 8000 }

async function rig(sim: BmcSimOptions, more: Partial<IpmiBmcOptions> = {}) {
  const stack = new AsyncDisposableStack()
  const fake = stack.use(await startBmcSim(sim))
  const bmc = stack.use(
    createIpmiBmc({
      host: '127.0.0.1',
      port: fake.port,
      user: 'admin',
      password: 'secret',
      log: quietLog,
      patience,
      paceMs: 0,
      ...more,
    }),
  )
  return { sim: fake, bmc, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

async function secondsOf(work: () => Promise<unknown>): Promise<number> {
  const startMs = performance.now()
  await work()
  return (performance.now() - startMs) / 1000
}

for (const seed of [1, 2, 3])
  test(
    `30 % of packets lost each way, seed ${seed}: every power write is done exactly once`,
    { timeout: 60_000 },
    async () => {
      await using it = await rig({ loss: 0.3, seed }, { patience: { ...patience, resendMs: 60_000, deadlineMs: 1500 } })
      // A lost command may end in a timeout; what may not happen is a second one.
      for (const action of ['on', 'cycle', 'off'] as const)
        await it.bmc.set(action).catch((error: Error) => assert.match(error.message, /did not answer the command/))
      for (let i = 1; i < it.sim.trace.length; i++)
        assert.notEqual(it.sim.trace[i], it.sim.trace[i - 1], it.sim.trace.join(', '))
    },
  )

test('a lost power command is sent once more after the state was read, and no third time', async () => {
  await using it = await rig(
    { losesPowerAnswers: true, ignoresPower: true },
    { patience: { ...patience, resendMs: 300, deadlineMs: 4500 } },
  )
  await assert.rejects(it.bmc.set('on'), { code: 'timeout', message: /did not answer the command "on"/ })
  assert.deepEqual(it.sim.trace, ['on', 'on'])
})

test('power commands whose answers are all lost are done once each', async () => {
  await using it = await rig({ losesPowerAnswers: true })
  await it.bmc.set('on')
  await it.bmc.set('cycle')
  assert.deepEqual(it.sim.trace, ['on', 'off', 'on'])
})

test('every answer twice, and one with a wrong number before it', async () => {
  await using it = await rig({ duplicates: true, wrongSequence: true })
  await it.bmc.set('on')
  assert.equal(await it.bmc.status(), 'on')
  await it.bmc.setBoot({ device: 'pxe', firmware: 'uefi', once: true })
  assert.equal(Buffer.from(it.sim.bootFlags).toString('hex'), 'a004000000')
})

test('power that shows 1.2 s later: done means seen', async () => {
  await using it = await rig({ powerDelayMs: 1200 })
  assert.ok((await secondsOf(() => it.bmc.set('on'))) > 1.1)
  assert.equal(it.sim.isOn, true)
  assert.deepEqual(it.sim.trace, ['on'])
})

test('a BMC that says OK and does nothing is a timeout that says what it still says', async () => {
  await using it = await rig({ ignoresPower: true }, { patience: { ...patience, deadlineMs: 1000 } })
  await assert.rejects(it.bmc.set('on'), {
    code: 'timeout',
    message: /took the command "on" and after 1 s it still says "off"/,
  })
  assert.deepEqual(it.sim.trace, ['on'])
})

test('a machine in POST: what was declined is said again until it is done; for good is a timeout that says so', async () => {
  await using it = await rig({ declinesPower: 0.5, seed: 3 })
  await it.bmc.set('on')
  await it.bmc.set('cycle')
  assert.deepEqual(it.sim.trace, ['on', 'off', 'on'])
  await using never = await rig({ declinesPower: 1 }, { patience: { ...patience, deadlineMs: 1200 } })
  await assert.rejects(never.bmc.set('on'), { code: 'timeout', message: /declined the command "on" each time/ })
  assert.deepEqual(never.sim.trace, [])
})

test('a BMC whose last proof is wrong is not believed', async () => {
  await using it = await rig({ wrongRakp4: true })
  await assert.rejects(it.bmc.status(), { code: 'bad_peer', message: /its last proof \(RAKP 4\) is wrong/ })
})

test('a BMC that turns our cipher suite into none is refused before the password is used', async () => {
  await using it = await rig({ downgrades: true })
  await assert.rejects(it.bmc.status(), { code: 'bad_peer', message: /cipher suite 17 with other algorithms/ })
})

test('a BMC without a free session is asked again, and says so when none comes free', async () => {
  await using soon = await rig({ noSessionAnswers: 2 }, { fullWaitsMs: [20, 40] })
  assert.equal(await soon.bmc.status(), 'off')
  await using it = await rig({ maxSessions: 0 }, { fullWaitsMs: [20] })
  await assert.rejects(it.bmc.status(), { code: 'exhausted', message: /all its sessions are taken/ })
})

test('a BMC that does not know the password gets no proof of ours, and frees its slot', async () => {
  await using it = await rig({ maxSessions: 1, password: 'other' })
  for (let i = 0; i < 3; i++) await assert.rejects(it.bmc.status(), { code: 'unauthorized' })
  await sleep(20)
  assert.equal(it.sim.sessions, 0)
  assert.equal(it.sim.proofs, 0)
})

for (const losesProof of ['rakp2', 'rakp4'] as const)
  test(`a login that is broken off while ${losesProof} is missing leaves no session on the BMC`, async () => {
    await using it = await rig({ losesProof })
    const stop = new AbortController()
    const asked = it.bmc.status(stop.signal)
    await untilTrue(() => it.sim.sessions === 1 && (losesProof === 'rakp2' || it.sim.proofs > 0))
    stop.abort(new Error('the daemon ends'))
    await assert.rejects(asked, { message: 'the daemon ends' })
    await untilTrue(() => it.sim.sessions === 0)
  })

test(
  'a login that begins anew gives back the place that it had: a BMC with one is enough',
  { timeout: 30_000 },
  async () => {
    await using it = await rig({ losesProof: 'rakp2', maxSessions: 1 }, { fullWaitsMs: [] })
    await assert.rejects(it.bmc.status(), { code: 'unreachable' })
    await untilTrue(() => it.sim.sessions === 0)
  },
)

test('a login that is broken off before the BMC has answered at all leaves no session either', async () => {
  await using it = await rig({ opensLateMs: 200 })
  await assert.rejects(it.bmc.status(AbortSignal.timeout(50)), { name: 'TimeoutError' })
  await untilTrue(() => it.sim.opened > 0)
  await untilTrue(() => it.sim.sessions === 0)
})

test('a BMC that never closes does not hold us for long', async () => {
  const it = await rig({ ignoresClose: true })
  await it.bmc.status()
  assert.ok((await secondsOf(() => it[Symbol.asyncDispose]())) < 1)
})

test('a BMC that is silent on suites that it lacks is asked for the next one soon', async () => {
  await using it = await rig({ cipherSuites: [3], silentOnSuites: true })
  assert.ok((await secondsOf(() => it.bmc.status())) < 3)
})

test('a busy BMC is asked again; a user who is only operator gets by; one who is only user can read', async () => {
  await using busy = await rig({ busyAnswers: 3 })
  assert.equal(await busy.bmc.status(), 'off')
  await using operator = await rig({ level: 'operator' })
  await operator.bmc.set('on')
  await using user = await rig({ level: 'user' })
  await assert.rejects(user.bmc.status(), { code: 'forbidden', message: /may not be operator/ })
})

test('a BMC that kept something else than the boot override is an error that says what', async () => {
  await using it = await rig({ ignoresBootOptions: true })
  await assert.rejects(it.bmc.setBoot({ device: 'pxe', firmware: 'uefi', once: true }), {
    code: 'bad_peer',
    message: /kept the device "none", not "pxe"/,
  })
})

test('a BMC that forgot its sessions is logged in to again before its time is up', async () => {
  await using it = await rig({})
  await it.bmc.status()
  it.sim.forgetSessions()
  assert.ok((await secondsOf(() => it.bmc.status())) < 4)
})

test('an idle session is closed, and an aborted signal ends a question at once', async () => {
  await using it = await rig({}, { idleMs: 50 })
  await it.bmc.status()
  assert.equal(it.sim.sessions, 1)
  await sleep(150)
  assert.equal(it.sim.sessions, 0)
  await using deaf = await rig({ loss: 1 })
  const took = await secondsOf(() => assert.rejects(deaf.bmc.status(AbortSignal.timeout(100))))
  assert.ok(took < 0.5)
})

test('twenty BMCs share three sessions, and each is closed in the end', async () => {
  const budget = new SessionBudget(3)
  const rigs = await Promise.all(Array.from({ length: 20 }, (_, i) => rig({ isOn: i % 2 === 0 }, { budget })))
  const states = await Promise.all(rigs.map((it) => it.bmc.status()))
  assert.deepEqual(
    states,
    rigs.map((it) => (it.sim.isOn ? 'on' : 'off')),
  )
  await Promise.all(rigs.map((it) => it.bmc.set('on')))
  assert.ok(rigs.filter((it) => it.sim.sessions > 0).length <= 3)
  await Promise.all(rigs.map((it) => it[Symbol.asyncDispose]()))
  assert.equal(budget.held, 0)
})

test('consoles count among the sessions, and leave one in four for commands', async () => {
  const budget = new SessionBudget(4)
  const rigs = await Promise.all(Array.from({ length: 5 }, () => rig({}, { budget })))
  await using stack = new AsyncDisposableStack()
  for (const each of rigs) stack.use(each)
  const consoles: BmcConsole[] = []
  for (const { bmc } of rigs.slice(0, 3)) consoles.push(await bmc.console!())
  assert.equal(budget.held, 3)
  await assert.rejects(rigs[3]!.bmc.console!(), { code: 'exhausted', message: /3 are open/ })
  assert.equal(await rigs[3]!.bmc.status(), 'off')
  assert.equal(await rigs[4]!.bmc.status(), 'off')
  await consoles[0]![Symbol.asyncDispose]()
  await consoles[0]![Symbol.asyncDispose]()
  await (await rigs[4]!.bmc.console!())[Symbol.asyncDispose]()
  for (const console of consoles) await console[Symbol.asyncDispose]()
  await stack.disposeAsync()
  assert.equal(budget.held, 0)
})

test('a deaf BMC is unreachable after 7 tries', { timeout: 15_000 }, async () => {
  await using it = await rig({ loss: 1 })
  const took = await secondsOf(() =>
    assert.rejects(it.bmc.status(), { code: 'unreachable', message: /no answer in 7 tries/ }),
  )
  assert.ok(took < 12)
})

test('the console: 4 KiB both ways over a link that loses 10 %, in order, once', { timeout: 60_000 }, async () => {
  await using it = await rig({ loss: 0.1, seed: 5 })
  await using console = await it.bmc.console!()
  const sent = Buffer.from(Array.from({ length: 512 }, (_, i) => `line ${String(i).padStart(3, '0')}`).join(''))
  const reading = readUntil(console, sent.length)
  await console.write(sent)
  assert.equal((await reading).toString(), sent.toString())
})

test('the console: a break arrives, takeover ends the first with an error, disposing ends it without', async () => {
  await using it = await rig({})
  const first = await it.bmc.console!()
  await first.sendBreak()
  assert.equal(it.sim.breaks, 1)
  const lost = assert.rejects(readUntil(first, 1), { code: 'conflict', message: /the BMC ended it/ })
  const second = await it.bmc.console!({ takeOver: true })
  await lost
  await assert.rejects(first.write(Buffer.from('x')), { code: 'conflict' })
  await first[Symbol.asyncDispose]()
  const end = readUntil(second, 1000)
  it.sim.say('hello')
  await sleep(50)
  await second[Symbol.asyncDispose]()
  assert.equal((await end).toString(), 'hello')
  await it.bmc[Symbol.asyncDispose]()
  await sleep(20)
  assert.equal(it.sim.sessions, 0)
})

for (const tellsNoHolder of [false, true])
  test(`the console: one that the BMC ends without a word is noticed${tellsNoHolder ? ', by whether any is active' : ''}`, async () => {
    await using it = await rig({ tellsNoHolder })
    await using console = await openWatched(it.sim.port)
    it.sim.say('hello')
    assert.equal((await readUntil(console, 5)).toString(), 'hello')
    it.sim.forgetConsole()
    await assert.rejects(readUntil(console, 1), { code: 'conflict', message: /the BMC ended it/ })
    assert.equal(it.sim.sessions, 1)
  })

test('the console: one that another session has taken without a word is noticed', async () => {
  await using it = await rig({ takesSilently: true })
  await using console = await openWatched(it.sim.port)
  await using other = await it.bmc.console!({ takeOver: true })
  await assert.rejects(readUntil(console, 1), { code: 'conflict', message: /another session may have taken it/ })
  it.sim.say('hello')
  assert.equal((await readUntil(other, 5)).toString(), 'hello')
})

function openWatched(port: number): Promise<BmcConsole> {
  const where = { host: '127.0.0.1', port, address: `127.0.0.1:${port}`, log: quietLog }
  const who = {
    user: 'admin',
    password: Buffer.from('secret'),
    cipherSuites: [17],
    privilege: 'administrator',
  } as const
  return openSolConsole({ ...where, ...who }, { takeOver: false, keepAliveMs: 20 })
}

async function readUntil(console: AsyncIterable<Uint8Array>, lengthBytes: number): Promise<Buffer> {
  const parts: Uint8Array[] = []
  let got = 0
  for await (const bytes of console) {
    parts.push(bytes)
    got += bytes.length
    if (got >= lengthBytes) break
  }
  return Buffer.concat(parts)
}

async function untilTrue(isSo: () => boolean): Promise<void> {
  assert.ok(await poll(() => isSo() || undefined, { everyMs: 10, deadlineMs: 5000 }))
}
