import assert from 'node:assert/strict'
import { test } from 'node:test'
import { NFS_PROGRAM, parseNullReply, serializeNullCall } from './null-call.ts'

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

test('serializeNullCall: an NFSv4 NULL call as one record', () => {
  assert.equal(
    hex(serializeNullCall({ xid: 0xa1b2c3d4, program: NFS_PROGRAM, version: 4 })),
    '80000028' + 'a1b2c3d4' + '00000000' + '00000002' + '000186a3' + '00000004' + '00000000' + '00000000'.repeat(4),
  )
})

const cases = [
  { name: 'success', hex: '80000018a1b2c3d400000001' + '00'.repeat(16), value: { xid: 0xa1b2c3d4, status: 0 } },
  {
    name: 'no such version, with a verifier of 3 bytes',
    hex: '8000001c' + '00000001' + '00000001' + '00000000' + '00000001' + '00000003' + 'aabbcc00' + '00000002',
    value: { xid: 1, status: 2 },
  },
  { name: 'nothing yet', hex: '800000', value: undefined },
  { name: 'half of it', hex: '80000018a1b2c3d400000001', value: undefined },
  { name: 'several fragments', hex: '00000018', error: /several fragments/ },
  { name: 'endless', hex: 'ffffffff', error: /2147483647 bytes, over 424/ },
  { name: 'a call', hex: '80000018' + '00000001' + '00'.repeat(20), error: /no reply/ },
  { name: 'denied', hex: '80000018' + '00000001' + '00000001' + '00000001' + '00'.repeat(12), error: /denied/ },
  {
    name: 'a verifier past the end',
    hex: '80000018' + '00000001' + '00000001' + '00000000' + '00000000' + '7fffffff' + '00000000',
    error: /verifier at offset 20/,
  },
]
for (const c of cases)
  test(`parseNullReply: ${c.name}`, () => {
    const bytes = Buffer.from(c.hex, 'hex')
    if (c.error) assert.throws(() => parseNullReply(bytes), c.error)
    else assert.deepEqual(parseNullReply(bytes), c.value)
  })
