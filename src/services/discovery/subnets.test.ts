import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addressesOf } from './subnets.ts'

const cases = [
  {
    name: 'a subnet without its first and last address',
    subnets: ['10.0.3.8/30'],
    addresses: ['10.0.3.9', '10.0.3.10'],
  },
  {
    name: 'an address within a subnet stands for the subnet',
    subnets: ['10.0.3.9/30'],
    addresses: ['10.0.3.9', '10.0.3.10'],
  },
  { name: 'a link of two', subnets: ['10.0.3.8/31'], addresses: ['10.0.3.8', '10.0.3.9'] },
  { name: 'one address', subnets: ['255.255.255.255', '10.0.0.1/32'], addresses: ['255.255.255.255', '10.0.0.1'] },
  {
    name: 'a range',
    subnets: ['10.0.2.254-10.0.3.1'],
    addresses: ['10.0.2.254', '10.0.2.255', '10.0.3.0', '10.0.3.1'],
  },
  { name: 'each once', subnets: ['10.0.0.1', '10.0.0.0/30'], addresses: ['10.0.0.1', '10.0.0.2'] },
  { name: 'no bits', subnets: ['10.0.0.0/'], error: /Cannot scan "10.0.0.0\/": it is not a subnet/ },
  { name: 'too many bits', subnets: ['10.0.0.0/33'], error: /Cannot scan/ },
  { name: 'a range backwards', subnets: ['10.0.0.2-10.0.0.1'], error: /Cannot scan/ },
  { name: 'a name', subnets: ['bmc7'], error: /Cannot scan "bmc7"/ },
  { name: 'too many', subnets: ['10.0.0.0/15'], error: /Cannot scan 131070 addresses at once: at most 65536/ },
  { name: 'everything', subnets: ['0.0.0.0/0'], error: /Cannot scan 4294967294 addresses/ },
]
for (const { name, subnets, addresses, error } of cases)
  test(`addressesOf: ${name}`, () => {
    if (error) assert.throws(() => addressesOf(subnets), { code: 'invalid', message: error })
    else assert.deepEqual(addressesOf(subnets), addresses)
  })

test('addressesOf: a /16 is as much as a scan takes', () => assert.equal(addressesOf(['10.0.0.0/16']).length, 65_534))
