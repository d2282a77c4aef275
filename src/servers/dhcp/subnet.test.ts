import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AppError } from '../../base/errors.ts'
import { isInPool, openSubnet, subnetOf, toAddress, toNumber } from './subnet.ts'

test('subnet: addresses above 127.255.255.255 keep their sign', () => {
  const subnet = openSubnet({ cidr: '192.168.5.0/24', pools: [['192.168.5.10', '192.168.5.20']] })
  assert.equal(toAddress(toNumber('255.255.255.255')), '255.255.255.255')
  assert.equal(subnetOf([subnet], '192.168.5.255'), subnet)
  assert.equal(subnetOf([subnet], '192.168.6.0'), undefined)
  assert.deepEqual(
    ['192.168.5.9', '192.168.5.10', '192.168.5.20', '192.168.5.21'].map((a) => isInPool(subnet, a)),
    [false, true, true, false],
  )
})

const wrong: [string, [string, string][], RegExp, number?][] = [
  ['10.0.0.0', [], /not written as/],
  ['10.0.0.0/33', [], /not written as/],
  ['10.0.0.0/24', [['10.0.0.20', '10.0.0.10']], /empty or too large/],
  ['10.0.0.0/24', [['10.0.0.20', '10.0.1.10']], /is not in it/],
  ['10.0.0.0/24', [['10.0.0.20', '10.0.0.255']], /broadcast address/],
  ['10.0.0.0/24', [['10.0.0.20', '10.0.0.x']], /"10.0.0.x" is not an IPv4 address/],
  ['10.0.0.0/24', [], /lease of 1 seconds/, 1],
]
for (const [cidr, pools, error, leaseSeconds] of wrong)
  test(`subnet: refused: ${cidr} ${pools.join()} ${error}`, () => {
    assert.throws(
      () => openSubnet({ cidr, pools, ...(leaseSeconds && { leaseSeconds }) }),
      (e) => e instanceof AppError && error.test(e.message),
    )
  })
