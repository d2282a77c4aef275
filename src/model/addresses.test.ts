import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addressesOf, addressOf } from './addresses.ts'
import { machineCalled } from './machine.ts'

const [A, B, C] = ['02:00:00:00:00:0a', '02:00:00:00:00:0b', '02:00:00:00:00:0c'] as const
const interfaces = [
  { mac: A, addresses: [{ ip: 'fe80::1' }, { name: 'internal', ip: '10.0.0.1' }, { ip: '10.0.0.2' }] },
  { mac: B, addresses: [] },
]

const cases = [
  { name: 'ip alone is that of each interface', machine: { ip: '10.0.0.9' }, of: { [A]: '10.0.0.9', [C]: '10.0.0.9' } },
  { name: 'the first IPv4 address of the interface', machine: { interfaces }, of: { [A]: '10.0.0.1' } },
  { name: 'an interface without one', machine: { interfaces }, of: { [B]: undefined, [C]: undefined } },
  {
    name: 'ip goes before, at the boot interface alone',
    machine: { ip: '10.0.0.9', interfaces },
    of: { [A]: '10.0.0.9', [B]: undefined },
  },
  { name: 'nothing', machine: {}, of: { [A]: undefined } },
]
for (const { name, machine, of } of cases)
  test(`addressOf: ${name}`, () => {
    for (const [mac, address] of Object.entries(of))
      assert.equal(addressOf({ macs: [A, B, C], ...machine }, mac), address)
  })

test('addressesOf has each address once', () => {
  assert.deepEqual(addressesOf({ ip: '10.0.0.2', interfaces }), ['10.0.0.2', 'fe80::1', '10.0.0.1'])
})

test('machineCalled: a name goes before what it looks like', () => {
  const machines = [
    { id: '1', name: 'a', macs: [A], xname: 'x1000c0s0b0n0', nid: 12 },
    { id: '2', name: 'nid12', macs: [B], nid: 13 },
    { id: '3', name: 'x1000c0s0b0n0', macs: [C] },
  ]
  const called = (reference: string) => machineCalled(machines, reference)?.id
  assert.deepEqual(['nid12', 'nid:12', 'nid0012', 'NID:13', 'nid:14', 'nid:'].map(called), [
    '2',
    '1',
    '1',
    '2',
    undefined,
    undefined,
  ])
  assert.deepEqual(['x1000c0s0b0n0', 'X1000C0S00B0N0', 'x1000c0s0b0'].map(called), ['3', '1', undefined])
  assert.deepEqual(['02-00-00-00-00-0B', '3', '12', ''].map(called), ['2', '3', undefined, undefined])
})
