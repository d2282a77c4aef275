/** Boot profiles and how boots went, in SQLite. */
import type { Kysely } from 'kysely'
import type { BootMeasure, ProfileStore } from '../../../services/profiles/ports.ts'
import { parseRanges, renderRanges } from '../../../services/profiles/profile.ts'
import type { Migration } from './database.ts'

export interface ProfileTables {
  boot_profile: { root_hash: string; ranges: string; recorded_at: number }
  /** The last boot of a device of each kind. */
  boot_measure: {
    root_hash: string
    is_ahead: number
    container_id: string
    boot_ms: number
    bytes_sent: number
    at: number
  }
}

export const profileMigrations: readonly Migration[] = [
  {
    name: '002-profiles',
    statements: [
      `CREATE TABLE boot_profile (root_hash TEXT PRIMARY KEY, ranges TEXT NOT NULL, recorded_at INTEGER NOT NULL) STRICT`,
      `CREATE TABLE boot_measure (root_hash TEXT NOT NULL, is_ahead INTEGER NOT NULL, container_id TEXT NOT NULL,
        boot_ms INTEGER NOT NULL, bytes_sent INTEGER NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (root_hash, is_ahead)) STRICT`,
    ],
  },
]

/** @param db of a database that has `profileMigrations` */
export function createProfileStore(db: Kysely<ProfileTables>): ProfileStore {
  return {
    async profile(rootHash) {
      const row = await db.selectFrom('boot_profile').selectAll().where('root_hash', '=', rootHash).executeTakeFirst()
      return row && { rootHash, ranges: parseRanges(row.ranges), recordedAtMs: row.recorded_at }
    },
    async putProfile({ rootHash, ranges, recordedAtMs }) {
      const row = { root_hash: rootHash, ranges: renderRanges(ranges), recorded_at: recordedAtMs }
      await db
        .insertInto('boot_profile')
        .values(row)
        .onConflict((conflict) => conflict.column('root_hash').doUpdateSet(row))
        .execute()
    },
    async measures(rootHash) {
      const rows = await db.selectFrom('boot_measure').selectAll().where('root_hash', '=', rootHash).execute()
      return rows.map((row): BootMeasure => ({
        rootHash,
        containerId: row.container_id,
        isAhead: row.is_ahead === 1,
        bootMs: row.boot_ms,
        bytesSent: row.bytes_sent,
        atMs: row.at,
      }))
    },
    async putMeasure(measure) {
      const row = {
        root_hash: measure.rootHash,
        is_ahead: measure.isAhead ? 1 : 0,
        container_id: measure.containerId,
        boot_ms: measure.bootMs,
        bytes_sent: measure.bytesSent,
        at: measure.atMs,
      }
      await db
        .insertInto('boot_measure')
        .values(row)
        .onConflict((conflict) => conflict.columns(['root_hash', 'is_ahead']).doUpdateSet(row))
        .execute()
    },
    async remove(rootHash) {
      await db.transaction().execute(async (trx) => {
        await trx.deleteFrom('boot_profile').where('root_hash', '=', rootHash).execute()
        await trx.deleteFrom('boot_measure').where('root_hash', '=', rootHash).execute()
      })
    },
  }
}
