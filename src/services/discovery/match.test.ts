import assert from 'node:assert/strict'
import { test } from 'node:test'
import { discoveredBmc } from '../../model/discovery.ts'
import { inventory } from '../../model/inventory.ts'
import { type Candidate, type Known, matchSystems } from './match.ts'

const UUID = '36383150-3630-584d-5130-313930323042'

function machine(name: string, what: Partial<Known> = {}): Known {
  return { id: name, name, macs: [], serial: undefined, uuid: undefined, ...what }
}

function candidate(address: string, system: object, macs: string[] = []): Candidate {
  return {
    bmc: discoveredBmc.parse({ address, seenAt: 1 }),
    system: inventory.parse({
      source: 'redfish',
      at: 1,
      system,
      memory: {},
      capabilities: {},
      nics: macs.map((mac) => ({ mac })),
    }),
  }
}

const one = (known: Known[], found: Candidate) => matchSystems(known, [found])[0]!

test('matchSystems knows a machine by serial number, by UUID in any case, by MAC, and never by IP', () => {
  const known = [
    machine('a', { serial: 'S1' }),
    machine('b', { uuid: UUID.toUpperCase() }),
    machine('c', { macs: ['02:00:00:00:00:01'] }),
  ]
  assert.equal(one(known, candidate('10.0.0.1', { serial: 'S1' })).machine?.name, 'a')
  assert.equal(one(known, candidate('10.0.0.1', { uuid: UUID })).machine?.name, 'b')
  const byMac = one(known, candidate('10.0.0.1', {}, ['02:00:00:00:00:02', '02:00:00:00:00:01']))
  assert.deepEqual([byMac.machine?.name, byMac.matchedBy], ['c', ['mac']])
  const nobody = one(known, {
    ...candidate('10.0.0.1', { serial: 'S2' }),
    bmc: discoveredBmc.parse({ address: 'a', seenAt: 1 }),
  })
  assert.deepEqual([nobody.machine, nobody.matchedBy], [undefined, []])
})

test('matchSystems refuses a system that is two machines and a machine that is two systems, naming both', () => {
  const known = [machine('a', { serial: 'S1' }), machine('b', { macs: ['02:00:00:00:00:01'] })]
  assert.throws(() => one(known, candidate('10.0.0.1', { serial: 'S1' }, ['02:00:00:00:00:01'])), {
    code: 'conflict',
    message: /system "S1" of BMC "10.0.0.1": it is machine "a" \(by serial number\) and machine "b" \(by MAC address\)/,
  })
  const twice = [candidate('10.0.0.1', { serial: 'S1' }), candidate('10.0.0.2', { uuid: UUID })]
  assert.throws(() => matchSystems([machine('a', { serial: 'S1', uuid: UUID })], twice), {
    code: 'conflict',
    message: /BMC "10.0.0.2": system "S1" of BMC "10.0.0.1" is machine "a" as well/,
  })
  const card = ['02:00:00:00:00:09']
  assert.throws(() => matchSystems([], [candidate('10.0.0.1', {}, card), candidate('10.0.0.2', {}, card)]), {
    code: 'conflict',
    message: /has the same MAC address 02:00:00:00:00:09/,
  })
})

test("matchSystems takes a serial number or UUID that several have for nobody's", () => {
  const known = [machine('a', { serial: 'S1', uuid: UUID })]
  const blades = [
    candidate('10.0.0.1', { serial: 'S1', uuid: UUID }, ['02:00:00:00:00:01']),
    candidate('10.0.0.1', { serial: 'S1', uuid: UUID }, ['02:00:00:00:00:02']),
  ]
  for (const { machine: found, notes } of matchSystems(known, blades)) {
    assert.equal(found, undefined)
    assert.deepEqual(notes, [
      'serial number S1 is not its own: others have it too',
      `UUID ${UUID} is not its own: others have it too`,
    ])
  }
})

test('matchSystems tells of a board that was replaced', () => {
  const known = [machine('a', { serial: 'S1', macs: ['02:00:00:00:00:01'] })]
  const found = one(known, candidate('10.0.0.1', { serial: 'S2' }, ['02:00:00:00:00:01']))
  assert.equal(found.machine?.name, 'a')
  assert.deepEqual(found.notes, ['its serial number was S1 and is S2: was its board replaced?'])
})
