import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WireError } from '../../src/base/errors.ts'
import { describeMagicPacket, parseMagicPacket, serializeMagicPacket } from '../../src/wire/wol/packet.ts'
import { mutate, randomFrom } from './mutate.ts'

const SEED = 20_213
const ROUNDS = 110_000

const samples = [
  serializeMagicPacket({ mac: '52:54:00:12:34:56' }),
  serializeMagicPacket({ mac: '52:54:00:12:34:56', password: new Uint8Array(6) }),
  serializeMagicPacket({ mac: '00:00:00:00:00:00', password: new Uint8Array(4) }),
]

test(`wol: ${ROUNDS} mutated packets (seed ${SEED}) give a value or a WireError, and values survive a round trip`, () => {
  const random = randomFrom(SEED)
  let values = 0
  for (let n = 0; n < ROUNDS; n++) {
    const bytes = mutate(samples, random)
    try {
      const packet = parseMagicPacket(bytes)
      values++
      describeMagicPacket(packet)
      assert.deepEqual(serializeMagicPacket(packet), Uint8Array.from(bytes))
    } catch (error) {
      if (!(error instanceof WireError)) throw new Error(`input ${bytes.toHex()}`, { cause: error })
    }
  }
  assert.ok(values > ROUNDS / 100, `only ${values} inputs were well-formed`)
})
