import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import {
  CLIENT_FLAGS_BYTES,
  parseClientFlags,
  parseGreeting,
  parseOption,
  parseOptionReply,
  serializeOption,
  type NbdOption,
  type NbdOptionReply,
} from './handshake.ts'
import { NBD_CMD, parseReply, parseRequest, REQUEST_BYTES, type NbdReply, type NbdRequest } from './transmission.ts'

/** Both sides of a recorded connection as far as we know its words (`test/packets/nbd/README.md`). */
function read(name: string) {
  const side = (of: string) => readFileSync(new URL(`../../../test/packets/nbd/${name}.${of}.bin`, import.meta.url))
  let client = side('client')
  let server = side('server')
  const fixed = parseGreeting(server.subarray(0, 18)).isFixedNewstyle
  const flags = parseClientFlags(client.subarray(0, CLIENT_FLAGS_BYTES))
  client = client.subarray(CLIENT_FLAGS_BYTES)
  server = server.subarray(18)
  const options: NbdOption[] = []
  const optionReplies: NbdOptionReply[] = []
  for (let isOver = false; !isOver && client.length > 0;) {
    const { option, bytes } = parseOption(client)!
    assert.ok(option.option !== 'malformed')
    assert.deepEqual(Buffer.from(serializeOption(option)), client.subarray(0, bytes))
    client = client.subarray(bytes)
    options.push(option)
    // nbd-server ends without an answer to ABORT.
    for (let isLast = server.length === 0; !isLast;) {
      const answered = parseOptionReply(server)!
      server = server.subarray(answered.bytes)
      optionReplies.push(answered.reply)
      isLast = answered.reply.reply === 'ack' || answered.reply.reply === 'error'
      isOver = option.option === 'go' && answered.reply.reply === 'ack'
    }
  }
  const requests: NbdRequest[] = []
  const replies: NbdReply[] = []
  for (; client.length > 0; client = client.subarray(REQUEST_BYTES)) requests.push(parseRequest(client))
  while (server.length > 0) {
    const { reply, bytes } = parseReply(server)!
    replies.push(reply)
    const request = requests.find(({ cookie }) => cookie === reply.cookie)
    const dataBytes =
      reply.kind === 'data' ? reply.length : reply.kind === 'simple' && reply.error === 0 ? request!.length : 0
    server = server.subarray(bytes + dataBytes)
  }
  return { fixed, flags, options, optionReplies, requests, replies }
}

test('nbd: libnbd against nbdkit with structured replies, as recorded', () => {
  const { fixed, flags, options, optionReplies, requests, replies } = read('libnbd-structured')
  assert.ok(fixed && flags.isFixedNewstyle && flags.hasNoZeroes)
  assert.deepEqual(
    options.map(({ option }) => option),
    ['structuredReply', 'go'],
  )
  const info = optionReplies.flatMap((reply) => (reply.reply === 'info' ? [reply.info] : []))
  assert.ok(info.some((one) => one.info === 'export' && one.sizeBytes === 65_536))
  assert.deepEqual(
    requests.map(({ command, offset, length }) => [command, offset, length]),
    [
      [NBD_CMD.read, 4088, 16],
      [NBD_CMD.read, 8192, 8192],
      [NBD_CMD.read, 65_536, 512],
      [NBD_CMD.disconnect, 0, 0],
    ],
  )
  assert.deepEqual(
    replies.map(({ kind }) => kind),
    ['data', 'data', 'error'],
  )
})

test('nbd: libnbd against nbd-server with simple replies, as recorded', () => {
  const { options, replies } = read('libnbd-simple')
  assert.deepEqual(
    options.map(({ option }) => option),
    ['go'],
  )
  assert.deepEqual(
    replies.map((reply) => reply.kind === 'simple' && reply.error),
    [0, 22],
  )
})

test('nbd: nbdinfo asks nbd-server for the list of exports, as recorded', () => {
  const { options, optionReplies } = read('nbdinfo-list')
  assert.ok(options.some(({ option }) => option === 'list'))
  assert.ok(optionReplies.some((reply) => reply.reply === 'server' && reply.name === 'tok'))
})

test('nbd: qemu-io against nbdkit, as recorded', () => {
  const { options, requests } = read('qemu-io')
  assert.ok(options.some((option) => option.option === 'go' && option.requests.includes(3)))
  assert.ok(requests.some(({ command }) => command === NBD_CMD.read))
  assert.equal(requests.at(-1)?.command, NBD_CMD.disconnect)
})
