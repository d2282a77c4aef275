/** Power intents in SQLite. */
import type { Kysely } from 'kysely'
import type { Now } from '../../../base/clock.ts'
import type { PowerAction } from '../../../model/machine.ts'
import type { IntentStore, PowerIntent } from '../../../services/power/ports.ts'
import type { Tables } from './schema.ts'

export function createIntentStore(db: Kysely<Tables>, now: Now): IntentStore {
  return {
    async begin({ machineId, containerId, action }) {
      const createdAt = now()
      const row = await db
        .insertInto('power_intent')
        .values({
          machine_id: machineId,
          container_id: containerId ?? null,
          action,
          state: 'sent',
          created_at: createdAt,
          ended_at: null,
          cause: null,
        })
        .returning('id')
        .executeTakeFirstOrThrow()
      return { intentId: row.id, machineId, action, createdAt, ...(containerId ? { containerId } : {}) }
    },
    async end(intentId, result) {
      const cause = result.state === 'failed' ? result.cause : null
      await db
        .updateTable('power_intent')
        .set({ state: result.state, ended_at: now(), cause })
        .where('id', '=', intentId)
        .execute()
    },
    async switchedOn() {
      const last = db
        .selectFrom('power_intent')
        .select((table) => table.fn.max('id').as('id'))
        .where('state', '=', 'done')
        .groupBy('machine_id')
      const rows = await db
        .selectFrom('power_intent')
        .select('machine_id')
        .where('id', 'in', last)
        .where('action', 'in', ['on', 'cycle'])
        .execute()
      return rows.map((row) => row.machine_id)
    },
    async unfinished() {
      const rows = await db.selectFrom('power_intent').selectAll().where('ended_at', 'is', null).orderBy('id').execute()
      return rows.map((row): PowerIntent => ({
        intentId: row.id,
        machineId: row.machine_id,
        action: row.action as PowerAction,
        createdAt: row.created_at,
        ...(row.container_id === null ? {} : { containerId: row.container_id }),
      }))
    },
  }
}
