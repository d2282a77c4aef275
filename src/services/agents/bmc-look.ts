/** What the BMC of a machine in the agent says of itself, asked from inside: it becomes part of the machine's inventory. */
import { AppError, explain } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import { NOTE_LIMIT, TEXT_LIMIT, type Inventory } from '../../model/inventory.ts'
import type { InventoryStore, StoredMachine } from '../machines/ports.ts'
import type { InbandBmc } from './inband-port.ts'

export interface BmcLookDeps {
  readonly log: Log
  readonly inventories: Pick<InventoryStore, 'put' | 'of'>
  readonly openInband: (machine: StoredMachine) => Promise<InbandBmc>
}

/** @param inventory the report of the machine @throws what the store throws; a BMC that cannot be asked is a note of the inventory */
export async function lookAtBmc(deps: BmcLookDeps, machine: StoredMachine, inventory: Inventory): Promise<void> {
  let seen: Inventory
  try {
    seen = { ...inventory, bmc: { ...inventory.bmc, ...(await ask(deps, machine)) } }
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    deps.log.debug('the BMC of a machine was not asked from inside', { machine: machine.name, why: explain(error) })
    const note = `the BMC was not asked from inside: ${explain(error)}`.slice(0, TEXT_LIMIT)
    seen = { ...inventory, notes: [...inventory.notes, note].slice(-NOTE_LIMIT) }
  }
  // A newer report, of another boot, has its own look.
  const latest = (await deps.inventories.of(machine.id)).find(({ source }) => source === 'agent')
  if (latest?.at === inventory.at) await deps.inventories.put(machine.id, seen)
}

async function ask({ openInband }: BmcLookDeps, machine: StoredMachine): Promise<NonNullable<Inventory['bmc']>> {
  await using bmc = await openInband(machine)
  const { manufacturer, firmware } = await bmc.identity()
  const lans = await bmc.lans()
  const first = lans.find(({ ip }) => ip !== undefined) ?? lans[0]
  return {
    manufacturer,
    firmware,
    ...(first?.ip === undefined ? {} : { ip: first.ip }),
    ...(first?.mac === undefined ? {} : { mac: first.mac }),
    lans,
    ...(first === undefined ? {} : { users: (await bmc.users(first.channel)).users }),
  }
}
