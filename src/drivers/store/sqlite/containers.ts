/** Containers in SQLite. */
import type { Kysely, Transaction } from 'kysely'
import type { Now } from '../../../base/clock.ts'
import { AppError } from '../../../base/errors.ts'
import { LIVE, next, type Container } from '../../../model/container.ts'
import type { NewEvent } from '../../../model/event.ts'
import type { ContainerChange, ContainerPatch, ContainerStore } from '../../../services/containers/ports.ts'
import type { EventBus } from '../../../services/ports.ts'
import { insertEvents } from './events.ts'
import type { Tables } from './schema.ts'

type Read = Kysely<Tables> | Transaction<Tables>

export function createContainerStore(db: Kysely<Tables>, events: EventBus, now: Now): ContainerStore {
  const change = async <T>(
    happened: NewEvent | readonly NewEvent[],
    work: (trx: Transaction<Tables>) => Promise<T>,
  ): Promise<T> => {
    const { value, stored } = await db.transaction().execute(async (trx) => {
      const value = await work(trx)
      return { value, stored: value === undefined ? [] : await insertEvents(trx, now, [happened].flat()) }
    })
    events.committed(stored)
    return value
  }

  return {
    insert: async (container, event) => {
      await change(event, async (trx) => {
        await refuseTakenName(trx, container.name, container.id)
        await refuseTakenMachine(trx, container)
        await trx.insertInto('container').values(toRow(container)).execute()
        return true
      })
    },

    transition: (containerId, action, what, happened) =>
      change(happened, async (trx) => {
        const container = await find(trx, containerId)
        const state = container && next(container.state, action)
        const patch = container && patchOf(what, container)
        if (!container || !state || !patch) return undefined
        return write(trx, { ...container, ...patch, state } as Container)
      }),

    patch: (containerId, what, happened = []) =>
      change(happened, async (trx) => {
        const container = await find(trx, containerId)
        const patch = container && patchOf(what, container)
        if (!container || !patch) return undefined
        if (patch.name !== undefined) await refuseTakenName(trx, patch.name, containerId)
        return write(trx, { ...container, ...patch, state: container.state } as Container)
      }),

    remove: async (containerId, event) => {
      await change(event, async (trx) => {
        const container = await find(trx, containerId)
        if (container && LIVE.includes(container.state))
          throw new AppError(
            'conflict',
            `Cannot remove container "${container.name}": it is ${container.state}; stop it first, or use --force`,
          )
        await trx.deleteFrom('boot').where('container_id', '=', containerId).execute()
        await trx.deleteFrom('container').where('id', '=', containerId).execute()
        return container
      })
    },

    byId: (containerId) => find(db, containerId),
    list: async () =>
      (await db.selectFrom('container').selectAll().orderBy('created_at', 'desc').execute()).map(toContainer),
  }
}

async function find(db: Read, containerId: string): Promise<Container | undefined> {
  const row = await db.selectFrom('container').selectAll().where('id', '=', containerId).executeTakeFirst()
  return row && toContainer(row)
}

function patchOf(what: ContainerChange, container: Container): ContainerPatch | undefined {
  return typeof what === 'function' ? what(container) : what
}

async function write(trx: Transaction<Tables>, container: Container): Promise<Container> {
  await refuseTakenMachine(trx, container)
  const row = toRow(container)
  await trx.updateTable('container').set(row).where('id', '=', container.id).execute()
  return toContainer(row)
}

async function refuseTakenName(trx: Read, name: string, containerId: string): Promise<void> {
  const other = await trx
    .selectFrom('container')
    .select('id')
    .where('name', '=', name)
    .where('id', '!=', containerId)
    .executeTakeFirst()
  if (other)
    throw new AppError(
      'conflict',
      `Cannot use the name "${name}": container ${other.id.slice(0, 12)} has it; remove or rename that container`,
    )
}

async function refuseTakenMachine(trx: Read, container: Container): Promise<void> {
  if (container.machineId === undefined || !LIVE.includes(container.state)) return
  const machine = await trx.selectFrom('machine').select('id').where('id', '=', container.machineId).executeTakeFirst()
  if (!machine)
    throw new AppError(
      'exhausted',
      `Cannot take machine "${container.machineName ?? container.machineId}": it was removed`,
    )
  const other = await trx
    .selectFrom('container')
    .select(['name', 'state'])
    .where('machine_id', '=', container.machineId)
    .where('state', 'in', LIVE)
    .where('id', '!=', container.id)
    .executeTakeFirst()
  if (other)
    throw new AppError(
      'exhausted',
      `Cannot take machine "${container.machineName ?? container.machineId}": container "${other.name}" is ${other.state} on it`,
    )
}

function toRow(container: Container) {
  const { id, name, state, machineId, createdAt, ...record } = container
  return {
    id,
    name,
    state,
    machine_id: machineId ?? null,
    created_at: createdAt,
    record: JSON.stringify(record),
  }
}

function toContainer(row: Tables['container']): Container {
  return {
    ...(JSON.parse(row.record) as Omit<Container, 'id' | 'name' | 'state' | 'createdAt'>),
    id: row.id,
    name: row.name,
    state: row.state as Container['state'],
    createdAt: row.created_at,
    ...(row.machine_id === null ? {} : { machineId: row.machine_id }),
  }
}
