/** BMCs that were found, and inventories of machines, in SQLite. */
import type { Kysely } from 'kysely'
import { discoveredBmc } from '../../../model/discovery.ts'
import { inventory } from '../../../model/inventory.ts'
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
  machine_inventory: {
    machine_id: string
    /** Inventory as JSON. */
    record: string
    at: number
  }
}

export const discoveryMigrations: readonly Migration[] = [
  {
    name: '003-discovery',
    statements: [
      `CREATE TABLE discovered_bmc (address TEXT PRIMARY KEY, record TEXT NOT NULL, password TEXT) STRICT`,
      `CREATE TABLE machine_inventory (machine_id TEXT PRIMARY KEY REFERENCES machine(id) ON DELETE CASCADE,
        record TEXT NOT NULL, at INTEGER NOT NULL) STRICT`,
    ],
  },
]

/** @param db of a database that has `coreMigrations` and `discoveryMigrations` */
export function createDiscoveryStore(db: Kysely<DiscoveryTables>, secrets: SecretBox): DiscoveryStore {
  const context = (address: string) => `discovered BMC ${address} password`
  const read = (record: string) => discoveredBmc.parse(JSON.parse(record))
  const inventoryOf = (record: string) => inventory.parse(JSON.parse(record))

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
    async putInventory(machineId, what) {
      const row = { machine_id: machineId, record: JSON.stringify(what), at: what.at }
      await db
        .insertInto('machine_inventory')
        .values(row)
        .onConflict((conflict) => conflict.column('machine_id').doUpdateSet(row))
        .execute()
    },
    async inventory(machineId) {
      const row = await db
        .selectFrom('machine_inventory')
        .select('record')
        .where('machine_id', '=', machineId)
        .executeTakeFirst()
      return row && inventoryOf(row.record)
    },
    async identities() {
      const rows = await db.selectFrom('machine_inventory').select(['machine_id', 'record']).execute()
      return rows.map(({ machine_id: machineId, record }) => {
        const { serial, uuid } = inventoryOf(record).system
        return { machineId, serial, uuid }
      })
    },
  }
}
