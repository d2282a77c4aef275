/** Bytes from a BMC, or from who plays one: a value or a WireError, nothing else. The corpus is test/packets/ipmi. */
import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fromHex } from '../../src/base/bytes.ts'
import { AppError, WireError } from '../../src/base/errors.ts'
import { parseBmcUrl } from '../../src/drivers/bmc/open.ts'
import { parseBootFlags, parseBootParameter } from '../../src/wire/ipmi/boot-options.ts'
import { CIPHER_SUITES, parseCipherSuiteRecords } from '../../src/wire/ipmi/cipher-suites.ts'
import { COMMANDS } from '../../src/wire/ipmi/commands.ts'
import { parseFru } from '../../src/wire/ipmi/fru.ts'
import { decryptPayload, type SessionKeys } from '../../src/wire/ipmi/keys.ts'
import * as lan from '../../src/wire/ipmi/lan-commands.ts'
import { parseIpmiRequest, parseIpmiResponse } from '../../src/wire/ipmi/message.ts'
import * as rakp from '../../src/wire/ipmi/rakp.ts'
import { parseSdr } from '../../src/wire/ipmi/sdr.ts'
import { parseSelEntry } from '../../src/wire/ipmi/sel.ts'
import { readingValue } from '../../src/wire/ipmi/sensor-reading.ts'
import { openPacket, parseSessionPacket, sealPacket } from '../../src/wire/ipmi/session-packet.ts'
import { parseSol } from '../../src/wire/ipmi/sol.ts'
import { parseRawAnswer } from '../../src/wire/ipmi/raw-text.ts'
import { parseRmcp } from '../../src/wire/rmcp/rmcp.ts'
import { SIM_INVENTORY } from '../fakes/ipmi-inventory.ts'
import { createMutator } from './mutate.ts'

const SEED = Number(process.env['SEED'] ?? 20)
const ROUNDS = 8000
const keys: SessionKeys = {
  suite: CIPHER_SUITES[17],
  sik: new Uint8Array(32),
  k1: new Uint8Array(32).fill(1),
  k2: new Uint8Array(32).fill(2),
}
const iv = new Uint8Array(16)

const corpus = globSync(join(import.meta.dirname, '../packets/ipmi/*.txt')).flatMap((file) =>
  [...readFileSync(file, 'utf8').matchAll(/^[<>] ([0-9a-f]+)$/gm)].map((match) => fromHex(match[1]!)),
)
/** What stands inside: session packets and payloads, so that mutations reach the inner parsers. */
const inner = corpus.flatMap((bytes) => [bytes.subarray(4), bytes.subarray(16)])

const parsers: Record<string, (bytes: Uint8Array) => unknown> = {
  parseRmcp,
  datagram: (bytes) => {
    const message = parseRmcp(bytes)
    if (message.kind !== 'ipmi') return message
    const packet = parseSessionPacket(message.body)
    return packet.format === 'v2.0' ? openPacket(keys, packet) : parseIpmiRequest(packet.payload)
  },
  parseSessionPacket,
  'a rightly signed packet': (bytes) => {
    const payload = bytes.subarray(0, 200)
    const packet = parseSessionPacket(sealPacket(keys, { payloadType: 'ipmi', sessionId: 1, sequence: 1, payload, iv }))
    assert.ok(packet.format === 'v2.0')
    return parseIpmiResponse(openPacket(keys, packet))
  },
  decryptPayload: (bytes) => decryptPayload(keys, bytes),
  parseIpmiRequest,
  parseIpmiResponse,
  parseOpenSessionRequest: rakp.parseOpenSessionRequest,
  parseOpenSessionResponse: rakp.parseOpenSessionResponse,
  parseRakp1: rakp.parseRakp1,
  parseRakp2: rakp.parseRakp2,
  parseRakp3: rakp.parseRakp3,
  parseRakp4: rakp.parseRakp4,
  parseSol,
  parseBootFlags,
  parseBootParameter,
  parseCipherSuiteRecords,
  parseIpv4Parameter: lan.parseIpv4Parameter,
  parseMacParameter: lan.parseMacParameter,
  parseVlanParameter: lan.parseVlanParameter,
  parseIpv6Status: lan.parseIpv6Status,
  parseIpv6Parameter: lan.parseIpv6Parameter,
  parseRawAnswer: (bytes) => {
    const text = `rcvd: 44 00 ${bytes.subarray(0, 20).toHex().toUpperCase().replaceAll(/../g, '$& ')}`
    const at = bytes[0]! % text.length
    return parseRawAnswer(text.slice(0, at) + String.fromCharCode(bytes[1] ?? 0) + text.slice(at + (at & 1)), 0x44)
  },
  parseBmcUrl: (bytes) => parseBmcUrl(`ipmi://${Buffer.from(bytes.subarray(0, 40)).toString('latin1')}`),
  ...Object.fromEntries(
    Object.values(COMMANDS).map((c) => [`${c.name} request`, (bytes: Uint8Array) => c.request.read(bytes)]),
  ),
  ...Object.fromEntries(
    Object.values(COMMANDS).map((c) => [`${c.name} answer`, (bytes: Uint8Array) => c.answer.read(bytes)]),
  ),
}

test(`every IPMI parser yields a value or a WireError (seed ${SEED}, ${ROUNDS * Object.keys(parsers).length} inputs)`, () => {
  assert.ok(corpus.length > 50)
  const random = mulberry32(SEED)
  const below = (n: number) => Math.floor(random() * n)
  const values = new Set<string>()
  for (let round = 0; round < ROUNDS; round++)
    for (const [name, parse] of Object.entries(parsers)) {
      const bytes = mutated(
        (random() < 0.5 ? corpus : inner)[below(round % 2 ? corpus.length : 40)] ?? corpus[0]!,
        below,
      )
      try {
        parse(bytes)
        values.add(name)
      } catch (error) {
        if (error instanceof WireError || error instanceof AppError) continue
        assert.fail(`${name} of ${bytes.toHex()}: ${String(error)}`)
      }
    }
  // Parsers of signed or summed bytes seldom yield a value here; that the plain ones do shows that the inputs reach them.
  for (const name of [
    'parseRmcp',
    'parseSessionPacket',
    'parseRakp1',
    'parseRakp2',
    'parseSol',
    'parseOpenSessionResponse',
  ])
    assert.ok(values.has(name), `${name} never yielded a value`)
})

test('every recorded datagram, cut at each byte, yields a value or a WireError', () => {
  for (const bytes of corpus)
    for (let length = 0; length <= bytes.length; length++)
      for (const parse of [parsers['datagram']!, parsers['parseRakp2']!, parsers['parseOpenSessionResponse']!])
        try {
          parse(bytes.subarray(0, length))
        } catch (error) {
          assert.ok(error instanceof WireError, `${bytes.toHex()} cut at ${length}: ${String(error)}`)
        }
})

/** Records of an inventory, and the readings that follow from a sensor record whatever it says. */
const records: Record<string, { samples: readonly Uint8Array[]; parse: (bytes: Uint8Array) => unknown }> = {
  parseSdr: {
    samples: SIM_INVENTORY.sdrs,
    parse(bytes) {
      const sdr = parseSdr(bytes)
      if (sdr.kind === 'full' && sdr.analog)
        for (const raw of [0, 1, 0x7f, 0x80, 0xff])
          assert.ok(Number.isFinite(readingValue(raw, sdr.analog) ?? 0), `reading ${raw} of ${bytes.toHex()}`)
      return sdr
    },
  },
  parseSelEntry: {
    samples: SIM_INVENTORY.sel.map((entry) => Uint8Array.of(1, 0, ...entry)),
    parse: parseSelEntry,
  },
  parseFru: { samples: [SIM_INVENTORY.fru], parse: parseFru },
}

for (const [name, { samples, parse }] of Object.entries(records))
  test(`${name}: 100,000 inputs yield a value or a WireError (seed ${SEED})`, () => {
    const { mutate, pick, random, below } = createMutator(SEED)
    let values = 0
    for (let round = 0; round < 100_000; round++) {
      const bytes = below(20) === 0 ? random(300) : mutate(pick(samples))
      try {
        parse(bytes)
        values++
      } catch (error) {
        assert.ok(error instanceof WireError, `${bytes.toHex()}: ${String(error)}`)
      }
    }
    assert.ok(values > 1000, `${values} values`)
  })

function mutated(bytes: Uint8Array, below: (n: number) => number): Uint8Array {
  const kind = below(4)
  if (kind === 0) return Uint8Array.from({ length: below(80) }, () => below(256))
  const copy = bytes.slice(0, kind === 1 ? below(bytes.length + 1) : bytes.length)
  for (let n = below(4); n > 0 && copy.length > 0; n--) copy[below(copy.length)] = below(3) === 0 ? 0xff : below(256)
  return copy
}

/** Numbers from 0 to 1 that are the same for the same seed. */
function mulberry32(seed: number): () => number {
  let a = seed
  return () => {
    a = (a + 0x6d2b79f5) | 0
    let t = Math.imul(a ^ (a >>> 15), 1 | a)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}
