/** Makes machines of crawled systems. Who is who is decided by serial number, UUID and MAC addresses, never by an IP address. */
import { AppError } from '../../base/errors.ts'
import type { DiscoveredBmc, ImportStep } from '../../model/discovery.ts'
import type { Inventory } from '../../model/inventory.ts'
import { type Machine, type MachineChange, type MachineSpec, name as machineName } from '../../model/machine.ts'
import type { InventoryStore } from '../machines/ports.ts'
import type { MachinesService } from '../machines/machines.ts'
import { type Candidate, type Known, matchSystems } from './match.ts'
import type { DiscoveryStore } from './ports.ts'

export interface ImportDeps {
  readonly store: Pick<DiscoveryStore, 'password'>
  readonly inventories: InventoryStore
  readonly machines: Pick<MachinesService, 'list' | 'add' | 'change'>
  /** The URL that a machine's BMC driver takes for this system; undefined when no driver does. */
  readonly bmcUrl: (bmc: DiscoveredBmc, system: Inventory) => string | undefined
}

/** Beyond this a machine has more cards than machines can have. */
const MAX_MACS = 32

/**
 * @param dryRun says what would be done, and does nothing
 * @throws {AppError} conflict before anything is changed
 */
export async function importSystems(
  { store, inventories, machines, bmcUrl }: ImportDeps,
  bmcs: readonly DiscoveredBmc[],
  dryRun: boolean,
): Promise<ImportStep[]> {
  const all = await machines.list()
  const ofSerial = await inventories.serials()
  const known = all.map((machine): Known => ({ ...machine, serial: ofSerial.get(machine.id), uuid: machine.uuid }))
  const candidates = bmcs.flatMap((bmc) => bmc.systems.map((system) => ({ bmc, system })))
  const matches = matchSystems(known, candidates)
  const serials = candidates.map(({ system }) => system.system.serial)
  const isShared = ({ system: { serial } }: Inventory) => serials.filter((one) => one === serial).length > 1
  const taken = new Set(all.map(({ name }) => name))
  const steps: ImportStep[] = []
  for (const { candidate, machine, matchedBy, notes } of matches) {
    const { bmc, system } = candidate
    const where = { address: bmc.address, system: system.system.url, matchedBy }
    const url = bmcUrl(bmc, system)
    if (machine) {
      const existing = all.find(({ id }) => id === machine.id)!
      const change = changeOf(existing, system, url)
      if (!dryRun) await update(existing, change, candidate)
      steps.push({
        ...where,
        action: 'update',
        machine: machine.name,
        changes: [...describe(existing, change), ...notes],
      })
      continue
    }
    const macs = macsOf(system)
    if (macs.length === 0) {
      const why = 'its BMC knows no MAC address: register it with `bareboat machine add`, and import again'
      steps.push({ ...where, action: 'skip', changes: notes, why })
      continue
    }
    const spec = specOf(system, macs, freeName(system, macs[0]!, taken, isShared(system)), url)
    taken.add(spec.name)
    if (!dryRun) await add(spec, candidate)
    steps.push({ ...where, action: 'add', machine: spec.name, changes: [...describe(undefined, spec), ...notes] })
  }
  return steps

  async function add(spec: MachineSpec, { bmc, system }: Candidate): Promise<void> {
    const bmcPassword = spec.bmc === undefined ? undefined : await store.password(bmc.address)
    const machine = await machines.add({ ...spec, ...(bmcPassword === undefined ? {} : { bmcPassword }) })
    await inventories.put(machine.id, system)
  }

  async function update(machine: Machine, change: MachineChange, { bmc, system }: Candidate): Promise<void> {
    const bmcPassword = change.bmc === undefined ? undefined : await store.password(bmc.address)
    if (Object.keys(change).length > 0)
      await machines.change(machine.id, { ...change, ...(bmcPassword === undefined ? {} : { bmcPassword }) })
    await inventories.put(machine.id, system)
  }
}

/** What a person wrote stays; what is missing is filled in, and what was measured is kept up. */
function changeOf(machine: Machine, system: Inventory, url: string | undefined): MachineChange {
  const more = macsOf(system).filter((mac) => !machine.macs.includes(mac))
  const macs = [...machine.macs, ...more].slice(0, MAX_MACS)
  const memoryMiB = system.memory.totalMiB
  return {
    ...(macs.length > machine.macs.length ? { macs } : {}),
    ...(machine.uuid === undefined && system.system.uuid !== undefined ? { uuid: system.system.uuid } : {}),
    ...(memoryMiB !== undefined && machine.memoryMiB === undefined ? { memoryMiB } : {}),
    ...(machine.bmc === undefined && url !== undefined ? { bmc: url } : {}),
  }
}

function specOf(system: Inventory, macs: string[], name: string, url: string | undefined): MachineSpec {
  const isArm = system.cpus.some(({ architecture }) => /^(arm|aarch)/i.test(architecture ?? ''))
  const { uuid } = system.system
  const { totalMiB } = system.memory
  return {
    name,
    macs,
    arch: isArm ? 'arm64' : 'amd64',
    rank: 0,
    groups: [],
    labels: {},
    enabled: true,
    ...(uuid === undefined ? {} : { uuid }),
    ...(totalMiB === undefined ? {} : { memoryMiB: totalMiB }),
    ...(url === undefined ? {} : { bmc: url }),
  }
}

/** Interfaces that have a link first: one of them is what the machine boots from. */
function macsOf(system: Inventory): string[] {
  const nics = system.nics.toSorted((a, b) => Number(b.hasLink === true) - Number(a.hasLink === true))
  return [...new Set(nics.flatMap(({ mac }) => mac ?? []))].slice(0, MAX_MACS)
}

/**
 * The name that its operating system has, else its serial number unless others have it too, else its MAC address: the first that is a
 * name and free.
 */
function freeName(
  { system: { hostName, serial } }: Inventory,
  mac: string,
  taken: ReadonlySet<string>,
  isSerialShared: boolean,
): string {
  const host = hostName?.split('.')[0]
  const wishes = [host === 'localhost' ? undefined : host, isSerialShared ? undefined : serial, mac.replaceAll(':', '')]
  const found = wishes
    .map((wish) => wish?.toLowerCase())
    .find((wish) => wish !== undefined && machineName.safeParse(wish).success && !taken.has(wish))
  if (found === undefined)
    throw new AppError(
      'conflict',
      `Cannot name the machine with MAC "${mac}": a machine of that name is there, which is another one`,
    )
  return found
}

function describe(machine: Machine | undefined, { macs, uuid, memoryMiB, bmc }: MachineChange): string[] {
  const more = macs?.filter((mac) => !machine?.macs.includes(mac)) ?? []
  return [
    ...(more.length > 0 ? [`MAC ${more.join(', ')}`] : []),
    ...(uuid === undefined ? [] : [`UUID ${uuid}`]),
    ...(memoryMiB === undefined ? [] : [`memory ${memoryMiB} MiB`]),
    ...(bmc === undefined ? [] : [`BMC ${bmc}`]),
  ]
}
