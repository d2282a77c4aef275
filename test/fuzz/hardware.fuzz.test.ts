/** What a machine says of itself, SMBIOS tables included: a value or a WireError, nothing else. */
import assert from 'node:assert/strict'
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { WireError } from '../../src/base/errors.ts'
import { parseReport } from '../../src/formats/hardware/report.ts'
import { parseSmbios } from '../../src/formats/smbios/smbios.ts'
import { parseEntryPoint } from '../../src/formats/smbios/structures.ts'
import { mutate, randomFrom } from './mutate.ts'

const SEED = 0x534d42
const ROUNDS = 100_000
const SMBIOS = join(import.meta.dirname, '../packets/smbios')

const tables = readdirSync(SMBIOS)
  .filter((name) => name.endsWith('.dmi'))
  .map((name) => new Uint8Array(readFileSync(join(SMBIOS, name))))
const entry = Buffer.from('5f534d335fab180303000100', 'hex')
const smallest = tables.toSorted((a, b) => a.length - b.length)[0]!
const report = Buffer.from(
  [
    'bareboat-hardware 1',
    'system\tarch=x86_64\tkernel=6.12\tfirmware=uefi\tmemory_kib=1000000',
    'cpu\tsockets=1\tcores=2\tthreads=4\tmodel=a processor',
    'nic\tname=eth0\tmac=52:54:00:12:34:56\tdriver=e1000\tcarrier=1\tspeed=1000\tpci=0000:00:03.0',
    'disk\tname=sda\tbytes=1000\ttransport=sata\tserial=S1\trotational=0\tremovable=1',
    `smbios\tentry=${entry.toString('base64')}\ttable=${Buffer.from(smallest.subarray(0, 300)).toString('base64')}`,
    '',
  ].join('\n'),
)

const PARSERS: { name: string; samples: readonly Uint8Array[]; parse: (bytes: Uint8Array) => unknown }[] = [
  { name: 'parseSmbios', samples: tables, parse: (bytes) => parseSmbios(bytes, { major: 3, minor: 3 }) },
  {
    name: 'parseEntryPoint',
    samples: [entry, Buffer.from('5f534d5fab1f0208000100', 'hex')],
    parse: parseEntryPoint,
  },
  { name: 'parseReport', samples: [report], parse: parseReport },
]

for (const { name, samples, parse } of PARSERS)
  test(`${name} gives a value or a WireError (seed ${SEED}, ${ROUNDS} inputs)`, () => {
    const random = randomFrom(SEED)
    for (const sample of samples) assert.doesNotThrow(() => parse(sample))
    let refused = 0
    for (let round = 0; round < ROUNDS; round++) {
      const bytes = mutate(samples, random)
      try {
        parse(bytes)
      } catch (error) {
        if (!(error instanceof WireError)) assert.fail(`${String(error)} on ${Buffer.from(bytes).toString('hex')}`)
        refused++
      }
    }
    assert.ok(refused > 0 && refused < ROUNDS, `${refused} of ${ROUNDS} refused`)
  })
