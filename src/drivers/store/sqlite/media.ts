/** Media in machines, in SQLite: looked up by the hash of their token, which is sealed with all else that opens something. */
import { createHash } from 'node:crypto'
import type { Kysely } from 'kysely'
import type { Now } from '../../../base/clock.ts'
import { AppError } from '../../../base/errors.ts'
import type { Attachment, AttachmentStore } from '../../../services/media/ports.ts'
import type { EventBus, SecretBox } from '../../../services/ports.ts'
import type { Migration } from './database.ts'
import { insertEvents } from './events.ts'
import type { Tables } from './schema.ts'

export interface MediaTables {
  medium: {
    id: string
    machine_id: string
    token_hash: string
    /** The Attachment as JSON, sealed: its token, and the token of the boot that a loader asks for. */
    sealed: string
    state: string
    read_at: number | null
    created_at: number
    ended_at: number | null
  }
}

export const mediaMigrations: readonly Migration[] = [
  {
    name: '006-media',
    statements: [
      `CREATE TABLE medium (id TEXT PRIMARY KEY, machine_id TEXT NOT NULL REFERENCES machine(id) ON DELETE CASCADE,
        token_hash TEXT NOT NULL, sealed TEXT NOT NULL, state TEXT NOT NULL, read_at INTEGER, created_at INTEGER NOT NULL, ended_at INTEGER) STRICT`,
      `CREATE UNIQUE INDEX one_medium ON medium(machine_id) WHERE ended_at IS NULL`,
      `CREATE INDEX medium_by_token ON medium(token_hash) WHERE ended_at IS NULL`,
    ],
  },
]

/** @param db of a database that has `mediaMigrations` */
export function createAttachmentStore(
  db: Kysely<MediaTables & Tables>,
  events: EventBus,
  secrets: SecretBox,
  now: Now,
): AttachmentStore {
  const open = db.selectFrom('medium').selectAll().where('ended_at', 'is', null)
  const toAttachment = (row: MediaTables['medium'] | undefined): Attachment | undefined =>
    row && {
      ...(JSON.parse(secrets.open(row.sealed, context(row.id))) as Attachment),
      state: row.state as Attachment['state'],
      ...(row.read_at === null ? {} : { readAt: row.read_at }),
    }

  return {
    async begin(attachment) {
      const { id, machineId, token, state, createdAt } = attachment
      await db.transaction().execute(async (trx) => {
        const other = await trx
          .selectFrom('medium')
          .select('id')
          .where('machine_id', '=', machineId)
          .where('ended_at', 'is', null)
          .executeTakeFirst()
        if (other)
          throw new AppError(
            'conflict',
            'Cannot attach a medium: the machine has one of this server; detach that first',
          )
        await trx
          .insertInto('medium')
          .values({
            id,
            machine_id: machineId,
            token_hash: hash(token),
            sealed: secrets.seal(JSON.stringify(attachment), context(id)),
            state,
            read_at: null,
            created_at: createdAt,
            ended_at: null,
          })
          .execute()
      })
    },
    async patch(id, { state, readAt }, event) {
      const stored = await db.transaction().execute(async (trx) => {
        await trx
          .updateTable('medium')
          .set({ ...(state === undefined ? {} : { state }), ...(readAt === undefined ? {} : { read_at: readAt }) })
          .where('id', '=', id)
          .where('ended_at', 'is', null)
          .execute()
        return event ? insertEvents(trx as never, now, [event]) : []
      })
      events.committed(stored)
    },
    async end(id, event) {
      const stored = await db.transaction().execute(async (trx) => {
        // What opened something is of no use any more.
        await trx
          .updateTable('medium')
          .set({ ended_at: now(), sealed: '' })
          .where('id', '=', id)
          .where('ended_at', 'is', null)
          .execute()
        return insertEvents(trx as never, now, [event])
      })
      events.committed(stored)
    },
    open: async () => (await open.orderBy('created_at').execute()).flatMap((row) => toAttachment(row) ?? []),
    openOf: async (machineId) => toAttachment(await open.where('machine_id', '=', machineId).executeTakeFirst()),
    byToken: async (token) => toAttachment(await open.where('token_hash', '=', hash(token)).executeTakeFirst()),
  }
}

function hash(token: string): string {
  return createHash('sha256').update(token).digest('hex')
}

function context(id: string): string {
  return `medium ${id}`
}
