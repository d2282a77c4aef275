import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { parseEntryPoint, parseStructures } from './structures.ts'
import { parseSmbios, type Smbios } from './smbios.ts'

const SAMPLES = join(import.meta.dirname, '../../../test/packets/smbios')
const V3 = { major: 3, minor: 3 }

/** As the other decoder writes what we take of a table. */
interface Decoded {
  BIOSInformation: Record<string, string>
  SystemInformation: Record<string, string>
  BaseboardInformation: Record<string, string>
  SystemEnclosure: Record<string, string>
  ProcessorInformation: Record<string, string | number>[]
  MemoryDevices: Record<string, string | number>[]
}

for (const name of ['Dell-PowerEdge-R630-Dual-Xeon', 'SuperMicro-Dual-Xeon', 'ASRock-Single-Ryzen'])
  test(`parseSmbios reads of the table of ${name} what another decoder reads`, () => {
    const smbios = parseSmbios(readFileSync(join(SAMPLES, `${name}.dmi`)), V3)
    const decoded = JSON.parse(readFileSync(join(SAMPLES, `${name}.json`), 'utf8')) as Decoded
    assert.deepEqual(normal(smbios), withoutFiller(expected(decoded)))
  })

/** Their decoder keeps some words that say nothing. */
function withoutFiller<T>(value: T): T {
  const words = ['Unknown', 'Default string', '0123456789']
  return JSON.parse(JSON.stringify(value), (_key, each: unknown) => (words.includes(each as string) ? '' : each)) as T
}

/** Their decoder writes '' and 0 for what is not there. */
function normal({ bios, system, baseboard, chassis, processors, memory }: Smbios) {
  return {
    bios: [bios.vendor, bios.version, bios.releaseDate].map((text) => text ?? ''),
    system: [system.manufacturer, system.product, system.version, system.serial, system.sku, system.uuid].map(
      (text) => text ?? '',
    ),
    boards: [baseboard.manufacturer, baseboard.product, baseboard.serial, chassis.manufacturer, chassis.serial].map(
      (text) => text ?? '',
    ),
    processors: processors.map((p) => [
      p.socket ?? '',
      p.manufacturer ?? '',
      p.model ?? '',
      p.cores,
      p.threads,
      p.maxMhz,
    ]),
    memory: memory.map((m) => [
      ...[m.locator ?? '', m.bank ?? '', m.sizeBytes, m.type, m.speedMts],
      ...[m.manufacturer ?? '', m.serial ?? '', m.partNumber ?? ''],
    ]),
  }
}

function expected(decoded: Decoded) {
  const { BIOSInformation: bios, SystemInformation: system, BaseboardInformation: board } = decoded
  const chassis = decoded.SystemEnclosure
  return {
    bios: [bios['Vendor'], bios['Version'], bios['ReleaseDate']],
    system: ['Manufacturer', 'ProductName', 'Version', 'SerialNumber', 'SKUNumber', 'UUID'].map((key) => system[key]),
    boards: [
      ...['Manufacturer', 'Product', 'SerialNumber'].map((key) => board[key]),
      ...['Manufacturer', 'SerialNumber'].map((key) => chassis[key]),
    ],
    processors: decoded.ProcessorInformation.filter((p) => ((p['Status'] as number) & 0x40) !== 0).map((p) =>
      ['SocketDesignation', 'ProcessorManufacturer', 'ProcessorVersion', 'CoreCount', 'ThreadCount', 'MaxSpeed'].map(
        (key) => p[key],
      ),
    ),
    memory: decoded.MemoryDevices.filter((m) => (m['Size'] as number) > 0).map((m) => [
      ...[m['DeviceLocator'], m['BankLocator']],
      ((m['Size'] as number) === 0x7fff ? (m['ExtendedSize'] as number) : (m['Size'] as number)) * 2 ** 20,
      ...[{ 24: 'DDR3', 26: 'DDR4' }[m['MemoryType'] as number], m['Speed']],
      ...[m['Manufacturer'], m['SerialNumber'], m['PartNumber']],
    ]),
  }
}

test('parseSmbios: the UUID of a table before 2.6 is read as it lies', () => {
  const table = readFileSync(join(SAMPLES, 'Dell-PowerEdge-R630-Dual-Xeon.dmi'))
  assert.equal(parseSmbios(table, { major: 2, minor: 6 }).system.uuid, '4c4c4544-0039-3010-8048-b7c04f384432')
  assert.equal(parseSmbios(table, { major: 2, minor: 5 }).system.uuid, '44454c4c-3900-1030-8048-b7c04f384432')
})

test('parseSmbios: slots without a module are counted; an interface to a BMC is noticed', () => {
  const of = (name: string) => parseSmbios(readFileSync(join(SAMPLES, `${name}.dmi`)), V3)
  const [dell, ryzen] = [of('Dell-PowerEdge-R630-Dual-Xeon'), of('ASRock-Single-Ryzen')]
  assert.deepEqual([dell.memorySlots, ryzen.memorySlots, ryzen.memory.length], [24, 4, 2])
  assert.deepEqual([dell.hasIpmi, ryzen.hasIpmi], [true, false])
})

const ENTRY_POINTS = [
  { name: '2.8 (_SM_)', hex: '5f534d5f ab 1f 02 08 0001 00 0000000000', value: { major: 2, minor: 8 } },
  { name: '3.3 (_SM3_)', hex: '5f534d335f ab 18 03 03 00 01 00', value: { major: 3, minor: 3 } },
  { name: 'another anchor', hex: '5f444d495f0000000000', error: /neither _SM_ nor _SM3_/ },
  { name: 'cut short', hex: '5f534d5fab1f02', error: /minor version at offset 7: 1 bytes needed, 0 left/ },
]
for (const { name, hex, value, error } of ENTRY_POINTS)
  test(`parseEntryPoint: ${name}`, () => {
    const bytes = Buffer.from(hex.replaceAll(' ', ''), 'hex')
    if (error) assert.throws(() => parseEntryPoint(bytes), error)
    else assert.deepEqual(parseEntryPoint(bytes), value)
  })

const TABLES = [
  { name: 'nothing', hex: '', types: [] },
  {
    name: 'strings of one structure do not reach the next',
    hex: '0106000001026100620000 7f04010000 00',
    types: [1, 127],
  },
  { name: 'what follows the end of the table is not read', hex: '7f0400000000 ffff', types: [127] },
  {
    name: 'a length below that of the header',
    hex: '0103000000',
    error: /structure at offset 0 says that it has 3 bytes/,
  },
  {
    name: 'a structure past the end',
    hex: '01200000',
    error: /structure of type 1 at offset 4: 28 bytes needed, 0 left/,
  },
  { name: 'strings without an end', hex: '010500000161', error: /a string has no terminating NUL/ },
]
for (const { name, hex, types, error } of TABLES)
  test(`parseStructures: ${name}`, () => {
    const bytes = Buffer.from(hex.replaceAll(' ', ''), 'hex')
    if (error) return assert.throws(() => parseStructures(bytes), error)
    return assert.deepEqual(
      parseStructures(bytes).map(({ type }) => type),
      types,
    )
  })

test('Structure: a string that is not there, and a field that an older version has not, are undefined', () => {
  const [structure] = parseStructures(Buffer.from('0107000001030061000000', 'hex').subarray(0, 10))
  assert.deepEqual(
    [structure!.text(4), structure!.text(5), structure!.text(6), structure!.text(7)],
    ['a', undefined, undefined, undefined],
  )
  assert.deepEqual(
    [structure!.u8(3), structure!.u16(5), structure!.u16(6), structure!.u32(4)],
    [undefined, 3, undefined, undefined],
  )
})
