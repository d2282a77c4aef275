import assert from 'node:assert/strict'
import { test } from 'node:test'
import { neighbourIn } from './presence.ts'

const table = (...rows: string[]) =>
  ['IP address       HW type     Flags       HW address            Mask     Device', ...rows, ''].join('\n')
const HEARD = '10.0.0.5         0x1         0x2         52:54:00:12:34:AB     *        eth1'
const ASKED = '10.0.0.5         0x1         0x0         00:00:00:00:00:00     *        eth0'
const OTHER = '10.0.0.55        0x1         0x2         52:54:00:12:34:ac     *        eth0'

const cases = [
  { name: 'nothing', rows: [], expected: undefined },
  { name: 'another address alone', rows: [OTHER], expected: undefined },
  { name: 'one that answered', rows: [OTHER, HEARD], expected: { mac: '52:54:00:12:34:ab', isComplete: true } },
  { name: 'one that did not answer', rows: [ASKED], expected: { mac: '00:00:00:00:00:00', isComplete: false } },
  { name: 'heard before on one interface, silent now on the other', rows: [HEARD, ASKED], expected: false },
  { name: 'the same the other way round', rows: [ASKED, HEARD], expected: false },
]
for (const { name, rows, expected } of cases)
  test(`neighbourIn: ${name}`, () => {
    const found = neighbourIn(table(...rows), '10.0.0.5')
    if (expected === false) assert.equal(found?.isComplete, false)
    else assert.deepEqual(found, expected)
  })
