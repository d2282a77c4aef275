/** Machines in SQLite. */
import { setImmediate } from 'node:timers/promises'
import type { Kysely, Transaction } from 'kysely'
import type { Now } from '../../../base/clock.ts'
import { AppError } from '../../../base/errors.ts'
import { LIVE } from '../../../model/container.ts'
import type { Event, NewEvent } from '../../../model/event.ts'
import { addressesOf } from '../../../model/addresses.ts'
import type { MachineStore, StoredGroup, StoredMachine } from '../../../services/machines/ports.ts'
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
        await insertMachine(trx, machine, password === undefined ? null : secrets.seal(password, context(machine.id)))
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
          .set({ ...columnsOf(machine), ...sealed })
          .where('id', '=', machineId)
          .execute()
        await dropClaims(trx, machineId)
        await insertClaims(trx, machine)
        return machine
      }),

    async changeAll(decide) {
      const stored = await db.transaction().execute(async (trx) => {
        const machines = (await select(trx).orderBy('machine.name').execute()).map(toMachine)
        const change = decide({ machines, groups: await groupsIn(trx) })
        // Two machines may exchange what each must have alone: all let go of theirs before any takes.
        const breathe = breathing()
        for (const { id } of change.updates ?? []) {
          await breathe()
          await trx
            .updateTable('machine')
            .set({ name: `(${id})`, xname: null, nid: null })
            .where('id', '=', id)
            .execute()
          await dropClaims(trx, id)
        }
        for (const machine of change.updates ?? []) {
          await breathe()
          await trx.updateTable('machine').set(columnsOf(machine)).where('id', '=', machine.id).execute()
          await insertClaims(trx, machine)
        }
        for (const machine of change.inserts ?? []) {
          await breathe()
          await insertMachine(trx, machine, null)
        }
        for (const group of change.newGroups ?? []) await trx.insertInto('machine_group').values(group).execute()
        for (const name of change.lostGroups ?? [])
          await trx.deleteFrom('machine_group').where('name', '=', name).execute()
        const stored: Event[] = []
        for (const event of change.events) {
          await breathe()
          stored.push(...(await insertEvents(trx, now, [event])))
        }
        return stored
      })
      events.committed(stored)
    },

    groups: () => groupsIn(db),

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
    byName: async (name) => optional(await select(db).where('machine.name', '=', name).executeTakeFirst()),
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

/** Steps between two pauses. */
const STEPS = 50

/**
 * A pause now and then, in which leases are given and requests are taken: queries do not leave the turn of the event loop by
 * themselves. Others that ask the database meanwhile wait for the end of the transaction.
 */
function breathing(): () => Promise<void> {
  let step = 0
  return async () => {
    if (++step % STEPS === 0) await setImmediate()
  }
}

/** What stands in columns of its own, so that the database keeps it from being had twice. */
function columnsOf(machine: StoredMachine) {
  const { name, xname = null, nid = null } = machine
  return { name, xname, nid, spec: specOf(machine) }
}

async function insertMachine(trx: Transaction<Tables>, machine: StoredMachine, sealed: string | null): Promise<void> {
  const { id, createdAt } = machine
  await trx
    .insertInto('machine')
    .values({ id, created_at: createdAt, bmc_password: sealed, ...columnsOf(machine) })
    .execute()
  await insertClaims(trx, machine)
}

async function insertClaims(trx: Transaction<Tables>, machine: StoredMachine): Promise<void> {
  for (const mac of new Set(machine.macs))
    await trx.insertInto('machine_mac').values({ mac, machine_id: machine.id }).execute()
  for (const address of addressesOf(machine))
    await trx.insertInto('machine_address').values({ address, machine_id: machine.id }).execute()
}

async function dropClaims(trx: Transaction<Tables>, machineId: string): Promise<void> {
  await trx.deleteFrom('machine_mac').where('machine_id', '=', machineId).execute()
  await trx.deleteFrom('machine_address').where('machine_id', '=', machineId).execute()
}

function groupsIn(db: Kysely<Tables> | Transaction<Tables>): Promise<StoredGroup[]> {
  return db.selectFrom('machine_group').select(['name', 'description']).orderBy('name').execute()
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
  const holder = await trx
    .selectFrom('machine')
    .select(['name', 'xname', 'nid'])
    .where((is) => is.or([is('xname', '=', machine.xname ?? null), is('nid', '=', machine.nid ?? null)]))
    .where('id', '!=', machine.id)
    .executeTakeFirst()
  if (holder) {
    const what = holder.xname === machine.xname ? `xname "${holder.xname}"` : `nid ${holder.nid}`
    throw new AppError(
      'conflict',
      `Cannot give ${what} to machine "${machine.name}": it belongs to machine "${holder.name}"`,
    )
  }
  const addresses = addressesOf(machine)
  if (addresses.length === 0) return
  const same = await trx
    .selectFrom('machine_address')
    .innerJoin('machine', 'machine.id', 'machine_address.machine_id')
    .select(['machine_address.address', 'machine.name'])
    .where('machine_address.address', 'in', addresses)
    .where('machine.id', '!=', machine.id)
    .executeTakeFirst()
  if (same)
    throw new AppError(
      'conflict',
      `Cannot give address "${same.address}" to machine "${machine.name}": it belongs to machine "${same.name}"`,
    )
}
