/** Users of BMCs that are being set up, in SQLite. Sealed whole: there is a password in each. */
import type { Kysely } from 'kysely'
import type { Now } from '../../../base/clock.ts'
import type { BmcSetup, BmcSetupStore } from '../../../services/agents/ports.ts'
import type { SecretBox } from '../../../services/ports.ts'
import type { Migration } from './database.ts'

export interface BmcSetupTables {
  bmc_setup: { machine_id: string; setup: string; created_at: number }
}

export const bmcSetupMigrations: readonly Migration[] = [
  {
    name: '001-bmc-setups',
    statements: [
      `CREATE TABLE bmc_setup (machine_id TEXT PRIMARY KEY REFERENCES machine(id) ON DELETE CASCADE, setup TEXT NOT NULL,
        created_at INTEGER NOT NULL) STRICT`,
    ],
  },
]

export function createBmcSetupStore(db: Kysely<BmcSetupTables>, secrets: SecretBox, now: Now): BmcSetupStore {
  const context = (machineId: string) => `machine ${machineId} BMC setup`
  return {
    async put(machineId, setup) {
      const sealed = secrets.seal(JSON.stringify(setup), context(machineId))
      await db
        .insertInto('bmc_setup')
        .values({ machine_id: machineId, setup: sealed, created_at: now() })
        .onConflict((conflict) => conflict.column('machine_id').doUpdateSet({ setup: sealed, created_at: now() }))
        .execute()
    },
    async of(machineId) {
      const row = await db
        .selectFrom('bmc_setup')
        .select('setup')
        .where('machine_id', '=', machineId)
        .executeTakeFirst()
      return row && (JSON.parse(secrets.open(row.setup, context(machineId))) as BmcSetup)
    },
    async remove(machineId) {
      await db.deleteFrom('bmc_setup').where('machine_id', '=', machineId).execute()
    },
  }
}
