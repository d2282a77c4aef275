import assert from 'node:assert/strict'
import { test } from 'node:test'
import { countOf, linksOf, numberOf, pathOf, plainText, textsOf } from './resource.ts'

const links = [
  { name: 'a link', link: { '@odata.id': '/redfish/v1/Systems/1' }, path: '/redfish/v1/Systems/1' },
  {
    name: 'a bare path',
    link: '/redfish/v1/Systems/Self/ResetActionInfo',
    path: '/redfish/v1/Systems/Self/ResetActionInfo',
  },
  {
    name: 'a member within a resource',
    link: '/redfish/v1/Chassis/1/Power#/PowerControl/0',
    path: '/redfish/v1/Chassis/1/Power',
  },
  { name: 'a page', link: '/redfish/v1/Systems?$skip=50', path: '/redfish/v1/Systems?$skip=50' },
  { name: 'the root with its slash', link: '/redfish/v1/', path: '/redfish/v1' },
  { name: 'another host', link: 'https://10.0.0.9/redfish/v1/Systems', path: undefined },
  { name: 'another host without a scheme', link: '//10.0.0.9/redfish/v1', path: undefined },
  { name: 'another part of the BMC', link: '/ui/settings', path: undefined },
  { name: 'a way up', link: '/redfish/v1/../../etc/passwd', path: undefined },
  { name: 'a way up in disguise', link: '/redfish/v1/%2e%2E/x', path: undefined },
  { name: 'a line break', link: '/redfish/v1/a\r\nHost: b', path: undefined },
  { name: 'another version', link: '/redfish/v11', path: undefined },
  { name: 'no text', link: { '@odata.id': 7 }, path: undefined },
]
for (const { name, link, path } of links) test(`pathOf: ${name}`, () => assert.equal(pathOf(link), path))

test('plainText cuts, trims and knows the words that boards have for nothing', () => {
  assert.equal(plainText('  AMD EPYC 7702\u0000   64-Core  '), 'AMD EPYC 7702 64-Core')
  assert.equal(plainText('y'.repeat(9_999))!.length, 256)
  for (const none of [
    '',
    '  ',
    'N/A',
    'Not Available',
    'None',
    'Default string',
    'To be filled by O.E.M.',
    '....',
    '0000',
    7,
    null,
  ])
    assert.equal(plainText(none), undefined)
  for (const text of ['None of this', '7702', 'NA-1', 'Nonesuch']) assert.equal(plainText(text), text)
})

test('numberOf and countOf read numbers in text, and nothing that is none', () => {
  assert.equal(numberOf({ a: ' 12.5 ' }, 'a'), 12.5)
  for (const none of ['12 W', '', '0x10', '1e9', Number.NaN, true, null, [1]])
    assert.equal(numberOf({ a: none }, 'a'), undefined)
  assert.equal(countOf({ a: 2.6 }, 'a'), 3)
  for (const none of [0, -4, 1e300, 0.2]) assert.equal(countOf({ a: none }, 'a'), undefined)
  assert.equal(numberOf({}, 'constructor'), undefined)
})

test('textsOf and linksOf keep each once and leave out what is none', () => {
  assert.deepEqual(textsOf({ a: ['Pxe', 'None', 'Pxe', 4, 'Hdd'] }, 'a'), ['Pxe', 'Hdd'])
  assert.deepEqual(textsOf({ a: 'Pxe' }, 'a'), [])
  assert.deepEqual(linksOf({ a: { '@odata.id': '/redfish/v1/Chassis/1/' } }, 'a'), ['/redfish/v1/Chassis/1'])
})
