/** Boots in SQLite: looked up by the hash of their token, their secrets sealed. */
import { createHash } from 'node:crypto'
import type { Kysely } from 'kysely'
import type { Now } from '../../../base/clock.ts'
import type { Boot, BootStore } from '../../../services/boot/ports.ts'
import type { SecretBox } from '../../../services/ports.ts'
import type { Tables } from './schema.ts'

type Secrets = Omit<Boot, 'containerId' | 'machineId' | 'createdAt' | 'claimedBy'>

export function createBootStore(db: Kysely<Tables>, secrets: SecretBox, now: Now): BootStore {
  const toBoot = (row: Tables['boot'] | undefined): Boot | undefined =>
    row && {
      ...(JSON.parse(secrets.open(row.secrets, context(row.container_id))) as Secrets),
      containerId: row.container_id,
      machineId: row.machine_id,
      createdAt: row.created_at,
      ...(row.claimed_by === null ? {} : { claimedBy: row.claimed_by }),
    }
  const openRows = db.selectFrom('boot').selectAll().where('ended_at', 'is', null)

  return {
    async open(boot) {
      const { containerId, machineId, createdAt, claimedBy: _claimed, ...secret } = boot
      await db.transaction().execute(async (trx) => {
        await trx
          .updateTable('boot')
          .set({ ended_at: now() })
          .where('machine_id', '=', machineId)
          .where('ended_at', 'is', null)
          .execute()
        await trx
          .insertInto('boot')
          .values({
            token_hash: hash(boot.token),
            container_id: containerId,
            machine_id: machineId,
            secrets: secrets.seal(JSON.stringify(secret), context(containerId)),
            claimed_by: null,
            created_at: createdAt,
            ended_at: null,
          })
          .execute()
      })
    },
    byToken: async (token) => toBoot(await openRows.where('token_hash', '=', hash(token)).executeTakeFirst()),
    openOf: async (machineId) => toBoot(await openRows.where('machine_id', '=', machineId).executeTakeFirst()),
    tokens: async () => new Map((await openRows.execute()).map((row) => [row.machine_id, toBoot(row)!.token])),
    byContainer: async (containerId) =>
      toBoot(await openRows.where('container_id', '=', containerId).executeTakeFirst()),
    async claim(token, address) {
      await db
        .updateTable('boot')
        .set({ claimed_by: address })
        .where('token_hash', '=', hash(token))
        .where('claimed_by', 'is', null)
        .execute()
      const row = await openRows.where('token_hash', '=', hash(token)).executeTakeFirst()
      return row?.claimed_by === address
    },
    async end(token) {
      await db.updateTable('boot').set({ ended_at: now() }).where('token_hash', '=', hash(token)).execute()
    },
  }
}

function hash(token: string): string {
  return createHash('sha256').update(token).digest('hex')
}

function context(containerId: string): string {
  return `boot of container ${containerId}`
}
