import assert from 'node:assert/strict'
import { test } from 'node:test'
import { closedBecause, decide, type Decision } from './admission.ts'
import type { StoredMachine } from './ports.ts'

const MACHINE: StoredMachine = {
  ...{ id: 'm', name: 'rack1-07', macs: ['52:54:00:12:34:56'], arch: 'amd64', rank: 0, groups: [], labels: {} },
  ...{ enabled: true, hasBmcPassword: true, admission: 'accepted', cordoned: false, createdAt: 0 },
  bmc: 'ipmi://admin@10.0.3.7',
}
const aMachine = (over: Partial<StoredMachine>): StoredMachine => ({ ...MACHINE, ...over })

const CASES: {
  name: string
  machine: Partial<StoredMachine>
  decision: Decision
  as?: string
  /** What is changed; undefined where nothing is. */
  change?: Partial<StoredMachine>
  error?: RegExp
}[] = [
  {
    name: 'a discovered one',
    machine: { admission: 'discovered' },
    decision: 'accept',
    change: { admission: 'accepted' },
  },
  {
    name: 'a discovered one, with a name',
    machine: { admission: 'discovered' },
    decision: 'accept',
    as: 'r7',
    change: { admission: 'accepted', name: 'r7' },
  },
  { name: 'a rejected one', machine: { admission: 'rejected' }, decision: 'accept', change: { admission: 'accepted' } },
  { name: 'an accepted one', machine: {}, decision: 'accept' },
  { name: 'an accepted one, with its name', machine: {}, decision: 'accept', as: 'rack1-07' },
  {
    name: 'an accepted one, with another name',
    machine: {},
    decision: 'accept',
    as: 'r7',
    error: /accepted under its name/,
  },
  {
    name: 'a discovered one',
    machine: { admission: 'discovered' },
    decision: 'reject',
    change: { admission: 'rejected' },
  },
  { name: 'an accepted one', machine: {}, decision: 'reject', change: { admission: 'rejected' } },
  { name: 'a rejected one', machine: { admission: 'rejected' }, decision: 'reject' },
  {
    name: 'one that runs a container',
    machine: { containerId: 'c'.repeat(64) },
    decision: 'reject',
    error: /Cannot reject machine "rack1-07": it runs container cccccccccccc; stop it first, or cordon the machine/,
  },
  { name: 'one that runs a container', machine: { containerId: 'c' }, decision: 'cordon', change: { cordoned: true } },
  { name: 'a cordoned one', machine: { cordoned: true }, decision: 'cordon' },
  { name: 'a cordoned one', machine: { cordoned: true }, decision: 'uncordon', change: { cordoned: false } },
]
for (const { name, machine, decision, as, change, error } of CASES)
  test(`decide: ${decision} ${name}: ${error ? 'refused' : change ? 'done' : 'nothing to do'}`, () => {
    const before = aMachine(machine)
    if (error) assert.throws(() => decide(before, decision, as), error)
    else assert.deepEqual(decide(before, decision, as), change && { ...before, ...change })
  })

test('closedBecause: only a machine that is accepted, enabled and not cordoned is open', () => {
  const why = (over: Partial<StoredMachine>) => closedBecause(aMachine(over))
  assert.equal(why({}), undefined)
  assert.equal(why({ enabled: false }), 'is disabled')
  assert.equal(why({ admission: 'discovered' }), 'is not accepted yet')
  assert.equal(why({ admission: 'rejected', cordoned: true }), 'is rejected')
  assert.equal(why({ cordoned: true }), 'is cordoned')
})
