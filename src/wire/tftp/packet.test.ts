import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { WireError } from '../../base/errors.ts'
import { describeTftp, parseTftp, serializeTftp, type TftpPacket } from './packet.ts'

const hex = (text: string) => Buffer.from(text, 'latin1').toString('hex')
const cases: { name: string; hex: string; value?: TftpPacket; text?: string; error?: RegExp; oneWay?: boolean }[] = [
  {
    name: 'a read with options',
    hex: '0001' + hex('a.efi\0octet\0tsize\x000\0blksize\x001468\0'),
    value: {
      op: 'rrq',
      name: 'a.efi',
      mode: 'octet',
      options: new Map(Object.entries({ tsize: '0', blksize: '1468' })),
    },
    text: 'rrq "a.efi" octet tsize=0 blksize=1468',
  },
  {
    name: 'names of options and the mode in capitals',
    hex: '0001' + hex('a\0OCTET\0BLKSIZE\x0099\0'),
    value: { op: 'rrq', name: 'a', mode: 'octet', options: new Map([['blksize', '99']]) },
    oneWay: true,
  },
  {
    name: 'an option twice',
    hex: '0001' + hex('a\0octet\0x\x001\0x\x002\0'),
    value: { op: 'rrq', name: 'a', mode: 'octet', options: new Map([['x', '1']]) },
    oneWay: true,
  },
  {
    name: 'a write',
    hex: '0002' + hex('a\0octet\0'),
    value: { op: 'wrq', name: 'a', mode: 'octet', options: new Map() },
  },
  {
    name: 'data',
    hex: '0003ffff' + 'cafe',
    value: { op: 'data', block: 65535, bytes: Uint8Array.of(0xca, 0xfe) },
    text: 'data 65535 (2 bytes)',
  },
  { name: 'empty data', hex: '00030001', value: { op: 'data', block: 1, bytes: new Uint8Array() } },
  { name: 'ack', hex: '00040007', value: { op: 'ack', block: 7 }, text: 'ack 7' },
  {
    name: 'error',
    hex: '00050001' + hex('gone\0'),
    value: { op: 'error', code: 1, message: 'gone' },
    text: 'error 1 "gone"',
  },
  {
    name: 'error without NUL',
    hex: '00050001' + hex('gone'),
    value: { op: 'error', code: 1, message: 'gone' },
    oneWay: true,
  },
  {
    name: 'oack',
    hex: '0006' + hex('tsize\x005\0'),
    value: { op: 'oack', options: new Map([['tsize', '5']]) },
    text: 'oack tsize=5',
  },
  { name: 'opcode 7', hex: '0007', error: /opcode 7/ },
  { name: 'nothing', hex: '', error: /opcode/ },
  { name: 'a name without end', hex: '0001' + hex('a'), error: /file name has no terminating NUL/ },
  {
    name: 'a name that is too long',
    hex: '0001' + hex('a'.repeat(600) + '\0octet\0'),
    error: /file name .* within 512/,
  },
  { name: 'an option without value', hex: '0001' + hex('a\0octet\0tsize\0'), error: /value of option "tsize"/ },
  {
    name: 'seventeen options',
    hex: '0006' + hex(Array.from({ length: 17 }, (_, n) => `o${n}\0v\0`).join('')),
    error: /more than 16 options/,
  },
]
for (const c of cases)
  test(`tftp: ${c.name}`, () => {
    const bytes = Uint8Array.fromHex(c.hex)
    if (c.error)
      return assert.throws(
        () => parseTftp(bytes),
        (e) => e instanceof WireError && c.error!.test(e.message),
      )
    const packet = parseTftp(bytes)
    assert.deepEqual(packet, c.value)
    if (c.text) assert.equal(describeTftp(packet), c.text)
    if (!c.oneWay) assert.equal(Buffer.from(serializeTftp(c.value!)).toString('hex'), c.hex)
  })

test('tftp: the recorded request, padded with NULs, is read as it is', () => {
  const bytes = readFileSync(new URL('../../../test/packets/tftp/tftp-69-87aa3f35d1.bin', import.meta.url))
  assert.deepEqual(parseTftp(bytes), { op: 'rrq', name: 'file1', mode: 'octet', options: new Map() })
})
