import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { WireError } from '../../src/base/errors.ts'
import { parseEncapsulated, parseRelayAgent } from '../../src/wire/dhcp/encapsulated.ts'
import { describe, parsePacket, serializePacket } from '../../src/wire/dhcp/packet.ts'
import { mutate, randomFrom } from './mutate.ts'

const SEED = 2131
const ROUNDS = 110_000

const folder = new URL('../packets/dhcp/', import.meta.url)
const samples = readdirSync(folder)
  .filter((file) => file.endsWith('.bin'))
  .map((file) => new Uint8Array(readFileSync(new URL(file, folder))))

test(`dhcp: ${ROUNDS} mutated packets (seed ${SEED}) give a value or a WireError, and values survive a round trip`, () => {
  const random = randomFrom(SEED)
  let values = 0
  for (let n = 0; n < ROUNDS; n++) {
    const bytes = mutate(samples, random)
    try {
      const packet = parsePacket(bytes)
      values++
      describe(packet)
      if (n % 10 === 0) assert.deepEqual(parsePacket(serializePacket(packet, 65_507)), packet)
      if (packet.options.relayAgent) parseRelayAgent(packet.options.relayAgent)
      if (packet.options.vendorSpecific) parseEncapsulated(packet.options.vendorSpecific, 'option 43')
    } catch (error) {
      if (!(error instanceof WireError)) throw new Error(`input ${bytes.toHex()}`, { cause: error })
    }
  }
  assert.ok(values > ROUNDS / 10, `only ${values} inputs were well-formed: the fuzzer is not reaching the values`)
})

test('dhcp: each recorded packet cut at each byte gives a value or a WireError', () => {
  for (const sample of samples)
    for (let length = 0; length < sample.length; length++)
      try {
        parsePacket(sample.subarray(0, length))
      } catch (error) {
        assert.ok(error instanceof WireError, String(error))
      }
})
