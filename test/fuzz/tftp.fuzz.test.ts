import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { WireError } from '../../src/base/errors.ts'
import { createTransfer, negotiate } from '../../src/servers/tftp/transfer.ts'
import { describeTftp, parseTftp, serializeTftp } from '../../src/wire/tftp/packet.ts'
import { mutate, randomFrom } from './mutate.ts'

const SEED = 1350
const ROUNDS = 110_000

const options = new Map([
  ['blksize', '1468'],
  ['windowsize', '16'],
  ['tsize', '0'],
])
const samples = [
  new Uint8Array(readFileSync(new URL('../packets/tftp/tftp-69-87aa3f35d1.bin', import.meta.url))),
  serializeTftp({ op: 'rrq', name: 'snponly.efi', mode: 'octet', options }),
  serializeTftp({ op: 'oack', options }),
  serializeTftp({ op: 'error', code: 8, message: 'User aborted the transfer' }),
  serializeTftp({ op: 'data', block: 1, bytes: new Uint8Array(20) }),
  serializeTftp({ op: 'ack', block: 1 }),
]

test(`tftp: ${ROUNDS} mutated packets (seed ${SEED}) give a value or a WireError, and values survive a round trip`, () => {
  const random = randomFrom(SEED)
  let values = 0
  for (let n = 0; n < ROUNDS; n++) {
    const bytes = mutate(samples, random)
    try {
      const packet = parseTftp(bytes)
      values++
      describeTftp(packet)
      assert.deepEqual(parseTftp(serializeTftp(packet)), packet)
      if (packet.op === 'rrq') {
        const terms = negotiate(packet.options, 1e6)
        assert.ok(terms.blockBytes >= 8 && terms.blockBytes <= 1468 && terms.windowBlocks <= 64)
      }
    } catch (error) {
      if (!(error instanceof WireError)) throw new Error(`input ${bytes.toHex()}`, { cause: error })
    }
  }
  assert.ok(values > ROUNDS / 10, `only ${values} inputs were well-formed`)
})

test(`tftp: any order of acknowledgements and time-outs (seed ${SEED}) never sends past the end or more than a window`, () => {
  const random = randomFrom(SEED)
  for (let round = 0; round < 2000; round++) {
    const windowBlocks = 1 + Math.floor(random() * 64)
    const accepted = random() < 0.5 ? options : new Map<string, string>()
    const sizeBytes = Math.floor(random() * 100_000)
    const machine = createTransfer(sizeBytes, { blockBytes: 64, windowBlocks, timeoutMs: 10, accepted })
    const lastBlock = Math.floor(sizeBytes / 64) + 1
    let action = machine.start()
    for (let n = 0; n < 200 && action.kind !== 'done' && action.kind !== 'give-up'; n++) {
      if (action.kind === 'data') {
        assert.ok(action.from >= 1 && action.from <= action.to && action.to <= lastBlock)
        assert.ok(action.to - action.from < windowBlocks)
      }
      const last = action.kind === 'data' ? action.to : 0
      action =
        random() < 0.2
          ? machine.onTimeout()
          : machine.onAck((random() < 0.6 ? last : last - Math.floor(random() * 70)) & 0xffff)
    }
  }
})
