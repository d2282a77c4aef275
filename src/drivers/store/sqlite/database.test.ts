import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { openSqlite } from './database.ts'

interface Tables {
  thing: { id: number; name: string }
}
const first = {
  name: '001-thing',
  statements: ['CREATE TABLE thing (id INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT'],
}
const second = { name: '002-more', statements: ['ALTER TABLE thing ADD COLUMN more TEXT'] }

test('openSqlite applies each migration once and keeps what was committed', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'bareboat-db-'))
  const path = join(dir, 'state.db')
  try {
    {
      await using store = openSqlite<Tables>(path, [first])
      await store.db.insertInto('thing').values({ id: 1, name: 'a' }).execute()
      assert.throws(() =>
        store.transaction((db) => {
          db.exec("INSERT INTO thing VALUES (2, 'b')")
          throw new Error('no')
        }),
      )
    }
    await using store = openSqlite<Tables>(path, [first, second])
    assert.equal((await store.db.selectFrom('thing').selectAll().executeTakeFirst())?.name, 'a')
    assert.deepEqual({ ...store.raw.prepare('PRAGMA synchronous').get() }, { synchronous: 2 })
    assert.deepEqual({ ...store.raw.prepare('PRAGMA journal_mode').get() }, { journal_mode: 'wal' })
  } finally {
    rmSync(dir, { recursive: true })
  }
})

test('openSqlite refuses a database of a newer version', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'bareboat-db-'))
  const path = join(dir, 'state.db')
  try {
    await openSqlite<Tables>(path, [first, second])[Symbol.asyncDispose]()
    assert.throws(() => openSqlite<Tables>(path, [first]), /written by a newer bareboat \(002-more\)/)
  } finally {
    rmSync(dir, { recursive: true })
  }
})
