import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AppError } from '../../base/errors.ts'
import { quietLog } from '../../base/log.ts'
import { bmcSetupRequest } from '../../model/bmc.ts'
import type { StoredMachine } from '../machines/ports.ts'
import { createBmcSetups, type BmcSetupDeps } from './bmc-setup.ts'
import type { InbandBmc } from './inband-port.ts'
import type { BmcSetup } from './ports.ts'

interface Slot {
  name: string
  password: string
  privilege: string
  isEnabled: boolean
}

/** The daemon dies: nothing that it does afterwards has an effect. */
class Killed extends Error {}

const FREE: Slot = { name: '', password: '', privilege: 'none', isEnabled: false }

/** A BMC, a store and a daemon that dies at the n-th thing that it does to either. */
function world({ dieAt = Infinity, places = 4, ip = '10.0.3.7' } = {}) {
  const slots = new Map<number, Slot>([
    [1, { ...FREE }],
    [2, { name: 'admin', password: 'of somebody', privilege: 'administrator', isEnabled: true }],
  ])
  for (let id = 3; id <= places; id++) slots.set(id, { ...FREE })
  const state = {
    slots,
    machine: machineOf(),
    password: undefined as string | undefined,
    setup: undefined as BmcSetup | undefined,
    events: [] as string[],
    made: 0,
    granted: [] as string[],
    steps: 0,
    dieAt,
    letsIn: true,
    takesPassword: true,
  }
  const step = (): void => {
    if (++state.steps >= state.dieAt) throw new Killed()
  }
  const bmc: InbandBmc = {
    identity: async () => ({ manufacturer: 'Dell', firmware: '1' }),
    lans: async () => [{ channel: 1, ...(ip === '' ? {} : { ip }), ipv6: [] }],
    users: async () => ({
      users: [...slots]
        .filter(([, { name }]) => name !== '')
        .map(([id, { name, privilege, isEnabled }]) => ({ id, name, privilege, isEnabled })),
      vacancy: [...slots].find(([id, { name }]) => id > 1 && name === '')?.[0],
    }),
    makePassword: async () => `password ${++state.made}`,
    async grant({ userId, user, password, privilege }) {
      step()
      state.granted.push(password)
      const slot = slots.get(userId)!
      slot.name = user
      step()
      if (!state.takesPassword && password !== 'password 1') throw new AppError('unsupported', 'it declined')
      if (!state.takesPassword && state.made === 1) throw new AppError('unsupported', 'it declined')
      slot.password = password
      step()
      Object.assign(slot, { privilege, isEnabled: true })
    },
    async withdraw(userId) {
      step()
      slots.set(userId, { ...FREE })
    },
    [Symbol.asyncDispose]: async () => undefined,
  }
  const deps: BmcSetupDeps = {
    log: quietLog,
    now: () => 0,
    pausesMs: [1, 1],
    events: { publish: async (event) => (state.events.push(event.action), { ...event, id: 1, at: 0 }) },
    openInband: async () => bmc,
    async logIn({ bmc: url }, password) {
      const user = /^ipmi:\/\/([^@]+)@10\.0\.3\.7$/.exec(url ?? '')?.[1]
      const slot = [...slots.values()].find(({ name, isEnabled }) => name === user && isEnabled)
      if (!state.letsIn || slot?.password !== password) throw new AppError('unauthorized', 'it does not let you in')
    },
    setups: {
      async put(_, setup) {
        step()
        state.setup = setup
      },
      of: async () => state.setup,
      async remove() {
        step()
        state.setup = undefined
      },
    },
    machines: {
      byId: async () => state.machine,
      bmcPassword: async () => state.password,
      async update(_, change, password) {
        step()
        state.machine = change(state.machine) ?? state.machine
        state.password = password ?? state.password
        return state.machine
      },
    },
  }
  return { state, deps, setups: createBmcSetups(deps) }
}

function machineOf(): StoredMachine {
  return {
    ...{ id: 'm', name: 'm1', macs: ['52:54:00:00:00:01'], arch: 'amd64', rank: 0, groups: [], labels: {} },
    ...{ enabled: true, hasBmcPassword: false, admission: 'accepted', cordoned: true, createdAt: 0 },
  }
}
const request = (given: object = {}) => bmcSetupRequest.parse(given)

test('bmc setup: the first free place becomes ours, and the machine is reached by it', async () => {
  const { state, setups } = world()
  const answer = await setups.setUp(state.machine, request())
  assert.deepEqual(answer, {
    outcome: 'created',
    user: 'bareboat',
    userId: 3,
    privilege: 'administrator',
    bmc: 'ipmi://bareboat@10.0.3.7',
  })
  assert.deepEqual([state.machine.bmc, state.password, state.setup], [answer.bmc, 'password 1', undefined])
  assert.equal(state.slots.get(2)!.password, 'of somebody')
  const before = structuredClone(state.slots)
  assert.equal((await setups.setUp(state.machine, request())).outcome, 'unchanged')
  assert.deepEqual([state.slots, state.made], [before, 1])
  assert.equal((await setups.setUp(state.machine, request({ rotate: true }))).outcome, 'rotated')
  assert.deepEqual([state.slots.get(3)!.password, state.password], ['password 2', 'password 2'])
  state.slots.get(3)!.privilege = 'user'
  assert.equal((await setups.setUp(state.machine, request())).outcome, 'mended')
  assert.deepEqual([state.slots.get(3)!.privilege, state.password], ['administrator', 'password 3'])
  state.machine = { ...state.machine, bmc: 'ipmi://bareboat@10.0.3.8' }
  assert.equal((await setups.setUp(state.machine, request())).outcome, 'mended')
  assert.equal(state.machine.bmc, answer.bmc)
  // A password that is kept is not said to whoever plays the machine.
  assert.deepEqual(state.granted, ['password 1', 'password 2', 'password 3'])
})

test('bmc setup: killed at any step, it is gone on with, and ends as if it had not been', async () => {
  for (const rotate of [false, true]) {
    let dieAt = 0
    for (let isOver = false; !isOver;) {
      const { state, deps, setups } = world()
      if (rotate) await setups.setUp(state.machine, request())
      state.dieAt = state.steps + ++dieAt
      isOver = await setups.setUp(state.machine, request({ rotate })).then(
        () => true,
        () => false,
      )
      state.dieAt = Infinity
      const anew = createBmcSetups(deps)
      await anew.resume(state.machine)
      assert.equal(state.setup, undefined)
      const { outcome } = await anew.setUp(state.machine, request())
      assert.ok(outcome === 'created' || outcome === 'unchanged', outcome)
      assert.deepEqual([...state.slots.values()].filter(({ name }) => name === 'bareboat').length, 1, `step ${dieAt}`)
      assert.deepEqual([state.slots.get(3)!.password, state.machine.bmc], [state.password, 'ipmi://bareboat@10.0.3.7'])
    }
    assert.ok(dieAt > 5)
  }
})

test('bmc setup: where nobody is let in, the new user goes, and an old one has its password again', async () => {
  const { state, setups } = world()
  state.letsIn = false
  await assert.rejects(
    setups.setUp(state.machine, request()),
    /user "bareboat" \(3\) on the BMC of "m1": it was removed again/,
  )
  assert.deepEqual([state.slots.get(3), state.machine.bmc, state.setup], [FREE, undefined, undefined])
  state.letsIn = true
  await setups.setUp(state.machine, request())
  state.letsIn = false
  const { password } = state
  await assert.rejects(setups.setUp(state.machine, request({ rotate: true })), /it was given its password again/)
  assert.deepEqual([state.slots.get(3)!.password, state.password, state.setup], [password, password, undefined])
  assert.deepEqual(state.events.filter((action) => action.endsWith('failed')).length, 2)
})

test('bmc setup: a BMC that refuses the password has no user of ours afterwards', async () => {
  const { state, setups } = world()
  state.takesPassword = false
  await assert.rejects(setups.setUp(state.machine, request()), ({ cause }: Error) => /declined/.test(String(cause)))
  assert.deepEqual([state.slots.get(3), state.machine.bmc, state.setup], [FREE, undefined, undefined])
})

test('bmc setup: what is not ours is refused, with what would help', async () => {
  const refused = async (options: Parameters<typeof world>[0], given: object, change: Partial<StoredMachine> = {}) => {
    const { state, setups } = world(options)
    Object.assign(state.machine, change)
    const before = structuredClone(state.slots)
    const error = await setups.setUp(state.machine, request(given)).catch((thrown: Error) => thrown)
    assert.deepEqual([state.slots, state.setup, state.steps], [before, undefined, 0])
    return String((error as Error).message)
  }
  assert.match(
    await refused({}, { user: 'admin' }),
    /user "admin" \(2\) is there, and not ours: name another with --user/,
  )
  assert.match(await refused({ places: 2 }, {}), /all places for users are taken/)
  assert.match(await refused({ ip: '' }, {}), /it has no IPv4 address on channel 1; give it one/)
  const byHand = { bmc: 'redfish://root@10.0.3.7' }
  assert.match(await refused({}, {}, byHand), /it is reached by redfish:\/\/root@10.0.3.7 already; --replace puts/)
  const { state, setups } = world()
  Object.assign(state.machine, byHand)
  assert.equal((await setups.setUp(state.machine, request({ replace: true }))).bmc, 'ipmi://bareboat@10.0.3.7')
  state.slots.get(3)!.password = 'changed by somebody'
  await assert.rejects(setups.setUp(state.machine, request()), /in with the password that is kept here; --rotate sets/)
})
