import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WireError } from '../../base/errors.ts'
import {
  parseClientFlags,
  parseGreeting,
  parseOption,
  parseOptionReply,
  serializeClientFlags,
  serializeExportNameReply,
  serializeGreeting,
  serializeOption,
  serializeOptionReply,
  type NbdOption,
  type NbdOptionReply,
} from './handshake.ts'

const IHAVEOPT = '49484156454f5054'
const REPLY = '0003e889045565a9'
const hex = (text: string) => Buffer.from(text).toString('hex')

const options: { name: string; hex: string; value?: NbdOption; error?: RegExp }[] = [
  {
    name: 'EXPORT_NAME',
    hex: IHAVEOPT + '00000001' + '00000003' + hex('tok'),
    value: { option: 'exportName', name: 'tok' },
  },
  { name: 'ABORT', hex: IHAVEOPT + '00000002' + '00000000', value: { option: 'abort' } },
  { name: 'LIST', hex: IHAVEOPT + '00000003' + '00000000', value: { option: 'list' } },
  { name: 'STARTTLS', hex: IHAVEOPT + '00000005' + '00000000', value: { option: 'startTls' } },
  {
    name: 'INFO without requests',
    hex: IHAVEOPT + '00000006' + '00000009' + '00000003' + hex('tok') + '0000',
    value: { option: 'info', name: 'tok', requests: [] },
  },
  {
    name: 'GO with two requests',
    hex: IHAVEOPT + '00000007' + '0000000d' + '00000003' + hex('tok') + '0002' + '0003' + '0001',
    value: { option: 'go', name: 'tok', requests: [3, 1] },
  },
  { name: 'STRUCTURED_REPLY', hex: IHAVEOPT + '00000008' + '00000000', value: { option: 'structuredReply' } },
  {
    name: 'an option that we do not know',
    hex: IHAVEOPT + '0000000a' + '00000002' + 'cafe',
    value: { option: 'other', code: 10, data: Uint8Array.of(0xca, 0xfe) },
  },
  { name: 'another magic', hex: '0'.repeat(16) + '00000002' + '00000000', error: /does not begin with IHAVEOPT/ },
  { name: 'an option of 4 GiB', hex: IHAVEOPT + '00000007' + 'ffffffff', error: /length of 4294967295, at most 8192/ },
]
for (const c of options)
  test(`nbd: option ${c.name}`, () => {
    const bytes = Buffer.from(c.hex, 'hex')
    if (c.error)
      return assert.throws(
        () => parseOption(bytes),
        (e) => e instanceof WireError && c.error!.test(e.message),
      )
    assert.deepEqual(parseOption(bytes), { option: c.value, bytes: bytes.length })
    for (let cut = 0; cut < bytes.length; cut++) assert.equal(parseOption(bytes.subarray(0, cut)), undefined)
    assert.ok(c.value!.option !== 'malformed')
    assert.equal(Buffer.from(serializeOption(c.value!)).toString('hex'), c.hex)
  })

const malformed: [string, string, RegExp][] = [
  ['a LIST with data', '00000003' + '00000001' + '00', /1 bytes of data/],
  ['a GO whose name is longer than its data', '00000007' + '00000006' + '00000003' + '6161', /3 bytes needed, 2 left/],
  ['a GO whose name is longer than a name may be', '00000007' + '00000006' + 'ffffffff' + '0000', /at most 4096/],
  ['a GO with more requests than data', '00000007' + '00000006' + '00000000' + '0001', /request at offset 6/],
  ['a GO with data left over', '00000007' + '00000007' + '00000000' + '0000' + '00', /1 bytes are left over/],
  ['a name with a NUL', '00000001' + '00000002' + '6100', /a NUL in it/],
  ['a name that is not UTF-8', '00000001' + '00000001' + 'ff', /not UTF-8/],
  ['a name of 4097 bytes', '00000001' + '00001001' + '61'.repeat(4097), /4097, at most 4096/],
]
for (const [name, rest, why] of malformed)
  test(`nbd: malformed: ${name}`, () => {
    const bytes = Buffer.from(IHAVEOPT + rest, 'hex')
    const found = parseOption(bytes)
    assert.ok(found?.option.option === 'malformed' && why.test(found.option.why), JSON.stringify(found))
    assert.equal(found.bytes, bytes.length, 'the next option begins behind it')
  })

const replies: { name: string; hex: string; code: number; value?: NbdOptionReply; error?: RegExp }[] = [
  { name: 'ACK', code: 7, hex: REPLY + '00000007' + '00000001' + '00000000', value: { reply: 'ack' } },
  {
    name: 'SERVER',
    code: 3,
    hex: REPLY + '00000003' + '00000002' + '00000007' + '00000003' + hex('tok'),
    value: { reply: 'server', name: 'tok' },
  },
  {
    name: 'INFO_EXPORT',
    code: 7,
    hex: REPLY + '00000007' + '00000003' + '0000000c' + '0000' + '0000000100000000' + '0183',
    value: { reply: 'info', info: { info: 'export', sizeBytes: 2 ** 32, flags: 0x183 } },
  },
  {
    name: 'INFO_NAME',
    code: 6,
    hex: REPLY + '00000006' + '00000003' + '00000005' + '0001' + hex('tok'),
    value: { reply: 'info', info: { info: 'name', text: 'tok' } },
  },
  {
    name: 'INFO_DESCRIPTION',
    code: 6,
    hex: REPLY + '00000006' + '00000003' + '00000006' + '0002' + hex('root'),
    value: { reply: 'info', info: { info: 'description', text: 'root' } },
  },
  {
    name: 'INFO_BLOCK_SIZE',
    code: 7,
    hex: REPLY + '00000007' + '00000003' + '0000000e' + '0003' + '00000001' + '00001000' + '02000000',
    value: { reply: 'info', info: { info: 'blockSize', minBytes: 1, preferredBytes: 4096, maxBytes: 1 << 25 } },
  },
  {
    name: 'ERR_UNKNOWN',
    code: 7,
    hex: REPLY + '00000007' + '80000006' + '00000002' + hex('no'),
    value: { reply: 'error', error: 'unknown', message: 'no' },
  },
  { name: 'another magic', code: 0, hex: '00'.repeat(20), error: /its magic/ },
  {
    name: 'of an extension',
    code: 10,
    hex: REPLY + '0000000a' + '00000004' + '00000002' + 'cafe',
    value: { reply: 'other', type: 4, data: Uint8Array.of(0xca, 0xfe) },
  },
  {
    name: 'information 9',
    code: 7,
    hex: REPLY + '00000007' + '00000003' + '00000002' + '0009',
    error: /one of 0 to 3/,
  },
]
for (const c of replies)
  test(`nbd: reply ${c.name}`, () => {
    const bytes = Buffer.from(c.hex, 'hex')
    if (c.error)
      return assert.throws(
        () => parseOptionReply(bytes),
        (e) => e instanceof WireError && c.error!.test(e.message),
      )
    assert.deepEqual(parseOptionReply(bytes), { code: c.code, reply: c.value, bytes: bytes.length })
    assert.equal(parseOptionReply(bytes.subarray(0, -1)), undefined)
    assert.equal(Buffer.from(serializeOptionReply(c.code, c.value!)).toString('hex'), c.hex)
  })

test('nbd: the greeting offers fixed newstyle without zeros, and flags that were not offered are refused', () => {
  assert.equal(Buffer.from(serializeGreeting()).toString('hex'), '4e42444d41474943' + IHAVEOPT + '0003')
  assert.deepEqual(parseGreeting(serializeGreeting()), { isFixedNewstyle: true, hasNoZeroes: true })
  assert.throws(
    () => parseGreeting(Buffer.from('4e42444d41474943' + '0000420281861253' + '0003', 'hex')),
    /not newstyle/,
  )
  for (const [isFixedNewstyle, hasNoZeroes] of [
    [true, true],
    [true, false],
    [false, false],
  ] as const) {
    const flags = { isFixedNewstyle, hasNoZeroes }
    assert.deepEqual(parseClientFlags(serializeClientFlags(flags)), flags)
  }
  assert.throws(() => parseClientFlags(Buffer.from('00000004', 'hex')), /0x4 has flags that were not offered/)
})

test('nbd: the answer to EXPORT_NAME has 124 zeros unless the client wants none', () => {
  const [with124, without] = [false, true].map((hasNoZeroes) =>
    serializeExportNameReply(65_536, 0x103, { isFixedNewstyle: true, hasNoZeroes }),
  )
  assert.equal(Buffer.from(without!).toString('hex'), '0000000000010000' + '0103')
  assert.equal(Buffer.from(with124!).toString('hex'), Buffer.from(without!).toString('hex') + '00'.repeat(124))
})
