import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WireError } from '../../src/base/errors.ts'
import { describeNdp, parseNdp, serializeNdp, type NdpPacket } from '../../src/wire/ndp/packet.ts'
import { mutate, randomFrom } from './mutate.ts'

const SEED = 4861
const ROUNDS = 110_000

const advertisement: NdpPacket = {
  type: 'advertisement',
  hopLimit: 64,
  isManaged: false,
  hasOther: true,
  routerSeconds: 1800,
  reachableMs: 0,
  retransmitMs: 0,
  sourceMac: new Uint8Array(6),
  mtu: 1500,
  prefixes: [1, 2].map((n) => ({
    prefix: new Uint8Array(16).fill(n),
    prefixBits: 64,
    isOnLink: true,
    isAutonomous: true,
    validSeconds: 1,
    preferredSeconds: 1,
  })),
}
const samples = [
  serializeNdp(advertisement),
  serializeNdp({ type: 'solicitation', sourceMac: new Uint8Array(6) }),
  serializeNdp({ type: 'solicitation' }),
]

test(`ndp: ${ROUNDS} mutated packets (seed ${SEED}) give a value or a WireError, and values survive a round trip`, () => {
  const random = randomFrom(SEED)
  let values = 0
  for (let n = 0; n < ROUNDS; n++) {
    const bytes = mutate(samples, random)
    try {
      const packet = parseNdp(bytes)
      values++
      describeNdp(packet)
      assert.deepEqual(parseNdp(serializeNdp(packet)), packet)
    } catch (error) {
      if (!(error instanceof WireError)) throw new Error(`input ${bytes.toHex()}`, { cause: error })
    }
  }
  assert.ok(values > ROUNDS / 20, `only ${values} inputs were well-formed`)
})
