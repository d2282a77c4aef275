import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { WireError } from '../../src/base/errors.ts'
import { answerOption } from '../../src/servers/nbd/handshake.ts'
import { refusalOf } from '../../src/servers/nbd/session.ts'
import {
  describeOption,
  optionCode,
  parseClientFlags,
  parseGreeting,
  parseOption,
  parseOptionReply,
  serializeOption,
  serializeOptionReply,
} from '../../src/wire/nbd/handshake.ts'
import {
  describeRequest,
  NBD_CMD,
  parseReply,
  parseRequest,
  serializeRequest,
  writeErrorChunk,
  writeHoleChunk,
} from '../../src/wire/nbd/transmission.ts'
import { mutate, randomFrom } from './mutate.ts'

const SEED = Number(process.env['SEED'] ?? 10_809)
const INPUTS = 120_000

const recorded = (name: string) => new Uint8Array(readFileSync(new URL(`../packets/nbd/${name}.bin`, import.meta.url)))
const chunk = Buffer.alloc(64)
const clients = [
  ...['libnbd-structured', 'libnbd-simple', 'nbdinfo-list', 'qemu-io'].map((name) =>
    recorded(`${name}.client`).subarray(4),
  ),
  serializeOption({ option: 'exportName', name: 'token' }),
  serializeOption({ option: 'info', name: 'ünïcode', requests: [0, 1, 2, 3] }),
  serializeOption({ option: 'other', code: 10, data: new Uint8Array(9) }),
  serializeRequest({ flags: 0, command: NBD_CMD.read, cookie: 1n, offset: 4096, length: 65_536 }),
]
const servers = [
  ...['nbdinfo-list', 'qemu-io'].map((name) => recorded(`${name}.server`).subarray(18)),
  serializeOptionReply(7, { reply: 'error', error: 'unknown', message: 'no' }),
  chunk.subarray(0, writeErrorChunk(chunk, 0, 5n, 22, 'no')).slice(),
  Uint8Array.from(chunk.subarray(0, writeHoleChunk(chunk, 0, 5n, { offset: 4096, length: 8192, isLast: true }))),
]

/** Runs one reader on one input: it yields a value (true), wants more (false) or throws a WireError. */
function tryOn(bytes: Uint8Array, work: () => boolean): boolean {
  try {
    return work()
  } catch (error) {
    if (!(error instanceof WireError)) throw new Error(`input ${bytes.toHex()}`, { cause: error })
    return false
  }
}

test(`nbd: ${INPUTS} mutated streams of clients (seed ${SEED}) give options and requests with bounds, or a WireError`, () => {
  const random = randomFrom(SEED)
  let options = 0
  let requests = 0
  for (let n = 0; n < INPUTS; n++) {
    const bytes = Buffer.from(mutate(clients, random))
    tryOn(bytes, () => (parseClientFlags(bytes), true))
    const isOption = tryOn(bytes, () => {
      const found = parseOption(bytes)
      if (found === undefined) return false
      const { option } = found
      assert.ok(found.bytes <= bytes.length && found.bytes <= 8192 + 16)
      assert.ok(optionCode(option) >= 0)
      assert.ok(!describeOption(option).includes('token'), 'names are secrets')
      answerOption(option)
      if (option.option !== 'malformed') assert.deepEqual(parseOption(serializeOption(option))?.option, option)
      return true
    })
    if (isOption) options++
    const isRequest = tryOn(bytes, () => {
      const request = parseRequest(bytes)
      assert.deepEqual(parseRequest(serializeRequest(request)), request)
      describeRequest(request)
      const isFine = refusalOf(request, 1 << 20) === undefined
      assert.ok(!isFine || request.command === NBD_CMD.flush || request.offset + request.length <= 1 << 20)
      return true
    })
    if (isRequest) requests++
  }
  assert.ok(options > INPUTS / 10, `only ${options} options`)
  assert.ok(requests > INPUTS / 50, `only ${requests} requests`)
})

test(`nbd: ${INPUTS} mutated streams of servers (seed ${SEED}) give replies or a WireError`, () => {
  const random = randomFrom(SEED)
  let replies = 0
  for (let n = 0; n < INPUTS; n++) {
    const bytes = Buffer.from(mutate(servers, random))
    tryOn(bytes, () => (parseGreeting(bytes), true))
    const isReply = tryOn(bytes, () => {
      const found = parseOptionReply(bytes)
      if (found === undefined) return false
      assert.deepEqual(parseOptionReply(serializeOptionReply(found.code, found.reply))?.reply, found.reply)
      return true
    })
    const isChunk = tryOn(bytes, () => parseReply(bytes) !== undefined)
    if (isReply || isChunk) replies++
  }
  assert.ok(replies > INPUTS / 10, `only ${replies} replies`)
})
