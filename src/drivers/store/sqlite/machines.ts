/** Machines in SQLite. */
import type { Kysely, Transaction } from 'kysely'
import type { Now } from '../../../base/clock.ts'
import { AppError } from '../../../base/errors.ts'
import { LIVE } from '../../../model/container.ts'
import type { NewEvent } from '../../../model/event.ts'
import type { MachineStore, StoredMachine } from '../../../services/machines/ports.ts'
import type { EventBus, SecretBox } from '../../../services/ports.ts'
import { insertEvents } from './events.ts'
import type { Tables } from './schema.ts'

export function createMachineStore(db: Kysely<Tables>, events: EventBus, secrets: SecretBox, now: Now): MachineStore {
  const change = async <T>(event: NewEvent, work: (trx: Transaction<Tables>) => Promise<T>): Promise<T> => {
    const { value, stored } = await db.transaction().execute(async (trx) => {
      const value = await work(trx)
      return { value, stored: value === undefined ? [] : await insertEvents(trx, now, [event]) }
    })
    events.committed(stored)
    return value
  }
  const context = (machineId: string) => `machine ${machineId} BMC password`

  return {
    insert: async (machine, password, event) => {
      await change(event, async (trx) => {
        await refuseTaken(trx, machine)
        await trx
          .insertInto('machine')
          .values({
            id: machine.id,
            name: machine.name,
            spec: specOf(machine),
            bmc_password: password === undefined ? null : secrets.seal(password, context(machine.id)),
            created_at: machine.createdAt,
          })
          .execute()
        await insertMacs(trx, machine)
        return true
      })
    },

    update: (machineId, decide, password, event) =>
      change(event, async (trx) => {
        const seen = optional(await select(trx).where('machine.id', '=', machineId).executeTakeFirst())
        const machine = seen && decide(seen)
        if (!machine) return undefined
        await refuseTaken(trx, machine)
        const sealed = password === undefined ? {} : { bmc_password: secrets.seal(password, context(machineId)) }
        await trx
          .updateTable('machine')
          .set({ name: machine.name, spec: specOf(machine), ...sealed })
          .where('id', '=', machineId)
          .execute()
        await trx.deleteFrom('machine_mac').where('machine_id', '=', machineId).execute()
        await insertMacs(trx, machine)
        return machine
      }),

    remove: async (machineId, event) => {
      await change(event, async (trx) => {
        const user = await trx
          .selectFrom('container')
          .select(['name', 'state'])
          .where('machine_id', '=', machineId)
          .where('state', 'in', LIVE)
          .executeTakeFirst()
        if (user)
          throw new AppError(
            'conflict',
            `Cannot remove machine "${event.name}": container "${user.name}" is ${user.state} on it; stop it first`,
          )
        await trx.updateTable('container').set({ machine_id: null }).where('machine_id', '=', machineId).execute()
        await trx.deleteFrom('machine').where('id', '=', machineId).execute()
        return true
      })
    },

    list: async () => (await select(db).orderBy('machine.name').execute()).map(toMachine),
    byId: async (machineId) => optional(await select(db).where('machine.id', '=', machineId).executeTakeFirst()),
    byMac: async (mac) =>
      optional(
        await select(db)
          .where('machine.id', 'in', (q) => q.selectFrom('machine_mac').select('machine_id').where('mac', '=', mac))
          .executeTakeFirst(),
      ),
    async bmcPassword(machineId) {
      const row = await db.selectFrom('machine').select('bmc_password').where('id', '=', machineId).executeTakeFirst()
      return row?.bmc_password ? secrets.open(row.bmc_password, context(machineId)) : undefined
    },
  }
}

function select(db: Kysely<Tables> | Transaction<Tables>) {
  return db
    .selectFrom('machine')
    .leftJoin('container', (join) =>
      join.onRef('container.machine_id', '=', 'machine.id').on('container.state', 'in', LIVE),
    )
    .select(['machine.id', 'machine.spec', 'machine.bmc_password', 'machine.created_at', 'container.id as containerId'])
}

type Row = Awaited<ReturnType<ReturnType<typeof select>['executeTakeFirstOrThrow']>>

function toMachine(row: Row): StoredMachine {
  return {
    ...(JSON.parse(row.spec) as Omit<StoredMachine, 'id'>),
    id: row.id,
    hasBmcPassword: row.bmc_password !== null,
    createdAt: row.created_at,
    ...(row.containerId === null ? {} : { containerId: row.containerId }),
  }
}

function optional(row: Row | undefined): StoredMachine | undefined {
  return row && toMachine(row)
}

function specOf(machine: StoredMachine): string {
  const { id: _id, hasBmcPassword: _has, createdAt: _at, containerId: _container, ...spec } = machine
  return JSON.stringify(spec)
}

async function insertMacs(trx: Transaction<Tables>, machine: StoredMachine): Promise<void> {
  for (const mac of new Set(machine.macs))
    await trx.insertInto('machine_mac').values({ mac, machine_id: machine.id }).execute()
}

async function refuseTaken(trx: Transaction<Tables>, machine: StoredMachine): Promise<void> {
  const named = await trx
    .selectFrom('machine')
    .select('id')
    .where('name', '=', machine.name)
    .where('id', '!=', machine.id)
    .executeTakeFirst()
  if (named) throw new AppError('conflict', `Cannot add machine "${machine.name}": that name is taken`)
  const owner = await trx
    .selectFrom('machine_mac')
    .innerJoin('machine', 'machine.id', 'machine_mac.machine_id')
    .select(['machine_mac.mac', 'machine.name'])
    .where('machine_mac.mac', 'in', machine.macs)
    .where('machine.id', '!=', machine.id)
    .executeTakeFirst()
  if (owner)
    throw new AppError(
      'conflict',
      `Cannot give MAC "${owner.mac}" to machine "${machine.name}": it belongs to machine "${owner.name}"`,
    )
  if (machine.ip === undefined) return
  const rows = await trx.selectFrom('machine').select(['name', 'spec']).where('id', '!=', machine.id).execute()
  const same = rows.find((row) => (JSON.parse(row.spec) as { ip?: string }).ip === machine.ip)
  if (same)
    throw new AppError(
      'conflict',
      `Cannot give address "${machine.ip}" to machine "${machine.name}": it belongs to machine "${same.name}"`,
    )
}
