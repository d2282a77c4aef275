import assert from 'node:assert/strict'
import { test } from 'node:test'
import { describeMagicPacket, parseMagicPacket, serializeMagicPacket, type MagicPacket } from './packet.ts'

const start = 'ff'.repeat(6)
const address = '525400123456'
const mac = '52:54:00:12:34:56'

const cases: { name: string; hex: string; value?: MagicPacket; error?: RegExp }[] = [
  { name: 'without a password', hex: start + address.repeat(16), value: { mac } },
  {
    name: 'a SecureOn password of six bytes',
    hex: start + address.repeat(16) + '0022446688aa',
    value: { mac, password: Uint8Array.of(0x00, 0x22, 0x44, 0x66, 0x88, 0xaa) },
  },
  {
    name: 'a SecureOn password of four bytes',
    hex: start + address.repeat(16) + 'c0a80101',
    value: { mac, password: Uint8Array.of(192, 168, 1, 1) },
  },
  { name: 'another start', hex: 'fe' + 'ff'.repeat(5) + address.repeat(16), error: /does not begin with six FF/ },
  { name: 'cut short', hex: start + address.repeat(15), error: /address at offset 96: 6 bytes needed, 0 left/ },
  {
    name: 'an address that differs',
    hex: start + address.repeat(15) + '525400123457',
    error: /address 16 is 525400123457/,
  },
  { name: 'a password of five bytes', hex: start + address.repeat(16) + '00'.repeat(5), error: /5 bytes follow/ },
]
for (const c of cases)
  test(`magic packet: ${c.name}`, () => {
    const bytes = Uint8Array.fromHex(c.hex)
    if (c.error) return assert.throws(() => parseMagicPacket(bytes), c.error)
    assert.deepEqual(parseMagicPacket(bytes), c.value)
    assert.equal(serializeMagicPacket(c.value!).toHex(), c.hex)
  })

test('describeMagicPacket does not tell the password', () => {
  const password = Uint8Array.of(0xca, 0xfe, 0xca, 0xfe)
  assert.equal(describeMagicPacket({ mac, password }), `wake ${mac} with a password`)
})
