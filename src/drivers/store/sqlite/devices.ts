/** What is known of block devices made of images, in SQLite. */
import type { Kysely, Selectable } from 'kysely'
import type { DeviceRecord, DeviceRecords } from '../../../services/devices/ports.ts'
import type { Migration } from './database.ts'

export interface DeviceTables {
  device: {
    root_hash: string
    key: string
    size_bytes: number
    data_blocks: number
    hash_start_block: number
    /** Diff ids, in the order of the map, one a line. */
    blobs: string
    created_at: number
  }
}

export const deviceMigrations: readonly Migration[] = [
  {
    name: '002-devices',
    statements: [
      `CREATE TABLE device (root_hash TEXT PRIMARY KEY, key TEXT NOT NULL UNIQUE, size_bytes INTEGER NOT NULL,
        data_blocks INTEGER NOT NULL, hash_start_block INTEGER NOT NULL, blobs TEXT NOT NULL, created_at INTEGER NOT NULL) STRICT`,
    ],
  },
]

/** @param db of a database that has `deviceMigrations` */
export function createDeviceRecords(db: Kysely<DeviceTables>): DeviceRecords {
  const rows = db.selectFrom('device').selectAll()
  const toRecord = (row: Selectable<DeviceTables['device']>): DeviceRecord => ({
    rootHash: row.root_hash,
    key: row.key,
    sizeBytes: row.size_bytes,
    dataBlocks: row.data_blocks,
    hashStartBlock: row.hash_start_block,
    blobs: row.blobs === '' ? [] : row.blobs.split('\n'),
    createdAtMs: row.created_at,
  })
  const first = (row: Selectable<DeviceTables['device']> | undefined): DeviceRecord | undefined => row && toRecord(row)
  return {
    byKey: async (key) => first(await rows.where('key', '=', key).executeTakeFirst()),
    byRootHash: async (rootHash) => first(await rows.where('root_hash', '=', rootHash).executeTakeFirst()),
    list: async () => (await rows.orderBy('created_at').orderBy('root_hash').execute()).map(toRecord),
    async put(record) {
      const row = {
        root_hash: record.rootHash,
        key: record.key,
        size_bytes: record.sizeBytes,
        data_blocks: record.dataBlocks,
        hash_start_block: record.hashStartBlock,
        blobs: record.blobs.join('\n'),
        created_at: record.createdAtMs,
      }
      await db
        .insertInto('device')
        .values(row)
        .onConflict((conflict) => conflict.column('root_hash').doUpdateSet(row))
        .execute()
    },
    async remove(rootHash) {
      await db.deleteFrom('device').where('root_hash', '=', rootHash).execute()
    },
  }
}
