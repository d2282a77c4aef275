import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WireError } from '../../src/base/errors.ts'
import { parseNullReply } from '../../src/wire/rpc/null-call.ts'
import { mutate, randomFrom } from './mutate.ts'

const SEED = 5531
const ROUNDS = 110_000

const samples = [
  '80000018a1b2c3d400000001' + '00'.repeat(16),
  '8000001c' + '00000001' + '00000001' + '00000000' + '00000001' + '00000003' + 'aabbcc00' + '00000002',
].map((hex) => new Uint8Array(Buffer.from(hex, 'hex')))

test(`rpc: ${ROUNDS} mutated replies (seed ${SEED}) give a value, a wish for more, or a WireError`, () => {
  const random = randomFrom(SEED)
  let values = 0
  for (let n = 0; n < ROUNDS; n++) {
    const bytes = mutate(samples, random)
    try {
      if (parseNullReply(bytes)) values++
    } catch (error) {
      if (!(error instanceof WireError)) throw new Error(`input ${bytes.toHex()}`, { cause: error })
    }
  }
  assert.ok(values > ROUNDS / 50, `only ${values} inputs were well-formed`)
})
