import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { StoredMachine } from '../machines/ports.ts'
import { matchReport, type Identity } from './join.ts'

const MACHINE: StoredMachine = {
  ...{ id: 'm', name: 'rack1-07', macs: ['52:54:00:12:34:56'], arch: 'amd64', rank: 0, groups: [], labels: {} },
  ...{ enabled: true, hasBmcPassword: true, admission: 'accepted', cordoned: false, createdAt: 0 },
  bmc: 'ipmi://admin@10.0.3.7',
}
const aMachine = (over: Partial<StoredMachine>): StoredMachine => ({ ...MACHINE, ...over })

const UUID = '4c4c4544-0039-3010-8048-b7c04f384432'
const COMMON = '03000200-0400-0500-0006-000700080009'
const MACHINES = [
  aMachine({ id: 'a', name: 'accepted', macs: ['52:54:00:00:00:01'], uuid: UUID }),
  aMachine({ id: 'd', name: 'discovered', macs: ['52:54:00:00:00:02'], admission: 'discovered', uuid: COMMON }),
  aMachine({ id: 'r', name: 'rejected', macs: ['52:54:00:00:00:03'], admission: 'rejected' }),
]
const SERIALS = new Map([
  ['d', 'S-D'],
  ['r', 'S-R'],
])

const CASES: { name: string; says: Partial<Identity>; match: string }[] = [
  { name: 'nothing that is known', says: {}, match: 'new' },
  { name: 'the card of an accepted one', says: { bootMac: '52:54:00:00:00:01' }, match: 'known accepted' },
  {
    name: 'its card comes before the serial number of another',
    says: { bootMac: '52:54:00:00:00:01', system: { serial: 'S-D' } },
    match: 'known accepted',
  },
  { name: 'the serial number of a discovered one', says: { system: { serial: 'S-D' } }, match: 'known discovered' },
  {
    name: 'the serial number of a rejected one',
    says: { system: { serial: 'S-R' } },
    match: 'claim rejected by serial number',
  },
  { name: 'the UUID of an accepted one', says: { system: { uuid: UUID } }, match: 'claim accepted by UUID' },
  { name: 'a UUID that many boards have', says: { system: { uuid: COMMON } }, match: 'new' },
  { name: 'another card of a discovered one', says: { macs: ['52:54:00:00:00:02'] }, match: 'known discovered' },
  {
    name: 'another card of an accepted one',
    says: { macs: ['52:54:00:00:00:01'] },
    match: 'claim accepted by MAC address',
  },
]
for (const { name, says, match } of CASES)
  test(`matchReport: ${name}: ${match}`, () => {
    const identity = { bootMac: '52:54:00:00:00:99', macs: [], system: {}, ...says }
    const found = matchReport(identity, MACHINES, (machineId) => SERIALS.get(machineId))
    const words = found.kind === 'new' ? ['new'] : [found.kind, found.machine.name]
    assert.equal([...words, ...(found.kind === 'claim' ? ['by', found.by] : [])].join(' '), match)
  })
