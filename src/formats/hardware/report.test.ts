import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { MAX_REPORT_BYTES, parseReport } from './report.ts'

const dmi = readFileSync(
  join(import.meta.dirname, '../../../test/packets/smbios/Dell-PowerEdge-R630-Dual-Xeon.dmi'),
).toString('base64')
const entry = Buffer.from('5f534d335fab180303000100', 'hex').toString('base64')
const EMPTY = { system: {}, cpu: {}, nics: [], pci: [], disks: [], notes: [] }
const report = (...lines: string[]): Uint8Array => Buffer.from(['bareboat-hardware 1', ...lines, ''].join('\n'))

const CASES = [
  { name: 'nothing but its version', lines: [], value: EMPTY },
  {
    name: 'an interface and a disk',
    lines: [
      'nic\tname=eth0\tmac=52:54:00:12:34:56\tdriver=e1000\tcarrier=1\tspeed=1000\tpci=0000:00:03.0',
      'disk\tname=sda\tbytes=1000204886016\ttransport=sata\tmodel=A = B\tserial=S-1\trotational=0\tremovable=0',
    ],
    value: {
      ...EMPTY,
      nics: [
        { name: 'eth0', mac: '52:54:00:12:34:56', driver: 'e1000', carrier: true, speed: 1000, pci: '0000:00:03.0' },
      ],
      disks: [
        {
          ...{ name: 'sda', bytes: 1_000_204_886_016, transport: 'sata', model: 'A = B', serial: 'S-1' },
          ...{ rotational: false, removable: false },
        },
      ],
    },
  },
  {
    name: 'kinds and names of a newer kit are skipped',
    lines: ['flux\tcapacitor=1', 'tpm\tversion=2\tvendor=x', '__proto__\ta=b'],
    value: { ...EMPTY, tpm: { version: '2' } },
  },
  {
    name: 'numbers that drivers write for "unknown" are not there',
    lines: ['nic\tspeed=-1', 'nic\tspeed=4294967295', 'nic\tcarrier=\tname='],
    value: { ...EMPTY, nics: [{}, {}, {}] },
  },
  {
    name: 'an SMBIOS table that is broken leaves a note',
    lines: [`smbios\tentry=${entry}\ttable=AQM=`, 'cpu\tthreads=4'],
    value: {
      ...EMPTY,
      cpu: { threads: 4 },
      notes: ['Cannot read SMBIOS table: structure at offset 0 says that it has 3 bytes'],
    },
  },
  { name: 'a field without a name', lines: ['cpu\t=4'], error: /line 2 has a field without a name/ },
  {
    name: 'a value that is not printable',
    lines: ['', 'cpu\tmodel=a\u0007'],
    error: /"model" in line 3 is not up to 512/,
  },
  {
    name: 'a value that is too long',
    lines: [`cpu\tmodel=${'x'.repeat(513)}`],
    error: /"model" in line 2 is not up to 512/,
  },
  { name: 'too many lines', lines: Array.from({ length: 4096 }, () => 'cpu'), error: /4097 lines, at most 4096/ },
]
for (const { name, lines, value, error } of CASES)
  test(`parseReport: ${name}`, () => {
    if (error) assert.throws(() => parseReport(report(...lines)), error)
    else assert.deepEqual(parseReport(report(...lines)), value)
  })

test('parseReport: the SMBIOS table is read with the version of its entry point', () => {
  const { smbios, notes } = parseReport(report(`smbios\tentry=${entry}\ttable=${dmi}`))
  assert.deepEqual([smbios?.system.serial, smbios?.memorySlots, notes], ['790H8D2', 24, []])
})

test('parseReport: what is no report, and one that is too large, is refused', () => {
  assert.throws(() => parseReport(Buffer.from('GET / HTTP/1.1\n')), /does not begin with "bareboat-hardware 1"/)
  assert.throws(() => parseReport(new Uint8Array(MAX_REPORT_BYTES + 1)), /at most 524288 are read/)
})
