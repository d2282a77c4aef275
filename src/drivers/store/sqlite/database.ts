/**
 * The SQLite file: WAL with `synchronous=FULL`, so that what was committed survives a power cut (P1). The only file that
 * names `node:sqlite`. Kysely speaks to it through the small face that its SQLite dialect asks for.
 */
import { dirname } from 'node:path'
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite'
import { Kysely, SqliteDialect } from 'kysely'
import { AppError } from '../../../base/errors.ts'
import { makeDirectory, syncDirectory } from '../../files.ts'

/** A named step of the schema. Steps only go forward; a step that ran is never changed. */
export interface Migration {
  readonly name: string
  readonly statements: readonly string[]
}

export interface SqliteStore<Tables> extends AsyncDisposable {
  readonly db: Kysely<Tables>
  readonly raw: DatabaseSync
  /** Aborts, with the error as its reason, when the file could not be written or synced any more: nothing is answered after that. */
  readonly broken: AbortSignal
  /** Runs `change` in one immediate transaction; nothing else can come between its statements. */
  transaction<T>(change: (db: DatabaseSync) => T): T
}

/**
 * Opens the database, checks it and brings its schema up to date, all migrations in one transaction.
 * @param path of the file, or `:memory:`
 * @throws {AppError} internal when the file is damaged, or was written by a newer version than this one
 */
export function openSqlite<Tables>(path: string, migrations: readonly Migration[]): SqliteStore<Tables> {
  if (path !== ':memory:') makeDirectory(dirname(path))
  const raw = new DatabaseSync(path, { timeout: 5000 })
  try {
    for (const pragma of ['journal_mode = WAL', 'synchronous = FULL', 'foreign_keys = ON', 'wal_autocheckpoint = 1000'])
      raw.exec(`PRAGMA ${pragma}`)
    check(raw, path)
    migrate(raw, path, migrations)
    // SQLite does not look whether the names of its files were synced.
    if (path !== ':memory:') syncDirectory(dirname(path))
  } catch (error) {
    raw.close()
    throw explained(error, path)?.error ?? error
  }
  const broken = new AbortController()
  const guard: Guard = (work) => {
    if (broken.signal.aborted) throw broken.signal.reason
    try {
      return work()
    } catch (error) {
      const known = explained(error, path)
      // After a failed sync nobody knows what is on the disk; the next start reads it and goes on from there.
      if (known?.isFatal) broken.abort(known.error)
      throw known?.error ?? error
    }
  }
  const db = new Kysely<Tables>({ dialect: new SqliteDialect({ database: () => Promise.resolve(adapt(raw, guard)) }) })
  return {
    db,
    raw,
    broken: broken.signal,
    transaction: (change) => guard(() => transaction(raw, change)),
    async [Symbol.asyncDispose]() {
      await db.destroy()
      if (raw.isOpen) raw.close()
    },
  }
}

function transaction<T>(raw: DatabaseSync, change: (db: DatabaseSync) => T): T {
  raw.exec('BEGIN IMMEDIATE')
  try {
    const value = change(raw)
    raw.exec('COMMIT')
    return value
  } catch (error) {
    if (raw.isTransaction) raw.exec('ROLLBACK')
    throw error
  }
}

function check(raw: DatabaseSync, path: string): void {
  const rows = raw.prepare('PRAGMA quick_check(1)').all() as { quick_check: string }[]
  const answer = rows[0]?.quick_check
  if (answer !== 'ok')
    throw new AppError('internal', `Cannot open database "${path}": it is damaged (${answer}); restore a backup`)
}

function migrate(raw: DatabaseSync, path: string, migrations: readonly Migration[]): void {
  raw.exec('CREATE TABLE IF NOT EXISTS migration (name TEXT PRIMARY KEY, applied_at INTEGER NOT NULL) STRICT')
  const known = new Set(migrations.map((migration) => migration.name))
  transaction(raw, () => {
    const done = new Set((raw.prepare('SELECT name FROM migration').all() as { name: string }[]).map((row) => row.name))
    const foreign = [...done].filter((name) => !known.has(name))
    if (foreign.length > 0)
      throw new AppError(
        'internal',
        `Cannot open database "${path}": it was written by a newer bareboat (${foreign.join(', ')}); run that version`,
      )
    for (const migration of migrations) {
      if (done.has(migration.name)) continue
      for (const statement of migration.statements) raw.exec(statement)
      raw.prepare('INSERT INTO migration VALUES (?, ?)').run(migration.name, Date.now())
    }
  })
}

/** Runs one call of SQLite and makes of its failures what they mean. */
type Guard = <T>(work: () => T) => T

/** Primary result codes of SQLite (https://www.sqlite.org/rescode.html). */
const SQLITE = { ioError: 10, corrupt: 11, full: 13, cannotOpen: 14, notADatabase: 26 } as const

/** What a failure of SQLite means for people; undefined for one that has another cause, such as a constraint. */
function explained(cause: unknown, path: string): { error: AppError; isFatal: boolean } | undefined {
  if (!(cause instanceof Error) || !('errcode' in cause) || typeof cause.errcode !== 'number') return undefined
  // The low byte is the primary code; the rest says where in the file system it failed.
  switch (cause.errcode & 0xff) {
    case SQLITE.full:
      return {
        error: new AppError('exhausted', `Cannot write the database "${path}": the disk is full; free some space`, {
          cause,
        }),
        isFatal: false,
      }
    case SQLITE.ioError:
    case SQLITE.corrupt:
    case SQLITE.cannotOpen:
    case SQLITE.notADatabase:
      return {
        error: new AppError('internal', `Cannot go on with the database "${path}"; is its disk failing?`, { cause }),
        isFatal: true,
      }
    default:
      return undefined
  }
}

/** The face of better-sqlite3 that Kysely's dialect uses, with a cache of prepared statements. */
function adapt(raw: DatabaseSync, guard: Guard) {
  const cache = new Map<string, StatementSync>()
  return {
    close: () => {
      if (raw.isOpen) raw.close()
    },
    prepare(sql: string) {
      // Some failures roll back by themselves; a second rollback would hide the first error.
      if (sql === 'rollback' && !raw.isTransaction) return NOTHING
      const statement = cache.get(sql) ?? guard(() => raw.prepare(sql))
      if (cache.size < 500) cache.set(sql, statement)
      return {
        reader: statement.columns().length > 0,
        all: (values: readonly unknown[]) => guard(() => statement.all(...(values as SQLInputValue[]))),
        run: (values: readonly unknown[]) => guard(() => statement.run(...(values as SQLInputValue[]))),
        iterate: (values: readonly unknown[]) => guard(() => statement.iterate(...(values as SQLInputValue[]))),
      }
    },
  }
}

const NOTHING = {
  reader: false,
  all: () => [],
  run: () => ({ changes: 0, lastInsertRowid: 0 }),
  iterate: () => [][Symbol.iterator](),
}
