import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fromHex, toHex } from '../../base/bytes.ts'
import { describeRmcp, parseRmcp, serializeRmcp, type RmcpMessage } from './rmcp.ts'

const cases: { name: string; hex: string; value?: RmcpMessage; says?: string; error?: RegExp; oneWay?: boolean }[] = [
  {
    name: 'IPMI',
    hex: '0600ff07' + 'aabb',
    value: { kind: 'ipmi', sequence: 255, body: fromHex('aabb') },
    says: 'IPMI, 2 bytes',
  },
  {
    name: 'ASF ping',
    hex: '0600ff06000011be80010000',
    value: { kind: 'asf-ping', sequence: 255, tag: 1 },
    says: 'ASF ping 1',
  },
  {
    name: 'ASF pong of a BMC',
    hex: '0600ff06000011be40010010' + '000011be' + '00000000' + '81' + '00' + '000000000000',
    value: { kind: 'asf-pong', sequence: 255, tag: 1, enterprise: 4542, speaksIpmi: true },
    says: 'ASF pong 1, speaks IPMI',
  },
  { name: 'ack', hex: '06000786', value: { kind: 'ack', sequence: 7 }, says: 'RMCP ack 7' },
  { name: 'ack of an IPMI message', hex: '06000787', value: { kind: 'ack', sequence: 7 }, oneWay: true },
  { name: 'another version', hex: '0500ff07', error: /version is 5, not 6/ },
  { name: 'another class', hex: '0600ff08', error: /class is 0x8/ },
  { name: 'cut short', hex: '0600ff', error: /class at offset 3: 1 bytes needed, 0 left/ },
  { name: 'ASF of another enterprise', hex: '0600ff0600000000', error: /enterprise is 0, not 4542/ },
  { name: 'a pong without data', hex: '0600ff06000011be40010000', error: /ASF pong/ },
  { name: 'a length past the end', hex: '0600ff06000011be400100ff', error: /255 bytes needed, 0 left/ },
]
for (const c of cases)
  test(`RMCP: ${c.name}`, () => {
    if (c.error) return assert.throws(() => parseRmcp(fromHex(c.hex)), c.error)
    assert.deepEqual(parseRmcp(fromHex(c.hex)), c.value)
    if (c.says) assert.equal(describeRmcp(c.value!), c.says)
    if (!c.oneWay) assert.equal(toHex(serializeRmcp(c.value!)), c.hex)
  })
