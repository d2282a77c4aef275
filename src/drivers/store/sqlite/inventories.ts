/** Inventories of machines in SQLite. */
import { sql, type Kysely } from 'kysely'
import type { Inventory } from '../../../model/inventory.ts'
import type { InventoryStore } from '../../../services/machines/ports.ts'
import type { Migration } from './database.ts'

export interface InventoryTables {
  inventory: {
    machine_id: string
    source: string
    at: number
    /** Inventory as JSON. */
    content: string
  }
}

/** To come after those of machines. */
export const inventoryMigrations: readonly Migration[] = [
  {
    name: '004-inventories',
    statements: [
      `CREATE TABLE inventory (machine_id TEXT NOT NULL REFERENCES machine(id) ON DELETE CASCADE, source TEXT NOT NULL,
        at INTEGER NOT NULL, content TEXT NOT NULL, PRIMARY KEY (machine_id, source)) STRICT`,
    ],
  },
]

/** @param db of a database that has `inventoryMigrations` */
export function createInventoryStore(db: Kysely<InventoryTables>): InventoryStore {
  const serial = sql<string | null>`json_extract(content, '$.system.serial')`
  return {
    async put(machineId, inventory) {
      const row = { source: inventory.source, at: inventory.at, content: JSON.stringify(inventory) }
      await db
        .insertInto('inventory')
        .values({ machine_id: machineId, ...row })
        .onConflict((conflict) => conflict.columns(['machine_id', 'source']).doUpdateSet(row))
        .execute()
    },
    async of(machineId) {
      const rows = await db
        .selectFrom('inventory')
        .select('content')
        .where('machine_id', '=', machineId)
        .orderBy('at', 'desc')
        .execute()
      return rows.map(({ content }) => JSON.parse(content) as Inventory)
    },
    async serials() {
      const rows = await db
        .selectFrom('inventory')
        .select(['machine_id', serial.as('serial')])
        .where(serial, 'is not', null)
        .orderBy('at')
        .execute()
      return new Map(rows.map((row) => [row.machine_id, row.serial!]))
    },
  }
}
