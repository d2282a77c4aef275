import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLeaseBook, isTaken } from './lease-book.ts'
import type { Lease } from './lease.ts'
import { openSubnet } from './subnet.ts'

const subnet = openSubnet({ cidr: '10.0.0.0/24', pools: [['10.0.0.10', '10.0.0.12']] })
const nobody = () => false

function lease(address: string, expiresAtMs: number, state: Lease['state'] = 'bound'): Lease {
  return { address, expiresAtMs, state, clientKey: `hw:${address}`, mac: address, isNetboot: false, hostName: '' }
}

test('lease book: undoing changes frees the addresses again', () => {
  const book = createLeaseBook()
  const before = lease('10.0.0.10', 50)
  book.apply([{ kind: 'put', lease: before }])
  const undo = book.apply([
    { kind: 'put', lease: lease('10.0.0.10', 500) },
    { kind: 'put', lease: lease('10.0.0.11', 500) },
  ])
  assert.equal(book.freeAddress(subnet, 100, nobody), '10.0.0.12')
  undo()
  assert.equal(book.at('10.0.0.10'), before)
  assert.equal(book.at('10.0.0.11'), undefined)
  assert.equal(book.freeAddress(subnet, 100, nobody), '10.0.0.11')
})

test('lease book: addresses never used come first, then the one that was touched longest ago', () => {
  const book = createLeaseBook([lease('10.0.0.11', 20), lease('10.0.0.10', 30)])
  assert.equal(book.freeAddress(subnet, 100, nobody), '10.0.0.12')
  book.apply([{ kind: 'put', lease: lease('10.0.0.12', 1e6) }])
  assert.equal(book.freeAddress(subnet, 100, nobody), '10.0.0.11')
  assert.equal(
    book.freeAddress(subnet, 100, (address) => address === '10.0.0.11'),
    '10.0.0.10',
  )
})

test('lease book: a full pool is not searched for each packet, but a release is seen at once', () => {
  const book = createLeaseBook(['10.0.0.10', '10.0.0.11', '10.0.0.12'].map((address) => lease(address, 1e6)))
  let asked = 0
  const count = () => {
    asked++
    return false
  }
  assert.equal(book.freeAddress(subnet, 100, count), undefined)
  const once = asked
  assert.equal(book.freeAddress(subnet, 101, count), undefined)
  assert.equal(asked, once)
  book.apply([{ kind: 'put', lease: lease('10.0.0.11', 102, 'released') }])
  assert.equal(book.freeAddress(subnet, 102, count), '10.0.0.11')
})

test('lease book: a client is found in the subnet that it asks from', () => {
  const book = createLeaseBook([lease('10.0.0.10', 50), { ...lease('10.9.0.10', 90), clientKey: 'hw:10.0.0.10' }])
  assert.equal(book.ofClient('hw:10.0.0.10', subnet)?.address, '10.0.0.10')
})

test('lease book: isTaken', () => {
  const cases: [Lease['state'], number, boolean][] = [
    ['bound', 101, true],
    ['bound', 100, false],
    ['offered', 101, true],
    ['declined', 101, true],
    ['released', 101, false],
  ]
  for (const [state, endMs, taken] of cases) assert.equal(isTaken(lease('10.0.0.10', endMs, state), 100), taken)
})
