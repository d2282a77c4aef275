import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openSqlite } from './database.ts'
import { createLeaseStore, leaseMigrations, type StoredLease } from './leases.ts'

const lease: StoredLease = {
  address: '10.0.0.10',
  clientKey: 'hw:020000000001',
  mac: '02:00:00:00:00:01',
  state: 'bound',
  expiresAtMs: 1_900_000_000_000,
  isNetboot: true,
  hostName: 'n1',
}

test('sqlite leases: what is committed is loaded; a second commit on an address replaces the first', () => {
  const store = createLeaseStore(openSqlite<object>(':memory:', leaseMigrations))
  store.commit([{ kind: 'put', lease }])
  assert.deepEqual(store.load(), [lease])
  const released = { ...lease, state: 'released', isNetboot: false } as const
  store.commit([{ kind: 'put', lease: released }])
  assert.deepEqual(store.load(), [released])
})

test('sqlite leases: of a commit that fails nothing is kept, and the next one works', () => {
  const store = createLeaseStore(openSqlite<object>(':memory:', leaseMigrations))
  const bad = { ...lease, address: '10.0.0.11', state: 'offered' } as const
  assert.throws(() =>
    store.commit([
      { kind: 'put', lease },
      { kind: 'put', lease: bad },
    ]),
  )
  assert.deepEqual(store.load(), [])
  store.commit([{ kind: 'put', lease }])
  assert.equal(store.load().length, 1)
})
