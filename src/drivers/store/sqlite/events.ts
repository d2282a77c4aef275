/** Events in SQLite, and the bus that tells of them. */
import type { Kysely, Transaction } from 'kysely'
import type { Now } from '../../../base/clock.ts'
import type { Event, NewEvent } from '../../../model/event.ts'
import type { EventBus } from '../../../services/ports.ts'
import type { Tables } from './schema.ts'

const HISTORY_LIMIT = 100_000

/** Writes events inside a transaction that is under way; tell the bus once it has been committed. */
export async function insertEvents(trx: Transaction<Tables>, now: Now, events: readonly NewEvent[]): Promise<Event[]> {
  const stored: Event[] = []
  for (const event of events) {
    const at = now()
    const row = await trx
      .insertInto('event')
      .values({
        at,
        kind: event.kind,
        action: event.action,
        subject_id: event.subjectId,
        name: event.name,
        source: event.source,
        attributes: JSON.stringify(event.attributes),
      })
      .returning('id')
      .executeTakeFirstOrThrow()
    stored.push({ ...event, id: row.id, at })
  }
  return stored
}

export function createEventBus(db: Kysely<Tables>, now: Now): EventBus {
  const listeners = new Set<(event: Event) => void>()
  const committed = (events: readonly Event[]): void => {
    // What a listener does wrong is its own bug and shows as such; the change that it hears of is done.
    for (const event of events)
      for (const listener of listeners)
        try {
          listener(event)
        } catch (error) {
          queueMicrotask(() => {
            throw error
          })
        }
  }
  return {
    committed,
    async publish(event) {
      const [stored] = await db.transaction().execute((trx) => insertEvents(trx, now, [event]))
      committed([stored!])
      return stored!
    },
    async history({ sinceMs, untilMs, afterId, subjectId }) {
      let query = db.selectFrom('event').selectAll().orderBy('id').limit(HISTORY_LIMIT)
      if (sinceMs !== undefined) query = query.where('at', '>=', sinceMs)
      if (untilMs !== undefined) query = query.where('at', '<=', untilMs)
      if (afterId !== undefined) query = query.where('id', '>', afterId)
      if (subjectId !== undefined) query = query.where('subject_id', '=', subjectId)
      return (await query.execute()).map((row) => ({
        id: row.id,
        at: row.at,
        kind: row.kind as Event['kind'],
        action: row.action,
        subjectId: row.subject_id,
        name: row.name,
        source: row.source,
        attributes: JSON.parse(row.attributes) as Record<string, string>,
      }))
    },
    listen(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
}
