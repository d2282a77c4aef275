import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WireError } from '../../base/errors.ts'
import { parseEncapsulated, parseRelayAgent, serializeEncapsulated, PXE_TAKE_BOOT_FILE } from './encapsulated.ts'
import { parseOptions, serializeOptions, type Options } from './options.ts'

const cases: { name: string; hex: string; value?: Options; error?: RegExp; oneWay?: boolean }[] = [
  {
    name: 'a router and a lease',
    hex: '0304c0a80001' + '330400000e10' + 'ff',
    value: { router: ['192.168.0.1'], leaseTime: 3600 },
  },
  {
    name: 'a split option is joined (RFC 3396)',
    hex: '0c0161' + '0c0162' + 'ff',
    value: { hostName: 'ab' },
    oneWay: true,
  },
  {
    name: 'pads and unknown codes are skipped',
    hex: '0000' + 'c903010203' + '0c0161' + 'ff',
    value: { hostName: 'a' },
    oneWay: true,
  },
  { name: 'bytes after End are ignored', hex: '0c0161ff0c', value: { hostName: 'a' }, oneWay: true },
  { name: 'a missing End is let pass', hex: '0c0161', value: { hostName: 'a' }, oneWay: true },
  { name: 'NULs at the end of text are cut', hex: '0c0361' + '0000' + 'ff', value: { hostName: 'a' }, oneWay: true },
  {
    name: 'message type is first, relay information last',
    hex: '350101' + '0c0161' + '5d020007' + '5203010141' + 'ff',
    value: { hostName: 'a', messageType: 'discover', relayAgent: Uint8Array.of(1, 1, 0x41), clientArch: [7] },
  },
  {
    name: 'a UUID in the order of SMBIOS',
    hex: '6111' + '00' + '33221100554477668899aabbccddeeff' + 'ff',
    value: { clientUuid: '00112233-4455-6677-8899-aabbccddeeff' },
  },
  { name: 'rapid commit has no value', hex: '5000ff', value: { rapidCommit: true } },
  { name: 'length past the end', hex: '0c05616263', error: /option 12 at offset 2: 5 bytes needed, 3 left/ },
  { name: 'no length', hex: '0c', error: /length of option 12 at offset 1: 1 bytes needed, 0 left/ },
  {
    name: 'an address of three bytes',
    hex: '3203010203ff',
    error: /option 50 \(requestedAddress\): 4 bytes needed, 3 given/,
  },
  { name: 'an empty list of routers', hex: '0300ff', error: /option 3 \(router\): 0 bytes are not a list/ },
  { name: 'an odd list of architectures', hex: '5d03000700ff', error: /option 93 .*3 bytes are not a list/ },
  { name: 'a message type that is not assigned', hex: '350163ff', error: /message type 99 is not assigned/ },
  { name: 'a UUID of another type', hex: '6111' + '01' + '00'.repeat(16) + 'ff', error: /option 97 .*type 1/ },
]
for (const c of cases)
  test(`options: ${c.name}`, () => {
    const bytes = Uint8Array.fromHex(c.hex)
    if (c.error)
      return assert.throws(
        () => parseOptions(bytes),
        (e) => e instanceof WireError && c.error!.test(e.message),
      )
    assert.deepEqual(parseOptions(bytes), c.value)
    if (!c.oneWay) assert.equal(serializeOptions(c.value!).toHex(), c.hex)
  })

test('options: a value over 255 bytes is split, and joined again (RFC 3396)', () => {
  const bootFileName = 'http://boot/'.padEnd(600, 'x')
  const bytes = serializeOptions({ bootFileName })
  assert.equal(bytes.length, 600 + 3 * 2 + 1)
  assert.deepEqual(parseOptions(bytes), { bootFileName })
})

test('options: text beyond ISO 8859-1 and addresses that are none are refused, not garbled', () => {
  assert.throws(() => serializeOptions({ hostName: 'łódź' }), RangeError)
  assert.throws(() => serializeOptions({ serverId: '10.0.0.256' }), RangeError)
  assert.throws(() => serializeOptions({ leaseTime: 2 ** 32 }), RangeError)
})

test('encapsulated: relay agent sub-options, where 0 and 255 are codes like others (RFC 3046 §2.0)', () => {
  const agent = parseRelayAgent(Uint8Array.fromHex('0104deadbeef' + '0203112233' + '05040a000100' + 'ff00' + '0000'))
  assert.deepEqual(agent, {
    circuitId: Uint8Array.fromHex('deadbeef'),
    remoteId: Uint8Array.fromHex('112233'),
    linkSelection: '10.0.1.0',
  })
  assert.throws(() => parseRelayAgent(Uint8Array.fromHex('0105dead')), WireError)
})

test('encapsulated: PXE and iPXE options', () => {
  assert.equal(PXE_TAKE_BOOT_FILE.toHex(), '060108ff')
  const ipxe = parseEncapsulated(Uint8Array.fromHex('0000b00101220101ff17'), 'iPXE options')
  assert.deepEqual([...ipxe.keys()], [176, 34])
  assert.equal(serializeEncapsulated(new Map([[176, Uint8Array.of(1)]]), { end: false }).toHex(), 'b00101')
})
