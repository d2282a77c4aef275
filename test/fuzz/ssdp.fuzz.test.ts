import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WireError } from '../../src/base/errors.ts'
import { isRedfish, parseSsdpAnswer, REDFISH_TARGET } from '../../src/wire/ssdp/ssdp.ts'
import { mutate, randomFrom } from './mutate.ts'

const SEED = 1900
const ROUNDS = 110_000

const samples = [
  `HTTP/1.1 200 OK\r\nST:${REDFISH_TARGET}\r\nUSN:uuid:92384634-2938-2342-8820-489239905423::${REDFISH_TARGET}\r\nAL:https://10.0.3.7/redfish/v1/\r\n\r\n`,
  `HTTP/1.0 200 OK\nST: ${REDFISH_TARGET}:6\nLocation: <http://[fe80::1]:8080/>\n\n`,
].map((text) => new TextEncoder().encode(text))

test(`ssdp: ${ROUNDS} mutated answers (seed ${SEED}) give a value or a WireError`, () => {
  const random = randomFrom(SEED)
  let values = 0
  for (let n = 0; n < ROUNDS; n++) {
    const bytes = mutate(samples, random)
    try {
      const answer = parseSsdpAnswer(bytes)
      isRedfish(answer)
      assert.ok(answer.url === undefined || /^https?:/.test(answer.url))
      values++
    } catch (error) {
      if (!(error instanceof WireError)) throw new Error(`input ${bytes.toHex()}`, { cause: error })
    }
  }
  assert.ok(values > ROUNDS / 20, `only ${values} inputs were well-formed`)
})
