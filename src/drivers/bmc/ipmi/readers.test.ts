/** Readers of records against BMCs that take reservations back, give less than asked, or go round in circles. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fromHex } from '../../../base/bytes.ts'
import { quietLog } from '../../../base/log.ts'
import { COMMANDS } from '../../../wire/ipmi/commands.ts'
import { COMPLETION } from '../../../wire/ipmi/completion.ts'
import type { Sdr } from '../../../wire/ipmi/sdr.ts'
import { readFrus } from './fru-reader.ts'
import { guidText } from './hardware.ts'
import { Portion, type Ask } from './records.ts'
import { createSdrReader } from './sdr-reader.ts'
import { clearSel, readSel } from './sel-reader.ts'
import { judge, type Evidence } from './security-check.ts'
import { readSensors } from './sensors.ts'
import { CompletionError } from './session.ts'

type Answers = Readonly<Record<string, (data: Uint8Array) => Uint8Array | number>>

/** A BMC of a few commands by name: an answer's bytes, or a completion code. What it does not know it declines. */
function bmc(answers: Answers): { ask: Ask; asked: string[] } {
  const asked: string[] = []
  const ask: Ask = async (command, question) => {
    asked.push(command.name)
    const outcome = answers[command.name]?.(command.request.write(question)) ?? COMPLETION.unknownCommand
    if (typeof outcome === 'number') throw new CompletionError(command, outcome)
    return command.answer.read(outcome)
  }
  return { ask, asked }
}

/** Event-only records 1 to `count`, called `S1`, `S2` …; as a repository that gives at most `most` bytes at once. */
function repository(count: number, most = 255): Answers {
  const records = Array.from({ length: count }, (_, n) =>
    Uint8Array.of(n + 1, 0, 0x51, 3, 14, 0x20, 0, n, 7, 1, 1, 1, 0, 0, 0, 0, 0xc2, 0x53, 0x31 + n),
  )
  return {
    'Get SDR Repository Info': () =>
      COMMANDS.getSdrInfo.answer.write({ recordCount: count, lastAddSeconds: 7, lastEraseSeconds: 0 }),
    'Reserve SDR Repository': () => COMMANDS.reserveSdr.answer.write(1),
    'Get SDR': (data) => {
      const { recordId, offset, count: wanted } = COMMANDS.getSdr.request.read(data)
      if (wanted > most) return COMPLETION.tooManyBytes
      const index = recordId === 0 ? 0 : recordId - 1
      const nextRecordId = index + 1 < records.length ? index + 2 : 0xffff
      return COMMANDS.getSdr.answer.write({ nextRecordId, bytes: records[index]!.subarray(offset, offset + wanted) })
    },
  }
}

const names = (records: readonly Sdr[]) => records.map((record) => ('name' in record ? record.name : record.kind))

test('records are read once, and again when the BMC says that they have changed', async () => {
  let addedSeconds = 7
  const answers = repository(3)
  const { ask, asked } = bmc({
    ...answers,
    'Get SDR Repository Info': () =>
      COMMANDS.getSdrInfo.answer.write({ recordCount: 3, lastAddSeconds: addedSeconds, lastEraseSeconds: 0 }),
  })
  const read = createSdrReader(ask, new Portion(), quietLog)
  assert.deepEqual(names(await read()), ['S1', 'S2', 'S3'])
  assert.deepEqual(names(await read()), ['S1', 'S2', 'S3'])
  assert.equal(asked.filter((name) => name === 'Reserve SDR Repository').length, 1)
  addedSeconds = 8
  await read()
  assert.equal(asked.filter((name) => name === 'Reserve SDR Repository').length, 2)
})

test('a BMC that gives 8 bytes at once is asked for less and less, and then always for that', async () => {
  const { ask, asked } = bmc(repository(20, 8))
  const portion = new Portion()
  assert.equal((await createSdrReader(ask, portion, quietLog)()).length, 20)
  assert.equal(portion.bytes, 8)
  // A header and two portions for each record, and the one that was too large (14 bytes, then 8).
  assert.ok(asked.length < 3 + 20 * 3 + 4, `${asked.length} questions`)
})

test('a BMC that gives not even 8 bytes is an error, not a loop', async () => {
  const { ask } = bmc(repository(1, 1))
  await assert.rejects(createSdrReader(ask, new Portion(), quietLog)(), /cannot return that many bytes/)
})

test('a reservation that is taken back twice is made again; one that never holds is an error', async () => {
  const answers = repository(4)
  let lost = 0
  const losing = (times: number): Answers => ({
    ...answers,
    'Get SDR': (data) => {
      const { recordId, offset } = COMMANDS.getSdr.request.read(data)
      if (recordId === 3 && offset > 0 && lost < times) {
        lost++
        return COMPLETION.reservationLost
      }
      return answers['Get SDR']!(data)
    },
  })
  const { ask } = bmc(losing(2))
  assert.deepEqual(names(await createSdrReader(ask, new Portion(), quietLog)()), ['S1', 'S2', 'S3', 'S4'])
  lost = 0
  const never = bmc(losing(Infinity))
  await assert.rejects(createSdrReader(never.ask, new Portion(), quietLog)(), /reservation cancelled/)
})

test('records that go round in circles, and answers of no bytes, are refused', async () => {
  const answers = repository(2)
  const circle = bmc({
    ...answers,
    'Get SDR': (data) => {
      const part = COMMANDS.getSdr.answer.read(answers['Get SDR']!(data) as Uint8Array)
      return COMMANDS.getSdr.answer.write({ ...part, nextRecordId: 1 })
    },
  })
  await assert.rejects(createSdrReader(circle.ask, new Portion(), quietLog)(), /record 1 comes after itself/)
  const empty = bmc({
    ...answers,
    'Get SDR': () => COMMANDS.getSdr.answer.write({ nextRecordId: 0xffff, bytes: new Uint8Array() }),
  })
  await assert.rejects(createSdrReader(empty.ask, new Portion(), quietLog)(), /0 bytes at offset 0, asked for 5/)
})

test('sensors that the BMC declines to read, or is not scanning, are unavailable; those of others are not asked', async () => {
  const compact = { kind: 'compact', owner: 0x20, lun: 0, channel: 0, entity: 7, entityInstance: 1 } as const
  const sensor = (number: number, more: object = {}): Sdr => ({
    ...compact,
    number,
    sensorType: 8,
    readingType: 0x6f,
    name: `PS${number}`,
    ...more,
  })
  const { ask, asked } = bmc({
    'Get Sensor Reading': ([number]) =>
      number === 1
        ? fromHex('00400900')
        : number === 2
          ? fromHex('00e00900')
          : number === 3
            ? fromHex('00000900')
            : COMPLETION.notPresent,
  })
  const sensors = await readSensors(ask, [
    ...[1, 2, 3, 4].map((n) => sensor(n)),
    sensor(5, { owner: 0x82 }),
    sensor(6, { lun: 1 }),
  ])
  assert.deepEqual(
    sensors.map(({ name, status, states }) => [name, status, ...states]),
    [
      ['PS1', 'warning', 'Presence Detected', 'Input Lost'],
      ['PS2', 'unavailable'],
      ['PS3', 'unavailable'],
      ['PS4', 'unavailable'],
    ],
  )
  assert.equal(asked.length, 4)
})

test('an empty FRU is named as such, one in words is read by words, and a device that is busy is asked again', async () => {
  const bytes = fromHex('0100000000000' + '0ff')
  let busy = 2
  const answers: Answers = {
    'Get FRU Inventory Area Info': () => COMMANDS.getFruArea.answer.write({ sizeBytes: 8, isInWords: true }),
    'Read FRU Data': (data) => {
      if (busy-- > 0) return COMPLETION.storageBusy
      const { offset, count } = COMMANDS.readFru.request.read(data)
      const part = bytes.subarray(offset * 2, (offset + count) * 2)
      return COMMANDS.readFru.answer.write({ count: part.length / 2, bytes: part })
    },
  }
  assert.deepEqual(await readFrus(bmc(answers).ask, new Portion(), []), [{ id: 0, name: 'built in', problems: [] }])
  bytes.fill(0)
  const [blank] = await readFrus(bmc(answers).ask, new Portion(), [])
  assert.match(blank!.problems[0]!, /format version 0, not 1/)
  assert.deepEqual(await readFrus(bmc({}).ask, new Portion(), []), [])
})

const selInfo = (entryCount: number, lastEraseSeconds = 0) =>
  COMMANDS.getSelInfo.answer.write({
    entryCount,
    freeBytes: 100,
    lastAddSeconds: 0,
    lastEraseSeconds,
    hasOverflowed: true,
    takesReservations: true,
  })

test('a log that goes round in circles is refused; one that is emptied meanwhile is what was read of it', async () => {
  const entry = fromHex('010002c0c3e165200004010101572623')
  const entryAnswer = (nextRecordId: number) => COMMANDS.getSelEntry.answer.write({ nextRecordId, bytes: entry })
  const circle = bmc({ 'Get SEL Info': () => selInfo(9), 'Get SEL Entry': () => entryAnswer(1) })
  await assert.rejects(readSel(circle.ask, []), /entry 1 comes after itself/)
  let asked = 0
  const emptied = bmc({
    'Get SEL Info': () => selInfo(9),
    'Get SEL Entry': () => (asked++ === 0 ? entryAnswer(2) : COMPLETION.notPresent),
  })
  const { entries, hasOverflowed } = await readSel(emptied.ask, [])
  assert.equal(hasOverflowed, true)
  assert.deepEqual(
    entries.map(({ sensor, at }) => [sensor, at]),
    [['#01h', 0x65e1c3c0 * 1000]],
  )
})

test('a BMC that says that it cleared its log and did not is bad_peer; one that then logs that it did is not', async () => {
  const clear: Answers = {
    'Reserve SEL': () => COMMANDS.reserveSel.answer.write(5),
    'Clear SEL': () => COMMANDS.clearSel.answer.write({ isDone: true }),
  }
  const liar = bmc({ ...clear, 'Get SEL Info': () => selInfo(9) })
  await assert.rejects(clearSel(liar.ask, 'b:623'), { code: 'bad_peer', message: /took the command and still has 9/ })
  let infos = 0
  const honest = bmc({ ...clear, 'Get SEL Info': () => (infos++ === 0 ? selInfo(9) : selInfo(1, 8)) })
  await clearSel(honest.ask, 'b:623')
})

test('a GUID is read in the order of bytes that makes one of it', () => {
  const uuid = '4c4c4544-0042-4610-8051-b4c04f4d3132'
  const bytes = fromHex(uuid.replaceAll('-', ''))
  const smbios = fromHex('44454c4c' + '4200' + '1046' + '8051b4c04f4d3132')
  for (const order of [bytes.toReversed(), smbios]) assert.equal(guidText(order), uuid)
  const another = '6b29fc40-ca47-1067-b31d-00dd010662da'
  assert.equal(guidText(fromHex(another.replaceAll('-', ''))), another)
})

test('a BMC with nothing wrong has no findings, and what could not be found out is none', () => {
  const sound: Evidence = {
    openness: { authentication: undefined, takesSuite0: false },
    isVendorDefault: false,
    passwordBytes: 20,
    cipherSuite: 17,
    users: [{ id: 2, name: 'admin', privilege: 'administrator' }],
    suites: new Map([
      [0, 0],
      [3, 4],
      [17, 4],
    ]),
  }
  assert.deepEqual(judge(sound), [])
  assert.deepEqual(
    judge({
      ...sound,
      users: undefined,
      suites: undefined,
      openness: { authentication: undefined, takesSuite0: undefined },
    }),
    [],
  )
  const open = judge({
    ...sound,
    suites: new Map([
      [0, 3],
      [1, 4],
    ]),
  }).map(({ finding }) => finding)
  assert.deepEqual(open, ['cipher-suite-0', 'weak-cipher-suites'])
})
