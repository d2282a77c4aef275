import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isRedfish, parseSsdpAnswer, REDFISH_TARGET, serializeSearch, type SsdpAnswer } from './ssdp.ts'

const UUID = '92384634-2938-2342-8820-489239905423'
const answer = (...lines: string[]) => new TextEncoder().encode(['HTTP/1.1 200 OK', ...lines, '', ''].join('\r\n'))

test('a search is a datagram of HTTP (UPnP 1.1 §1.3.2)', () => {
  assert.equal(
    new TextDecoder().decode(serializeSearch(REDFISH_TARGET, 2)),
    `M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: "ssdp:discover"\r\nMX: 2\r\nST: ${REDFISH_TARGET}\r\n\r\n`,
  )
})

const cases: readonly { name: string; bytes: Uint8Array; value?: SsdpAnswer; error?: RegExp; redfish?: boolean }[] = [
  {
    name: 'as DSP0266 has it',
    bytes: answer(
      'CACHE-CONTROL:max-age=1800',
      `ST:${REDFISH_TARGET}`,
      `USN:uuid:${UUID}::${REDFISH_TARGET}`,
      'AL:https://10.0.3.7/redfish/v1/',
      'EXT:',
    ),
    value: { target: REDFISH_TARGET, uuid: UUID, url: 'https://10.0.3.7/redfish/v1/' },
    redfish: true,
  },
  {
    name: 'angle brackets, a minor version, and names in lower case',
    bytes: answer(`st: ${REDFISH_TARGET}:0`, `usn: uuid:${UUID.toUpperCase()}`, 'al: <http://10.0.3.7:8080/x>'),
    value: { target: `${REDFISH_TARGET}:0`, uuid: UUID, url: 'http://10.0.3.7:8080/x' },
    redfish: true,
  },
  {
    name: 'LOCATION where there is no AL',
    bytes: answer('ST: upnp:rootdevice', 'LOCATION: https://10.0.3.8/'),
    value: { target: 'upnp:rootdevice', uuid: undefined, url: 'https://10.0.3.8/' },
    redfish: false,
  },
  {
    name: 'an address that is none',
    bytes: answer(`ST: ${REDFISH_TARGET}`, 'AL: javascript:alert(1)'),
    value: { target: REDFISH_TARGET, uuid: undefined, url: undefined },
    redfish: true,
  },
  { name: 'a search of somebody else', bytes: serializeSearch('ssdp:all', 1), error: /does not begin with HTTP/ },
  { name: 'no target', bytes: answer('EXT:'), error: /it has no ST/ },
  { name: 'too long', bytes: answer(`ST: ${'x'.repeat(1500)}`), error: /more than 1500/ },
  { name: 'too many headers', bytes: answer(...Array<string>(70).fill('A: b')), error: /more than 64 headers/ },
]
for (const c of cases)
  test(`SSDP answer: ${c.name}`, () => {
    if (c.error) return assert.throws(() => parseSsdpAnswer(c.bytes), c.error)
    assert.deepEqual(parseSsdpAnswer(c.bytes), c.value)
    assert.equal(isRedfish(c.value!), c.redfish)
  })
