import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fromHex } from '../../base/bytes.ts'
import { WireError } from '../../base/errors.ts'
import {
  parseIpv4Parameter,
  parseIpv6Parameter,
  parseIpv6Status,
  parseMacParameter,
  parseVlanParameter,
} from './lan-commands.ts'
import { parseRawAnswer, renderRawRequest } from './raw-text.ts'

const CASES = [
  { name: 'IPv4', parse: parseIpv4Parameter, hex: '0a000307', value: '10.0.3.7' },
  { name: 'no IPv4', parse: parseIpv4Parameter, hex: '00000000', value: undefined },
  { name: 'MAC', parse: parseMacParameter, hex: '0cc47a123456', value: '0c:c4:7a:12:34:56' },
  { name: 'no VLAN', parse: parseVlanParameter, hex: '6400', value: undefined },
  { name: 'VLAN', parse: parseVlanParameter, hex: '6480', value: 100 },
  { name: 'room for IPv6', parse: parseIpv6Status, hex: '021003', value: { statics: 2, dynamics: 16 } },
  {
    name: 'IPv6 in use',
    parse: parseIpv6Parameter,
    hex: '0002' + '20010db8000000000000000000000007' + '4000',
    value: '2001:db8:0:0:0:0:0:7',
  },
  {
    name: 'IPv6 not in use',
    parse: parseIpv6Parameter,
    hex: '0002' + '20010db8000000000000000000000007' + '4001',
    value: undefined,
  },
] as const
for (const { name, parse, hex, value } of CASES)
  test(`LAN parameter: ${name}`, () => {
    assert.deepEqual(parse(fromHex(hex)), value)
    for (let length = 0; length < hex.length / 2 - (parse === parseIpv6Status ? 1 : 0); length++)
      assert.throws(() => parse(fromHex(hex).subarray(0, length)), WireError)
  })

test('raw text: as ipmi-raw 1.6 of FreeIPMI reads and writes it', () => {
  assert.equal(renderRawRequest(0x06, 0x44, fromHex('0102')), '00 06 44 01 02\n')
  assert.deepEqual(parseRawAnswer('rcvd: 44 00 3F 02 01 14 ', 0x44), { completion: 0, data: fromHex('3f020114') })
  assert.deepEqual(parseRawAnswer('rcvd: 4C C1 ', 0x4c), { completion: 0xc1, data: new Uint8Array() })
  for (const line of [
    '',
    'rcvd:',
    'rcvd: 44 ',
    'rcvd: 45 00',
    'rcvd: 44 0',
    'rcvd: 44 00 zz',
    `rcvd:${' 44'.repeat(400)}`,
  ])
    assert.throws(() => parseRawAnswer(line, 0x44), WireError, line)
})
