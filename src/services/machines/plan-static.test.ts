import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AppError } from '../../base/errors.ts'
import { parseNodes } from '../../formats/nodes/nodes.ts'
import { BMCS_AND_NODES, TUTORIAL_NODES } from '../../formats/nodes/sample.ts'
import { serializeNodes } from '../../formats/nodes/write.ts'
import { machineSpec } from '../../model/machine.ts'
import { toNode } from './node-fields.ts'
import { planStatic } from './plan-static.ts'
import type { StoredMachine } from './ports.ts'

function known(name: string, spec: object = {}): StoredMachine {
  const number = name.charCodeAt(0).toString(16)
  const parsed = machineSpec.parse({ name, macs: [`02:00:00:00:00:${number}`], ...spec })
  return { ...parsed, id: `id-${name}`, hasBmcPassword: true, admission: 'accepted', cordoned: false, createdAt: 1 }
}

const plan = (text: string, machines: readonly StoredMachine[], overwrite = false) =>
  planStatic(parseNodes(text).nodes, machines, { source: 'nodes.yaml', overwrite, now: () => 7 })

const node = (fields: string, mac: string) => `- ${fields}\n  interfaces: [{mac_addr: '${mac}'}]\n`

/** The machines after a plan. */
function after(text: string, machines: readonly StoredMachine[], overwrite = false): StoredMachine[] {
  const { inserts = [], updates = [] } = plan(text, machines, overwrite).change
  const changed = new Map(updates.map((machine) => [machine.id, machine]))
  return [...machines.map((machine) => changed.get(machine.id) ?? machine), ...inserts]
}

test('planStatic: every field of a new machine is kept, and all else is as for any machine', () => {
  const [machine] = after(TUTORIAL_NODES, [])
  const { id, ...rest } = machine!
  assert.match(id, /^[0-9a-f-]{36}$/)
  assert.deepEqual(rest, {
    name: 'node01',
    macs: ['de:ad:be:ee:ee:f1', 'de:ad:be:ee:ee:f2', '02:00:00:91:31:b3'],
    interfaces: [
      { mac: 'de:ad:be:ee:ee:f1', addresses: [{ name: 'internal', ip: '172.16.0.1' }] },
      { mac: 'de:ad:be:ee:ee:f2', addresses: [{ name: 'external', ip: '10.15.3.100' }] },
      { mac: '02:00:00:91:31:b3', addresses: [{ name: 'HSN', ip: '192.168.0.1' }] },
    ],
    xname: 'x1000c1s7b0n0',
    nid: 1,
    groups: ['compute'],
    bmcMac: 'de:ca:fc:0f:ee:ee',
    bmcIp: '172.16.0.101',
    arch: 'amd64',
    rank: 0,
    labels: {},
    enabled: true,
    hasBmcPassword: false,
    admission: 'accepted',
    cordoned: false,
    createdAt: 7,
  })
})

for (const [name, text] of Object.entries({ TUTORIAL_NODES, BMCS_AND_NODES }))
  test(`planStatic: ${name} goes in and comes out the same, and going in again changes nothing`, () => {
    const machines = after(text, [])
    const file = serializeNodes(machines.map(toNode), 'yaml')
    assert.deepEqual(after(file, []).map(toNode), machines.map(toNode))
    for (const again of [text, file]) {
      const { change, report } = plan(again, machines)
      assert.deepEqual([change.inserts, change.updates, change.events], [[], [], []])
      assert.deepEqual([...new Set(report.map(({ action }) => action))], ['unchanged'])
    }
  })

test('planStatic: what was registered by hand stays with --overwrite, but for what the file says', () => {
  const hand = known('n', { bmc: 'ipmi://admin@10.0.3.7', rank: 3, groups: ['old'], ip: '10.0.0.9', nid: 4 })
  const text = `- {name: n, groups: [new], interfaces: [{mac_addr: '02:00:00:00:00:99', ip_addrs: [{ip_addr: 10.0.0.1}]}]}`
  const { change, report } = plan(text, [hand], true)
  const { ip: _ip, ...rest } = hand
  assert.deepEqual(change.updates, [
    {
      ...rest,
      groups: ['new'],
      macs: ['02:00:00:00:00:99'],
      interfaces: [{ mac: '02:00:00:00:00:99', addresses: [{ ip: '10.0.0.1' }] }],
    },
  ])
  assert.deepEqual(report[0]!.changes, [
    { field: 'ip', before: '10.0.0.9', after: '' },
    { field: 'groups', before: 'old', after: 'new' },
    { field: 'interfaces', before: '', after: '02:00:00:00:00:99 10.0.0.1' },
  ])
})

const matched = [
  { name: 'xname', text: node('name: z\n  xname: x1c0s0b0n0', '02:00:00:00:00:99'), spec: { xname: 'x1c0s0b0n0' } },
  { name: 'nid', text: node('name: z\n  nid: 3', '02:00:00:00:00:99'), spec: { nid: 3 } },
  { name: 'MAC', text: node('name: z', '02-00-00-00-00-6E'), spec: {} },
  { name: 'name', text: node('name: n', '02:00:00:00:00:99'), spec: {} },
]
for (const { name, text, spec } of matched)
  test(`planStatic: a node is the machine of its ${name}, which is changed with --overwrite alone`, () => {
    const machines = [known('m'), known('n', spec)]
    assert.throws(
      () => plan(text, machines),
      /line 1: node "[nz]" is known as machine "n" and differs: .*--overwrite$/s,
    )
    assert.deepEqual(
      plan(text, machines, true).change.updates?.map(({ id }) => id),
      ['id-n'],
    )
  })

test('planStatic: two machines exchange their cards and their nids', () => {
  const machines = [known('m', { nid: 1 }), known('n', { nid: 2 })]
  const text = node('name: m', '02:00:00:00:00:6e') + node('name: n', '02:00:00:00:00:6d')
  assert.deepEqual(
    after(text, machines, true).map(({ name, macs }) => [name, macs]),
    [
      ['m', ['02:00:00:00:00:6e']],
      ['n', ['02:00:00:00:00:6d']],
    ],
  )
})

const refused = [
  {
    name: 'a node that two machines are',
    text: node('name: m\n  nid: 5', '02:00:00:00:00:99'),
    error: /line 1: node "m" is machine "n" by its nid, but machine "m" by its name/,
  },
  {
    name: 'two nodes that one machine is',
    text: node('name: n', '02:00:00:00:00:98') + node('name: z\n  nid: 5', '02:00:00:00:00:99'),
    error: /line 3: node "z" and node "n" on line 1 are both machine "n"/,
  },
  {
    name: 'a card of a machine that the file does not have',
    text: node('name: n\n  nid: 5', '02:00:00:00:00:6d'),
    error: /MAC 02:00:00:00:00:6d of machine "n" belongs to machine "m" already/,
  },
  {
    name: 'an address of another machine',
    text: `- {name: z, interfaces: [{mac_addr: '02:00:00:00:00:99', ip_addrs: [{ip_addr: 10.0.0.77}]}]}`,
    error: /address 10.0.0.77 of machine "z" belongs to machine "m" already/,
  },
]
test('planStatic refuses a BMC that is another by the same name', () => {
  const machines = after(BMCS_AND_NODES, [])
  const text = `bmcs: [{name: bmc01, mac: '02:00:00:00:00:0f'}]
nodes: [{name: z, bmc: bmc01, interfaces: [{mac_addr: '02:00:00:00:00:99'}]}]`
  assert.throws(() => plan(text, machines), /BMC "bmc01" of machine "z" is another than that of machine "node01"/)
})

for (const { name, text, error } of refused)
  test(`planStatic refuses ${name}`, () => {
    assert.throws(
      () => plan(text, [known('m', { ip: '10.0.0.77' }), known('n', { nid: 5 })], true),
      (thrown) => thrown instanceof AppError && thrown.code === 'conflict' && error.test(thrown.message),
    )
  })
