import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WireError } from '../../base/errors.ts'
import { describeNdp, parseNdp, serializeNdp, type NdpPacket } from './packet.ts'

const mac = Uint8Array.fromHex('525400000001')
const prefix = Uint8Array.fromHex('fd77' + '00'.repeat(14))
const quiet = {
  type: 'advertisement',
  hopLimit: 0,
  isManaged: false,
  hasOther: false,
  routerSeconds: 0,
  reachableMs: 0,
  retransmitMs: 0,
  prefixes: [],
} as const

const cases: { name: string; hex: string; value?: NdpPacket; error?: RegExp; oneWay?: boolean }[] = [
  {
    name: 'a solicitation',
    hex: '85000000' + '00000000' + '0101525400000001',
    value: { type: 'solicitation', sourceMac: mac },
  },
  { name: 'a solicitation without options', hex: '85000000' + '00000000', value: { type: 'solicitation' } },
  {
    name: 'an advertisement that promises nothing',
    hex: '86000000' + '00000000' + '00000000' + '00000000',
    value: quiet,
  },
  {
    name: 'an advertisement with a prefix and an MTU',
    hex:
      '86000000' +
      '40c00708' +
      '00000001' +
      '00000002' +
      '0304' +
      '40c0' +
      '00000e10' +
      '00000708' +
      '00000000' +
      'fd77' +
      '00'.repeat(14) +
      '05010000' +
      '000005dc',
    value: {
      ...quiet,
      hopLimit: 64,
      isManaged: true,
      hasOther: true,
      routerSeconds: 1800,
      reachableMs: 1,
      retransmitMs: 2,
      mtu: 1500,
      prefixes: [
        { prefix, prefixBits: 64, isOnLink: true, isAutonomous: true, validSeconds: 3600, preferredSeconds: 1800 },
      ],
    },
  },
  {
    name: 'an option that we do not know',
    hex: '85000000' + '00000000' + '1901000000000000',
    value: { type: 'solicitation' },
    oneWay: true,
  },
  { name: 'another type', hex: '80000000' + '00000000', error: /type is 128/ },
  { name: 'another code', hex: '85010000' + '00000000', error: /code is 1/ },
  { name: 'an option of length 0', hex: '85000000' + '00000000' + '0100', error: /option 1 has length 0/ },
  { name: 'an option past the end', hex: '85000000' + '00000000' + '0102000000000000', error: /option 1 at offset 10/ },
  {
    name: 'a prefix of 129 bits',
    hex: '86000000' + '0'.repeat(24) + '0304' + '81' + '00'.repeat(29),
    error: /129 bits/,
  },
]
for (const c of cases)
  test(`ndp: ${c.name}`, () => {
    const bytes = Uint8Array.fromHex(c.hex)
    if (c.error)
      return assert.throws(
        () => parseNdp(bytes),
        (e) => e instanceof WireError && c.error!.test(e.message),
      )
    assert.deepEqual(parseNdp(bytes), c.value)
    if (!c.oneWay) assert.equal(serializeNdp(c.value!).toHex(), c.hex)
  })

test('ndp: describe', () => {
  assert.equal(describeNdp({ ...quiet, hasOther: true }), 'router advertisement, lifetime 0 s O, 0 prefixes')
})
