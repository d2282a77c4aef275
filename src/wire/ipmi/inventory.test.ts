/** Sensor records, readings, FRU inventories and log entries, by the tables of the standards. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fromHex, Reader, toHex } from '../../base/bytes.ts'
import { WireError } from '../../base/errors.ts'
import { COMMANDS } from './commands.ts'
import { parseFru } from './fru.ts'
import { checksum } from './message.ts'
import { parseSdr } from './sdr.ts'
import { parseSelEntry } from './sel.ts'
import { sensorTypeName, stateName, stateNames } from './sensor-names.ts'
import { parseFactors, readingValue, unitName, type AnalogFormat } from './sensor-reading.ts'
import { FRU_TEXT, readTextField, SDR_TEXT } from './text-field.ts'
import { suitePrivileges } from './lan-commands.ts'

const texts = [
  { name: '8-bit ASCII, blanks at the end', hex: 'c54643302020', rules: FRU_TEXT, text: 'FC0' },
  { name: 'BCD plus', hex: '434520b1', rules: FRU_TEXT, text: '4520-1' },
  { name: 'packed six-bit ASCII, the example of §13', hex: '8329dca6', rules: FRU_TEXT, text: 'IPMI' },
  { name: 'binary', hex: '03a1b2c3', rules: FRU_TEXT, text: 'a1b2c3' },
  { name: 'type 0 of an SDR', hex: '03414243', rules: SDR_TEXT, text: 'ABC' },
  { name: 'nothing', hex: 'c0', rules: FRU_TEXT, text: '' },
]
for (const { name, hex, rules, text } of texts)
  test(`a text: ${name}`, () => assert.equal(readTextField(new Reader(fromHex(hex), 'text'), rules), text))

const linear = { m: 1, b: 0, bExponent: 0, resultExponent: 0 }
const readings: { name: string; raw: number; format: Partial<AnalogFormat>; value: number | undefined }[] = [
  { name: 'unsigned', raw: 200, format: {}, value: 200 },
  { name: "two's complement", raw: 0xfb, format: { form: 'twos-complement' }, value: -5 },
  { name: "one's complement", raw: 0xfa, format: { form: 'ones-complement' }, value: -5 },
  { name: "minus zero in one's complement", raw: 0xff, format: { form: 'ones-complement' }, value: 0 },
  {
    name: 'M, B and both exponents',
    raw: 180,
    format: { factors: { m: 6, b: 12, bExponent: 1, resultExponent: -2 } },
    value: 12,
  },
  {
    name: 'tenths come without binary dust',
    raw: 3,
    format: { factors: { ...linear, resultExponent: -1 } },
    value: 0.3,
  },
  { name: 'square', raw: 30, format: { linearization: 8, factors: { ...linear, resultExponent: -1 } }, value: 9 },
  { name: 'cube root', raw: 27, format: { linearization: 11 }, value: 3 },
  { name: '2 to the x', raw: 10, format: { linearization: 6 }, value: 1024 },
  { name: '1/x of 0 is no number', raw: 0, format: { linearization: 7 }, value: undefined },
  {
    name: 'ln of less than 0 is no number',
    raw: 0xfb,
    format: { linearization: 1, form: 'twos-complement' },
    value: undefined,
  },
]
for (const { name, raw, format, value } of readings)
  test(`a reading: ${name}`, () => {
    const whole: AnalogFormat = { form: 'unsigned', linearization: 0, factors: linear, ...format }
    assert.deepEqual(readingValue(raw, whole), value)
  })

test('factors are signed, of ten and of four bits', () => {
  assert.deepEqual(parseFactors(fromHex('ffc001c000f8')), { m: -1, b: -255, bExponent: -8, resultExponent: -1 })
})

test('units in words', () => {
  assert.equal(unitName(fromHex('000100')), 'degrees C')
  assert.equal(unitName(fromHex('010000')), 'percent')
  assert.equal(unitName(fromHex('020616')), 'Watts/second')
  assert.equal(unitName(fromHex('040617')), 'Watts*minute')
  assert.equal(unitName(fromHex('181200')), 'RPM per second')
  assert.equal(unitName(fromHex('00fe00')), 'unit 254')
})

const NAME = 'ca' + Buffer.from('Inlet Temp').toString('hex')

test('a full sensor record: name, unit, format and the thresholds that can be read', () => {
  const thresholds = '322d23' + 'f1f6fb'
  const body =
    '2000010701' +
    '7f68' +
    '0101' +
    '00000000' +
    '3b00' +
    '800100' +
    '00' +
    '010000000000' +
    '000000000000' +
    thresholds +
    '0000000000' +
    NAME
  const sdr = parseSdr(fromHex(`01005101${(body.length / 2).toString(16)}${body}`))
  assert.ok(sdr.kind === 'full')
  assert.equal(sdr.name, 'Inlet Temp')
  assert.equal(sdr.unit, 'degrees C')
  assert.equal(sdr.analog?.form, 'twos-complement')
  // Bit 2 of the mask, lower non-recoverable, is off.
  assert.deepEqual(sdr.thresholds, {
    upperNonRecoverable: 0x32,
    upperCritical: 0x2d,
    upperNonCritical: 0x23,
    lowerCritical: 0xf6,
    lowerNonCritical: 0xfb,
  })
})

test('a compact and an event-only record', () => {
  const compact = parseSdr(fromHex(`080051021d20001107116740086f${'00'.repeat(17)}c25053`))
  assert.ok(compact.kind === 'compact')
  assert.deepEqual([compact.name, compact.number, compact.sensorType, compact.readingType], ['PS', 0x11, 8, 0x6f])
  const event = parseSdr(fromHex('080051030e2000110707086f00000000c25053'))
  assert.ok(event.kind === 'event-only')
  assert.deepEqual([event.name, event.sensorType, event.readingType], ['PS', 8, 0x6f])
})

test('a record that is shorter or longer than it says is refused', () => {
  assert.throws(() => parseSdr(fromHex('0100511106200080')), WireError)
  assert.throws(() => parseSdr(fromHex('01005111012000')), /2 bytes after the header, which says 1/)
  assert.deepEqual(parseSdr(fromHex('010051c0010f')), { kind: 'other', type: 0xc0 })
})

test('an inventory: a wrong header is refused, a wrong area is left out and named', () => {
  const area = (hex: string) => {
    const length = Math.ceil((hex.length / 2 + 3) / 8)
    const bytes = fromHex(`01${length.toString(16).padStart(2, '0')}${hex}`.padEnd(length * 16 - 2, '0') + '00')
    bytes[bytes.length - 1] = checksum(bytes)
    return toHex(bytes)
  }
  const board = area('19' + '000000' + 'c3414243' + 'c3444546' + 'c0' + 'c0' + 'c0' + 'c3787878' + 'c1')
  const chassis = area('17' + 'c2504e' + 'c2534e' + 'c1')
  const whole = (boardAt: number) => {
    const bytes = fromHex(`0100010${boardAt}00000000${chassis}${board}`)
    bytes[7] = checksum(bytes.subarray(0, 7))
    return bytes
  }
  const boardAt = 1 + chassis.length / 16
  assert.deepEqual(parseFru(whole(boardAt)), {
    chassis: { type: 0x17, partNumber: 'PN', serial: 'SN', custom: [] },
    board: { manufacturer: 'ABC', name: 'DEF', custom: ['xxx'] },
    problems: [],
  })
  const broken = whole(boardAt)
  broken[12]! ^= 1
  assert.deepEqual(parseFru(broken).problems, ['Cannot read FRU chassis area: checksum is wrong'])
  assert.equal(parseFru(broken).board?.name, 'DEF')
  broken[7]! ^= 1
  assert.throws(() => parseFru(broken), /FRU header: checksum is wrong/)
  assert.deepEqual(parseFru(whole(9)).problems, [
    'Cannot read FRU board area: version at offset 0: 1 bytes needed, 0 left',
  ])
})

test("log entries: a threshold, a state that ended, and a maker's own", () => {
  const threshold = parseSelEntry(fromHex('010002c0c3e16520000401010157' + '2623'))
  assert.ok(threshold.kind === 'event')
  assert.deepEqual(
    [threshold.atSeconds, threshold.offset, threshold.reading, threshold.threshold, threshold.isAsserted],
    [0x65e1c3c0, 7, 0x26, 0x23, true],
  )
  const ended = parseSelEntry(fromHex('020002c0c3e1652000040811ef03ffff'))
  assert.ok(ended.kind === 'event' && !ended.isAsserted && ended.reading === undefined)
  assert.equal(stateName(ended.sensorType, ended.readingType, ended.offset), 'Input Lost')
  assert.deepEqual(parseSelEntry(fromHex('0300e0' + '0102030405060708090a0b0c0d')), {
    kind: 'oem',
    recordId: 3,
    type: 0xe0,
    hex: '0102030405060708090a0b0c0d',
  })
  assert.throws(() => parseSelEntry(fromHex('0300010102030405060708090a0b0c0d')), /type 0x1 is reserved/)
  assert.throws(() => parseSelEntry(fromHex('0300')), /2 bytes, not 16/)
})

test('names of types and states, and numbers where the standard has none', () => {
  assert.equal(sensorTypeName(1), 'Temperature')
  assert.equal(sensorTypeName(0x2c), 'FRU State')
  assert.equal(sensorTypeName(0x60), 'type 60h')
  assert.equal(sensorTypeName(0xc7), 'OEM type C7h')
  assert.deepEqual(stateNames(0x08, 0x6f, 0b1001), ['Presence Detected', 'Input Lost'])
  assert.deepEqual(stateNames(0x08, 0x6f, 1 << 14), ['state 14'])
  assert.equal(stateName(0x02, 0x03, 1), 'State Asserted')
})

test('a password of up to 16 bytes goes in 16, a longer one in 20', () => {
  const { request } = COMMANDS.setUserPassword
  const bytes = (password: string) =>
    request.write({ userId: 3, operation: 'set', password: new TextEncoder().encode(password) })
  assert.equal(bytes('short').length, 2 + 16)
  assert.equal(bytes('a password of 20 byt').length, 2 + 20)
  assert.equal(bytes('a password of 20 byt')[0], 0x83)
  assert.equal(toHex(request.write({ userId: 3, operation: 'disable' })), '0300')
  assert.throws(() => bytes('a password of 21 bytes'), RangeError)
})

test('DCMI power, and answers of another group are not taken for it', () => {
  const { answer } = COMMANDS.getPowerReading
  const reading = answer.read(fromHex('dc' + 'b400' + '0a00' + '2c01' + '9600' + 'c0c3e165' + 'e8030000' + '40'))
  assert.deepEqual(
    [reading.currentWatts, reading.minimumWatts, reading.maximumWatts, reading.averageWatts, reading.isActive],
    [180, 10, 300, 150, true],
  )
  assert.throws(() => answer.read(fromHex('00b4000a002c019600c0c3e165e803000040')), /group 0x0 is not DCMI/)
})

test('levels of cipher suites come in pairs after a reserved byte', () => {
  assert.deepEqual(
    [...suitePrivileges(fromHex('00000311'), fromHex('004304'))],
    [
      [0, 3],
      [3, 4],
      [17, 4],
    ],
  )
})
