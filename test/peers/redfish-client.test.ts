/** The client of Redfish services against our own, which goes wrong in the ways of real ones. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sleep } from '../../src/base/clock.ts'
import { AppError, explain } from '../../src/base/errors.ts'
import { quietLog, type Log } from '../../src/base/log.ts'
import { type Mischief, type RedfishSimOptions, startRedfishSim } from '../fakes/redfish-sim.ts'
import { createRedfishClient, type RedfishClientOptions } from '../../src/drivers/bmc/redfish/client.ts'
import { LostAnswer, RedfishRefusal } from '../../src/drivers/bmc/redfish/refusal.ts'

const SYSTEM = '/redfish/v1/Systems/1'
const RESET = `${SYSTEM}/Actions/ComputerSystem.Reset`

async function rig(options: RedfishSimOptions = {}, more: Partial<RedfishClientOptions> = {}) {
  const stack = new AsyncDisposableStack()
  const sim = stack.use(await startRedfishSim(options))
  const client = stack.use(
    createRedfishClient({
      origin: sim.origin,
      user: 'admin',
      password: 'secret',
      log: quietLog,
      paceMs: 0,
      backOffMs: 1,
      timeoutMs: 2000,
      ...more,
    }),
  )
  return { sim, client, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

/** The first `times` requests that match go wrong. */
function first(times: number, mischief: Mischief, matches: (method: string, path: string) => boolean) {
  return ({ method, path }: { method: string; path: string }) =>
    matches(method, path) && times-- > 0 ? mischief : undefined
}
const gets = (method: string) => method === 'GET'

test('one session serves all requests and is closed in the end, by whatever name the BMC calls itself', async () => {
  const it = await rig({ ownName: 'bmc.example' })
  const { body, etag } = await it.client.get(SYSTEM)
  assert.equal((body as { Id: string }).Id, '1')
  assert.equal(etag, '"1"')
  await it.client.get('/redfish/v1/')
  assert.equal(it.sim.sessions, 1)
  await it.client[Symbol.asyncDispose]()
  assert.equal(it.sim.sessions, 0)
  assert.equal(it.sim.requests.filter((line) => line.startsWith('POST')).length, 1)
  await it[Symbol.asyncDispose]()
})

test('an idle session is closed, and the next request opens another', async () => {
  await using it = await rig({}, { idleMs: 20 })
  await it.client.get(SYSTEM)
  for (let i = 0; it.sim.sessions > 0 && i < 100; i++) await sleep(10)
  assert.equal(it.sim.sessions, 0)
  await it.client.get(SYSTEM)
  assert.equal(it.sim.sessions, 1)
})

for (const mischief of ['busy', 'server-error', 'dropped', 'cut', 'truncated', 'forgotten'] as const)
  test(`a GET is asked again: ${mischief}`, async () => {
    await using it = await rig({ mischief: first(2, mischief, gets) })
    assert.equal(((await it.client.get(SYSTEM)).body as { Id: string }).Id, '1')
  })

for (const [mischief, error] of [
  ['busy', { code: 'exhausted', message: /answers 503 ServiceTemporarilyUnavailable \(Retry in 0 seconds\)/ }],
  ['server-error', { code: 'unreachable', message: /answers 500 InternalError/ }],
  ['dropped', { code: 'unreachable', message: /the connection broke before the answer/ }],
  ['truncated', { code: 'bad_peer', message: /is no JSON/ }],
  ['huge', { code: 'bad_peer', message: /longer than 100000 bytes/ }],
  ['elsewhere', { code: 'bad_peer', message: /it redirects \(307\) where it must not/ }],
  ['silent', { code: 'timeout', message: /no answer in 100 ms/ }],
] as const)
  test(`a GET ends with a typed error: ${mischief}`, async () => {
    await using it = await rig(
      { mischief: ({ method }) => (method === 'GET' ? mischief : undefined) },
      { maxAnswerBytes: 100_000, timeoutMs: mischief === 'silent' ? 100 : 2000 },
    )
    await assert.rejects(it.client.get(SYSTEM), error)
  })

test('a POST without an answer is a lost one, and is not sent again', async () => {
  for (const mischief of ['dropped', 'acts-and-drops', 'silent'] as const) {
    await using it = await rig({ mischief: first(9, mischief, (_, path) => path === RESET) }, { timeoutMs: 100 })
    await assert.rejects(it.client.post(RESET, { ResetType: 'On' }), LostAnswer)
    assert.equal(it.sim.requests.filter((line) => line === `POST ${RESET}`).length, 1)
    assert.deepEqual(it.sim.resets, mischief === 'acts-and-drops' ? ['On'] : [])
  }
})

test('a POST whose session has ended is sent in a new one, once', async () => {
  await using it = await rig()
  await it.client.get(SYSTEM)
  it.sim.forgetSessions()
  await it.client.post(RESET, { ResetType: 'On' })
  assert.deepEqual(it.sim.resets, ['On'])
})

test('a POST to a closed port was not sent: no lost answer', async () => {
  await using it = await rig()
  await it.sim[Symbol.asyncDispose]()
  await assert.rejects(it.client.post(RESET, {}), (error) => !(error instanceof LostAnswer))
  await assert.rejects(it.client.get(SYSTEM), { code: 'unreachable' })
})

test('an old ETag is read again once, a missing one is fetched, a weak one is tried as strong', async () => {
  const change = { Boot: { BootSourceOverrideTarget: 'Pxe' } }
  for (const options of [{}, { wantsIfMatch: true }, { wantsIfMatch: true, comparesStrongly: true }]) {
    await using it = await rig(options)
    const { etag } = await it.client.get(SYSTEM)
    it.sim.touch()
    await it.client.patch(SYSTEM, change, { etag })
    await it.client.patch(SYSTEM, change)
    assert.equal(it.sim.boot['BootSourceOverrideTarget'], 'Pxe')
  }
  await using never = await rig({ refusesIfMatch: true })
  await assert.rejects(never.client.patch(SYSTEM, change, { etag: '"0"' }), { code: 'conflict', status: 412 })
})

test('all sessions taken: Basic for now; without Basic it is exhausted; a session that is freed is waited for', async () => {
  await using basic = await rig({ maxSessions: 0 })
  await basic.client.get(SYSTEM)
  await using none = await rig({ maxSessions: 0, refusesBasic: true })
  await assert.rejects(none.client.get(SYSTEM), { code: 'exhausted', message: /all its sessions are taken/ })
  await using waits = await rig(
    { mischief: first(2, 'busy', (_, path) => path.endsWith('/Sessions')), refusesBasic: true },
    { auth: 'session' },
  )
  await waits.client.get(SYSTEM)
  await using old = await rig({ hasNoSessions: true })
  await old.client.get(SYSTEM)
  assert.equal(old.sim.sessions, 0)
  await using moved = await rig({ sessionsPath: '/redfish/v1/Sessions', refusesBasic: true })
  await moved.client.get(SYSTEM)
  assert.equal(moved.sim.sessions, 1)
  await using strict = await rig({ hasNoSessions: true }, { auth: 'session' })
  await assert.rejects(strict.client.get(SYSTEM), { code: 'unsupported' })
})

test('a wrong password is unauthorized after one try, by session and by Basic', async () => {
  for (const auth of ['auto', 'basic'] as const) {
    await using it = await rig({ password: 'other' }, { auth })
    await assert.rejects(it.client.get(SYSTEM), { code: 'unauthorized' })
    assert.equal(it.sim.requests.length, 1)
  }
})

test('no error and no log line repeats a password or a token, even when the BMC does', async () => {
  const lines: string[] = []
  const write = (event: string, fields: unknown) => void lines.push(JSON.stringify([event, fields]))
  const log: Log = { debug: write, info: write, warn: write, error: write, with: () => log }
  await using it = await rig({ password: 'other' }, { password: 'canary-1234', log })
  await assert.rejects(it.client.get(SYSTEM), (error) => {
    lines.push(explain(error))
    return error instanceof AppError && /The password \*\*\*\* is wrong/.test(error.message)
  })
  assert.doesNotMatch(lines.join('\n'), /canary/)
})

test('links that lead off the BMC are refused before anything is sent', async () => {
  await using it = await rig()
  for (const path of ['http://192.0.2.1/x', '//192.0.2.1/x', 'redfish/v1', '/a\r\nX: y', `/${'x'.repeat(3000)}`])
    await assert.rejects(it.client.get(path), { code: 'bad_peer', message: /no path on it/ })
  assert.deepEqual(it.sim.requests, [])
})

test('a refusal has its status and the names of its messages', async () => {
  await using it = await rig()
  await assert.rejects(it.client.post(RESET, { ResetType: 'Jump' }), (error) => {
    assert.ok(error instanceof RedfishRefusal)
    assert.equal(error.status, 400)
    assert.equal(error.code, 'unsupported')
    assert.ok(error.says('ActionParameterValueNotInList'))
    return true
  })
  await assert.rejects(it.client.get('/redfish/v1/Nothing'), { code: 'not_found' })
})

test('an aborted signal ends a request and a wait with its reason', async () => {
  await using it = await rig({ mischief: ({ method }) => (method === 'GET' ? 'silent' : undefined) })
  const stop = new AbortController()
  const asked = it.client.get(SYSTEM, stop.signal)
  await sleep(30)
  stop.abort(new Error('enough'))
  await assert.rejects(asked, /enough/)
})
