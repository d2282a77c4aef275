import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bmcOfXname, parseXname } from './xname.ts'

const cases: { name: string; text: string; value?: string; kind?: 'bmc' }[] = [
  { name: "the seed's", text: 'x1000c1s7b0n0', value: 'x1000c1s7b0n0' },
  { name: 'upper case and leading zeros are written as one', text: 'X0999C01S007B00N000', value: 'x999c1s7b0n0' },
  { name: 'a BMC', text: 'x1000c1s7b0', value: 'x1000c1s7b0', kind: 'bmc' },
  { name: 'a short cabinet: hms-xname alone', text: 'x0c0s0b0n0', value: 'x0c0s0b0n0' },
  { name: 'a slot of five digits: hms-xname alone', text: 'x1c7s12345b0n0', value: 'x1c7s12345b0n0' },
  { name: 'a cabinet of five digits: OpenCHAMI alone', text: 'x10000c0s0b0n0', value: 'x10000c0s0b0n0' },
  { name: 'chassis 8: OpenCHAMI alone', text: 'x1000c8s0b0n0', value: 'x1000c8s0b0n0' },
  { name: 'chassis 255 is the last', text: 'x001c255s0b0n0', value: 'x001c255s0b0n0' },
  { name: 'chassis 256', text: 'x1000c256s0b0n0' },
  { name: 'a short cabinet with chassis 8: neither', text: 'x10c8s0b0n0' },
  { name: 'a cabinet of five digits with a slot of four: neither', text: 'x10000c0s1000b0n0' },
  { name: 'a cabinet of six digits', text: 'x100000c0s0b0n0' },
  { name: 'a chassis', text: 'x1000c1' },
  { name: 'something after it', text: 'x1000c1s7b0n0a1' },
  { name: 'a line break after it', text: 'x1000c1s7b0n0\n' },
  { name: 'no number', text: 'xcsbn' },
  { name: 'nothing', text: '' },
  { name: 'longer than any', text: `x1c1s${'1'.repeat(100)}b0n0` },
]

for (const { name, text, value, kind = 'node' } of cases)
  test(`parseXname: ${name}`, () => {
    const found = parseXname(text)
    assert.deepEqual(found, value === undefined ? undefined : { kind, text: value })
    if (found) assert.deepEqual(parseXname(found.text), found, 'what it writes, it reads')
  })

test('bmcOfXname is the xname without its node', () => {
  assert.equal(bmcOfXname('x1000c1s7b0n12'), 'x1000c1s7b0')
  assert.equal(bmcOfXname('x1000c1s7b10'), 'x1000c1s7b10')
})
