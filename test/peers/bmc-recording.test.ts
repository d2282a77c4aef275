/** What is recorded of a BMC that lies is what the driver concluded it from, and opens nothing. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AppError } from '../../src/base/errors.ts'
import { quietLog } from '../../src/base/log.ts'
import { createAmtBmc } from '../../src/drivers/bmc/amt/amt-bmc.ts'
import { createIpmiBmc } from '../../src/drivers/bmc/ipmi/ipmi-bmc.ts'
import { createPikvmBmc } from '../../src/drivers/bmc/pikvm/pikvm-bmc.ts'
import { openReplay } from '../../src/drivers/bmc/recording/open-replay.ts'
import { createRedfishBmc } from '../../src/drivers/bmc/redfish/redfish-bmc.ts'
import { observeAs } from '../../src/drivers/bmc/recording/http-tap.ts'
import { createMask, maskExchange } from '../../src/formats/bmc-recording/mask.ts'
import {
  parseRecording,
  serializeRecording,
  type Exchanged,
  type Recording,
} from '../../src/formats/bmc-recording/recording.ts'
import type { Recordable } from '../../src/model/bmc.ts'
import type { StoredMachine } from '../../src/services/machines/ports.ts'
import type { EventBus } from '../../src/services/ports.ts'
import { createBmcRecordings } from '../../src/services/power/bmc-recordings.ts'
import { createPower } from '../../src/services/power/power.ts'
import type { IntentStore, SystemPort } from '../../src/services/power/ports.ts'
import type { PowerPatience } from '../../src/drivers/bmc/set-power.ts'
import { startAmtSim } from '../fakes/amt-sim.ts'
import { startBmcSim, type BmcSimOptions } from '../fakes/bmc-sim.ts'
import { startPikvmSim } from '../fakes/pikvm-sim.ts'
import { startRedfishSim } from '../fakes/redfish-sim.ts'

const PASSWORD = 'pa55"word of BMC'
const PATIENCE = { offMs: 20, pollMs: 20, deadlineMs: 1500, softOffDeadlineMs: 600, nextWayMs: 150 }

/** A daemon's power service and recordings over a simulated BMC. */
async function rig(
  sim: BmcSimOptions = {},
  {
    password = PASSWORD,
    statusDeadlineMs = 15_000,
    ...patience
  }: Partial<PowerPatience> & { password?: string; statusDeadlineMs?: number } = {},
) {
  const stack = new AsyncDisposableStack()
  const fake = stack.use(await startBmcSim({ password: PASSWORD, user: 'operations', ...sim }))
  const power = stack.use(
    createPower({
      log: quietLog,
      statusDeadlineMs,
      now: Date.now,
      events: { publish: async () => {} } as unknown as EventBus,
      intents: { begin: async () => ({}), end: async () => {}, unfinished: async () => [] } as unknown as IntentStore,
      system: {} as SystemPort,
      passwordOf: async () => password,
      openBmc: (_machine, _password, tap) =>
        createIpmiBmc({
          host: '127.0.0.1',
          port: fake.port,
          user: 'operations',
          password,
          log: quietLog,
          patience: { ...PATIENCE, ...patience },
          paceMs: 0,
          tap,
        }),
    }),
  )
  const machine = {
    id: 'm',
    name: 'm1',
    macs: [],
    bmc: `ipmi://operations@127.0.0.1:${fake.port}`,
  } as unknown as StoredMachine
  const recordings = createBmcRecordings({
    power,
    passwordOf: async () => password,
    openReplay: (recording, tap) => openReplay(recording, tap, quietLog),
    now: Date.now,
    release: '0.0.0',
  })
  return {
    sim: fake,
    power,
    machine,
    recordings,
    record: (operation: Recordable, named = false) =>
      recordings.record(machine, operation, { named, signal: AbortSignal.timeout(30_000) }),
    replay: (text: string) => recordings.replay(text, AbortSignal.timeout(30_000)),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}

for (const c of [
  { name: 'a cycle', operation: 'cycle', sim: { isOn: true }, says: /Chassis Control 00: 00h/ },
  {
    name: 'a BMC that says OK and does nothing',
    operation: 'on',
    sim: { ignoresPower: true },
    says: /Chassis Control 01: 00h/,
  },
  {
    name: 'a BMC that ignores "off" and has its own cycle',
    operation: 'cycle',
    sim: { isOn: true, ignores: ['off'], cycleOffMs: 300 },
    says: /Chassis Control 02: 00h/,
  },
  { name: 'who it is', operation: 'info', sim: {}, says: /Get Device ID: 00h/ },
  { name: 'what it does not have', operation: 'fru', sim: {}, says: /: C1h/ },
] as const satisfies readonly { name: string; operation: Recordable; sim: BmcSimOptions; says: RegExp }[])
  test(`recorded and played again, with the same conclusion: ${c.name}`, { timeout: 30_000 }, async () => {
    await using it = await rig(c.sim)
    const text = await it.record(c.operation)
    const { exchanges, outcome } = parseRecording(text)
    assert.equal(exchanges[0]?.is, 'ipmi-session')
    const trace = it.sim.trace.length
    const replay = await it.replay(text)
    assert.ok(
      replay.steps.some((step) => c.says.test(step)),
      replay.steps.join('\n'),
    )
    assert.equal(it.sim.trace.length, trace, 'nothing went to the BMC')
    assert.deepEqual(replay.then.error?.code, outcome.error?.code)
    assert.equal(replay.now.error?.code, replay.then.error?.code, replay.steps.join('\n'))
    if (c.operation === 'info') {
      const of = (value: unknown) => ({ ...(value as Record<string, unknown>), address: '' })
      assert.deepEqual(of(replay.now.value), of(replay.then.value))
    }
  })

test('no secret is in a recording: the password in any form, keys, proofs, user and address', async () => {
  for (const password of [PASSWORD, 'another one 17'])
    for (const operation of ['on', 'info', 'fru'] as const) {
      await using it = await rig({}, { password })
      const text = await it.record(operation)
      const bytes = Buffer.from(password)
      const forms = [
        password,
        JSON.stringify(password).slice(1, -1),
        encodeURIComponent(password),
        bytes.toString('hex'),
        bytes.toString('base64'),
        Buffer.from(`operations:${password}`).toString('base64'),
        ...it.sim.secrets,
        ...it.sim.secrets.map((hex) => Buffer.from(hex, 'hex').toString('base64')),
        'operations',
        '127.0.0.1',
      ]
      for (const form of forms) assert.ok(!text.includes(form), `${form} is in ${text}`)
      const isRight = password === PASSWORD
      assert.equal(it.sim.secrets.length > 0, isRight)
      assert.equal(parseRecording(text).outcome.error?.code, isRight ? undefined : 'unauthorized')
    }
})

test('user and address are in it where that was asked for', async () => {
  await using it = await rig({}, { password: 'another one 17' })
  const text = await it.record('status', true)
  assert.match(text, /as \\"operations\\"/)
  assert.match(text, /127\.0\.0\.1/)
})

test('one is recorded at a time, and the BMC is as before afterwards', async () => {
  await using it = await rig({ powerDelayMs: 300 })
  const first = it.record('on')
  await assert.rejects(it.record('status'), { code: 'conflict', message: /being recorded already/ })
  await first
  assert.equal(it.sim.sessions, 0)
  assert.equal(await it.power.status(it.machine), 'on')
})

test('a recording of another operation, version or protocol is an error that says so', async () => {
  await using it = await rig()
  const text = await it.record('status')
  const other = (change: Partial<Recording['header']>): string => {
    const recording = parseRecording(text)
    return serializeRecording({ ...recording, header: { ...recording.header, ...change } })
  }
  const sensors = await it.replay(other({ operation: 'sensors' }))
  assert.equal(sensors.now.error?.code, 'not_found')
  assert.match(sensors.now.error.message, /never asked/)
  await assert.rejects(it.replay(other({ operation: 'dance' })), { code: 'invalid', message: /"dance"/ })
  await assert.rejects(it.replay(other({ protocol: 'smoke' })), { code: 'unsupported' })
  await assert.rejects(it.replay(text.replace('"version":1', '"version":2')), { code: 'invalid' })
  await assert.rejects(it.replay('{}'), { code: 'invalid' })
})

test('a BMC that does not say its state by the deadline is a timeout, and who goes away is told nothing else', async () => {
  await using it = await rig({ loss: 1 }, { statusDeadlineMs: 300 })
  await assert.rejects(it.power.status(it.machine), { code: 'timeout', message: /"m1".*did not answer within 0\.3 s/ })
  const gone = AbortSignal.abort(new Error('gone'))
  await assert.rejects(it.power.status(it.machine, gone), { message: 'gone' })
})

test('Redfish: what passed is recorded, and neither password nor token nor Basic are in it', async () => {
  for (const auth of ['session', 'basic'] as const) {
    await using sim = await startRedfishSim({ user: 'operations', password: PASSWORD })
    const lines: Exchanged[] = []
    const tokens: string[] = []
    const mask = createMask([PASSWORD, 'operations'])
    const observe = observeAs((exchange) => void lines.push(maskExchange(exchange, mask)))
    await using bmc = createRedfishBmc({
      origin: `http://127.0.0.1:${sim.port}`,
      user: 'operations',
      password: PASSWORD,
      auth,
      log: quietLog,
      observe: (exchange) => {
        tokens.push(...(exchange.answer?.headers['x-auth-token'] ?? []))
        observe(exchange)
      },
    })
    await bmc.set('on')
    await bmc[Symbol.asyncDispose]()
    const document = serializeRecording({
      header: { protocol: 'redfish', operation: 'on', at: 1, release: '0' },
      exchanges: lines,
      outcome: { is: 'outcome', ms: 1 },
    })
    const { exchanges } = parseRecording(document)
    assert.ok(exchanges.some((each) => each.is === 'http' && each.method === 'POST' && /Reset/.test(each.path)))
    assert.equal(tokens.length > 0, auth === 'session')
    const basic = Buffer.from(`operations:${PASSWORD}`).toString('base64')
    const forms = [PASSWORD, JSON.stringify(PASSWORD).slice(1, -1), basic, 'operations', ...tokens]
    for (const form of forms) assert.ok(!document.includes(form), `${form} is in ${document}`)
  }
})

const HTTP = [
  {
    name: 'Redfish',
    protocol: 'redfish',
    operation: 'cycle',
    says: /POST .*ComputerSystem\.Reset: 20/,
    sim: { isOn: true },
  },
  {
    name: 'Redfish without a session',
    protocol: 'redfish',
    operation: 'on',
    says: /Reset: 20/,
    sim: { hasNoSessions: true },
  },
  {
    name: 'Redfish that does nothing',
    protocol: 'redfish',
    operation: 'on',
    says: /Reset: 20/,
    sim: { ignoresPower: true },
    code: 'timeout',
  },
  { name: 'PiKVM', protocol: 'pikvm', operation: 'cycle', says: /POST .*action=off_hard.*: 200/, sim: { isOn: true } },
  {
    name: 'PiKVM that does nothing',
    protocol: 'pikvm',
    operation: 'on',
    says: /action=on.*: 200/,
    sim: { ignoresPower: true },
    code: 'timeout',
  },
  { name: 'AMT', protocol: 'amt', operation: 'cycle', says: /POST \/wsman: 200/, sim: { isOn: true, nonceUses: 3 } },
  {
    name: 'AMT that does nothing',
    protocol: 'amt',
    operation: 'on',
    says: /POST \/wsman: 200/,
    sim: { ignoresPower: true },
    code: 'timeout',
  },
  {
    name: 'AMT that is busy at first',
    protocol: 'amt',
    operation: 'on',
    says: /POST \/wsman: 400/,
    sim: { busy: { how: 'fault', times: 2 } },
  },
  {
    name: 'AMT that answers another question',
    protocol: 'amt',
    operation: 'on',
    says: /POST \/wsman: 200/,
    sim: { wrongRelatesTo: true },
    code: 'bad_peer',
  },
  {
    name: 'AMT with another password',
    protocol: 'amt',
    operation: 'on',
    says: /POST \/wsman: 401/,
    sim: { password: 'another one 17' },
    code: 'unauthorized',
  },
  {
    name: 'AMT that asks for Basic',
    protocol: 'amt',
    operation: 'on',
    says: /POST \/wsman: 401/,
    sim: { asksBasic: true },
    code: 'bad_peer',
  },
] as const satisfies readonly {
  name: string
  protocol: 'redfish' | 'pikvm' | 'amt'
  operation: 'on' | 'cycle'
  says: RegExp
  sim: object
  code?: string
}[]
for (const c of HTTP)
  test(`${c.name}: recorded and played again, with the same conclusion`, { timeout: 30_000 }, async () => {
    const start = { redfish: startRedfishSim, pikvm: startPikvmSim, amt: startAmtSim }[c.protocol]
    await using sim = await start({ password: PASSWORD, ...c.sim })
    const lines: Exchanged[] = []
    const mask = createMask([PASSWORD])
    const observe = observeAs((exchange) => void lines.push(maskExchange(exchange, mask)))
    const common = { user: 'admin', password: PASSWORD, log: quietLog, patience: PATIENCE, observe }
    const at = { host: '127.0.0.1', port: sim.port, isTls: false }
    const bmc = {
      redfish: () => createRedfishBmc({ ...common, origin: `http://127.0.0.1:${sim.port}` }),
      pikvm: () => createPikvmBmc({ ...common, ...at }),
      amt: () => createAmtBmc({ ...common, ...at, busyMs: 5 }),
    }[c.protocol]()
    const then = await bmc.set(c.operation).then(
      () => undefined,
      (error: AppError) => error.code,
    )
    await bmc[Symbol.asyncDispose]()
    const document = serializeRecording({
      header: { protocol: c.protocol, operation: c.operation, at: 1, release: '0' },
      exchanges: lines,
      outcome: { is: 'outcome', ms: 1 },
    })
    const trace = sim.trace.length
    await using it = await rig()
    const { steps, now } = await it.replay(document)
    assert.ok(
      steps.some((step) => c.says.test(step)),
      steps.join('\n'),
    )
    assert.equal(now.error?.code, then, steps.join('\n'))
    assert.equal(then, 'code' in c ? c.code : undefined)
    for (const secret of [PASSWORD, 'nonce=', 'response=']) assert.ok(!document.includes(secret), document)
    assert.equal(sim.trace.length, trace, 'nothing went to the BMC')
  })
