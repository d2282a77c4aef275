/** BMCs that were found, in SQLite. */
import type { Kysely } from 'kysely'
import { discoveredBmc } from '../../../model/discovery.ts'
import type { DiscoveryStore } from '../../../services/discovery/ports.ts'
import type { SecretBox } from '../../../services/ports.ts'
import type { Migration } from './database.ts'

export interface DiscoveryTables {
  discovered_bmc: {
    address: string
    /** DiscoveredBmc as JSON. */
    record: string
    /** Sealed. */
    password: string | null
  }
}

export const discoveryMigrations: readonly Migration[] = [
  {
    name: '003-discovery',
    statements: [`CREATE TABLE discovered_bmc (address TEXT PRIMARY KEY, record TEXT NOT NULL, password TEXT) STRICT`],
  },
]

/** @param db of a database that has `discoveryMigrations` */
export function createDiscoveryStore(db: Kysely<DiscoveryTables>, secrets: SecretBox): DiscoveryStore {
  const context = (address: string) => `discovered BMC ${address} password`
  const read = (record: string) => discoveredBmc.parse(JSON.parse(record))

  return {
    async put(bmc, password) {
      const record = JSON.stringify(bmc)
      const sealed = password === undefined ? {} : { password: secrets.seal(password, context(bmc.address)) }
      await db
        .insertInto('discovered_bmc')
        .values({ address: bmc.address, record, password: null, ...sealed })
        .onConflict((conflict) => conflict.column('address').doUpdateSet({ record, ...sealed }))
        .execute()
    },
    list: async () =>
      (await db.selectFrom('discovered_bmc').select('record').orderBy('address').execute()).map(({ record }) =>
        read(record),
      ),
    async get(address) {
      const row = await db
        .selectFrom('discovered_bmc')
        .select('record')
        .where('address', '=', address)
        .executeTakeFirst()
      return row && read(row.record)
    },
    async password(address) {
      const row = await db
        .selectFrom('discovered_bmc')
        .select('password')
        .where('address', '=', address)
        .executeTakeFirst()
      return row?.password ? secrets.open(row.password, context(address)) : undefined
    },
    async remove(address) {
      const { numDeletedRows } = await db
        .deleteFrom('discovered_bmc')
        .where('address', '=', address)
        .executeTakeFirstOrThrow()
      return numDeletedRows > 0n
    },
  }
}
