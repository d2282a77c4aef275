import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WireError } from '../../base/errors.ts'
import {
  describeRequest,
  NBD_CMD,
  NBD_CMD_FLAG,
  NBD_ERROR,
  parseReply,
  parseRequest,
  serializeRequest,
  writeDataChunk,
  writeDoneChunk,
  writeErrorChunk,
  writeHoleChunk,
  writeSimpleReply,
  type NbdReply,
  type NbdRequest,
} from './transmission.ts'

const COOKIE = 'fedcba9876543210'
const cookie = 0xfedcba9876543210n

const requests: { name: string; hex: string; value: NbdRequest; text: string; oneWay?: boolean }[] = [
  {
    name: 'a read',
    hex: '25609513' + '0000' + '0000' + COOKIE + '0000000100001000' + '00020000',
    value: { flags: 0, command: NBD_CMD.read, cookie, offset: 2 ** 32 + 4096, length: 131_072 },
    text: 'read of 131072 bytes at 4294971392',
  },
  {
    name: 'a read in one piece',
    hex: '25609513' + '0004' + '0000' + COOKIE + '0000000000000000' + '00000200',
    value: { flags: NBD_CMD_FLAG.df, command: NBD_CMD.read, cookie, offset: 0, length: 512 },
    text: 'read of 512 bytes at 0, flags 0x4',
  },
  {
    name: 'a command that there is not',
    hex: '25609513' + '0000' + '0063' + COOKIE + '0000000000000000' + '00000000',
    value: { flags: 0, command: 99, cookie, offset: 0, length: 0 },
    text: 'command 99 of 0 bytes at 0',
  },
  {
    name: 'an offset beyond all exports',
    hex: '25609513' + '0000' + '0000' + COOKIE + 'ffffffffffffffff' + '00000001',
    value: { flags: 0, command: NBD_CMD.read, cookie, offset: Number.MAX_SAFE_INTEGER, length: 1 },
    text: 'read of 1 bytes at 9007199254740991',
    oneWay: true,
  },
]
for (const c of requests)
  test(`nbd: request: ${c.name}`, () => {
    const bytes = Buffer.from(c.hex, 'hex')
    assert.deepEqual(parseRequest(bytes), c.value)
    assert.deepEqual(parseRequest(Buffer.concat([Buffer.alloc(3), bytes]), 3), c.value)
    assert.equal(describeRequest(c.value), c.text)
    if (!c.oneWay) assert.equal(serializeRequest(c.value).toString('hex'), c.hex)
    assert.throws(() => parseRequest(bytes.subarray(1)), WireError)
  })

test('nbd: what does not begin with the magic of a request is none', () => {
  assert.throws(() => parseRequest(Buffer.alloc(28)), /Cannot read NBD request: its magic is 0x0/)
})

const place = { offset: 2 ** 32, length: 4096 }
const replies: { name: string; hex: string; write: (into: Buffer) => number; value: NbdReply }[] = [
  {
    name: 'simple',
    hex: '67446698' + '00000000' + COOKIE,
    write: (into) => writeSimpleReply(into, 0, cookie, NBD_ERROR.none),
    value: { kind: 'simple', cookie, error: 0 },
  },
  {
    name: 'simple with an error',
    hex: '67446698' + '00000001' + COOKIE,
    write: (into) => writeSimpleReply(into, 0, cookie, NBD_ERROR.EPERM),
    value: { kind: 'simple', cookie, error: 1 },
  },
  {
    name: 'NONE',
    hex: '668e33ef' + '0001' + '0000' + COOKIE + '00000000',
    write: (into) => writeDoneChunk(into, 0, cookie),
    value: { kind: 'none', cookie, isLast: true },
  },
  {
    name: 'OFFSET_DATA, more to come',
    hex: '668e33ef' + '0000' + '0001' + COOKIE + '00001008' + '0000000100000000',
    write: (into) => writeDataChunk(into, 0, cookie, { ...place, isLast: false }),
    value: { kind: 'data', cookie, ...place, isLast: false },
  },
  {
    name: 'OFFSET_HOLE, the last',
    hex: '668e33ef' + '0001' + '0002' + COOKIE + '0000000c' + '0000000100000000' + '00001000',
    write: (into) => writeHoleChunk(into, 0, cookie, { ...place, isLast: true }),
    value: { kind: 'hole', cookie, ...place, isLast: true },
  },
  {
    name: 'ERROR',
    hex: '668e33ef' + '0001' + '8001' + COOKIE + '00000008' + '00000016' + '0002' + '6e6f',
    write: (into) => writeErrorChunk(into, 0, cookie, NBD_ERROR.EINVAL, 'no'),
    value: { kind: 'error', cookie, error: 22, message: 'no' },
  },
]
for (const c of replies)
  test(`nbd: reply: ${c.name}`, () => {
    const into = Buffer.alloc(100)
    const end = c.write(into)
    assert.equal(into.toString('hex', 0, end), c.hex)
    assert.deepEqual(parseReply(into), { reply: c.value, bytes: end })
    for (let cut = 0; cut < end; cut++) assert.equal(parseReply(into.subarray(0, cut)), undefined)
  })

const bad: [string, string, RegExp][] = [
  ['another magic', '00000000' + '00000000' + COOKIE, /its magic/],
  ['a chunk of a type that we never send', '668e33ef' + '0001' + '0005' + COOKIE + '00000000', /chunk of type 5/],
  ['a hole of another size', '668e33ef' + '0001' + '0002' + COOKIE + '0000000d' + '00'.repeat(13), /hole of 13/],
  ['data beyond any request', '668e33ef' + '0001' + '0001' + COOKIE + 'ffffffff' + '00'.repeat(8), /type 1 with/],
  ['a message that does not fit', '668e33ef' + '0001' + '8001' + COOKIE + '00000006' + '000000160001', /message of 1/],
]
for (const [name, text, why] of bad)
  test(`nbd: not a reply: ${name}`, () => assert.throws(() => parseReply(Buffer.from(text, 'hex')), why))
