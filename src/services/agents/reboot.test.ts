import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { StoredMachine } from '../machines/ports.ts'
import { reboot } from './reboot.ts'

const MACHINE: StoredMachine = {
  ...{ id: 'm', name: 'rack1-07', macs: ['52:54:00:12:34:56'], arch: 'amd64', rank: 0, groups: [], labels: {} },
  ...{ enabled: true, hasBmcPassword: true, admission: 'accepted', cordoned: false, createdAt: 0 },
  bmc: 'ipmi://admin@10.0.3.7',
}
const aMachine = (over: Partial<StoredMachine>): StoredMachine => ({ ...MACHINE, ...over })

const CASES: {
  name: string
  machine?: Partial<StoredMachine>
  isInAgent?: boolean
  state?: 'on' | 'off'
  by?: string
  error?: RegExp
}[] = [
  { name: 'one in the agent', isInAgent: true, by: 'agent' },
  { name: 'one in the agent without a BMC', machine: { name: 'new' }, isInAgent: true, by: 'agent' },
  { name: 'one that is on', by: 'bmc pxe cycle' },
  { name: 'one that is off', state: 'off', error: /it is off; switch it on with: bareboat machine power rack1-07 on/ },
  {
    name: 'one with a container',
    machine: { containerId: 'c'.repeat(64) },
    isInAgent: true,
    error: /it runs container cccccccccccc; start that anew with: bareboat restart cccccccccccc/,
  },
]
for (const { name, machine = {}, isInAgent = false, state = 'on', by, error } of CASES)
  test(`reboot: ${name}: ${error ? 'refused' : by}`, async () => {
    let done = ''
    const deps = {
      agents: { reboot: () => isInAgent },
      power: {
        status: async () => state,
        setBoot: async (_: unknown, { device }: { device: string }) => void (done = ` ${device}`),
        set: async (_: unknown, action: string) => void (done += ` ${action}`),
      },
    }
    if (error) await assert.rejects(reboot(deps, aMachine(machine)), error)
    else assert.equal((await reboot(deps, aMachine(machine))) + done, by)
    if (error) assert.equal(done, '')
  })

test('reboot: a machine that nobody can reach is refused', async () => {
  const { bmc: _bmc, ...machine } = aMachine({})
  const deps = {
    agents: { reboot: () => false },
    power: { status: async () => 'on' as const, set: async () => {}, setBoot: async () => {} },
  }
  await assert.rejects(reboot(deps, machine), /it is not in the agent and has no BMC/)
})
