/** Reports of machines, kept: as inventories, and as machines that were discovered. */
import { randomUUID } from 'node:crypto'
import type { Now } from '../../base/clock.ts'
import { AppError } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import type { HardwareReport } from '../../formats/hardware/report.ts'
import type { Inventory } from '../../model/inventory.ts'
import type { InventoryStore, MachineStore, StoredMachine } from '../machines/ports.ts'
import { inventoryOf, macsOf } from './inventory.ts'
import { matchReport } from './join.ts'

export interface IntakeDeps {
  readonly log: Log
  readonly machines: MachineStore
  readonly inventories: InventoryStore
  readonly now: Now
}

/** Nobody looks through more; who fills the list with machines that there are not fills no disk. */
const MAX_DISCOVERED = 1024
/** The most MAC addresses of one machine (model/machine.ts). */
const MAX_MACS = 32

/** @returns what keeps the report of a machine that booted by a card */
export function createIntake({ log, machines, inventories, now }: IntakeDeps) {
  /** Keeps a report: of a machine that is known by now, or a new one. @returns the machine; undefined where it is only a claim */
  return async function keep(bootMac: string, report: HardwareReport): Promise<StoredMachine | undefined> {
    const inventory = inventoryOf(report, now())
    const all = await machines.list()
    const identity = { bootMac, macs: macsOf(report), system: inventory.system }
    const serials = await inventories.serials()
    const match = matchReport(identity, all, (machineId) => serials.get(machineId))
    if (match.kind === 'claim') {
      const { machine, by } = match
      log.warn('an unknown machine says that it is a known one', { mac: bootMac, machine: machine.name, by })
      return undefined
    }
    const taken = new Set(
      all.filter((each) => match.kind === 'new' || each.id !== match.machine.id).flatMap((m) => m.macs),
    )
    const macs = [bootMac, ...identity.macs].filter((mac) => !taken.has(mac))
    const facts = factsOf(report, inventory)
    const machine = match.kind === 'known' ? await learn(match.machine, macs, facts) : await discover(all, macs, facts)
    if (machine) await inventories.put(machine.id, inventory)
    return machine
  }

  async function discover(
    all: readonly StoredMachine[],
    macs: readonly string[],
    facts: Facts,
  ): Promise<StoredMachine | undefined> {
    const waiting = all.filter(({ admission }) => admission === 'discovered').length
    if (waiting >= MAX_DISCOVERED)
      throw new AppError(
        'exhausted',
        `Cannot keep another machine: ${waiting} wait to be accepted; accept, reject or remove some`,
      )
    const machine: StoredMachine = {
      id: randomUUID(),
      name: nameFor(macs[0]!, new Set(all.map(({ name }) => name))),
      macs: [...new Set(macs)].slice(0, MAX_MACS),
      arch: 'amd64',
      rank: 0,
      groups: [],
      labels: {},
      enabled: true,
      hasBmcPassword: false,
      admission: 'discovered',
      cordoned: false,
      createdAt: now(),
      ...facts,
    }
    await machines.insert(machine, undefined, event('discover', machine, machine.macs[0]!))
    log.info('machine discovered', { machine: machine.name, mac: machine.macs[0] })
    return machine
  }

  /** A machine is believed what it measures; what it says of who it is only until somebody has accepted it. */
  async function learn(
    known: StoredMachine,
    macs: readonly string[],
    facts: Facts,
  ): Promise<StoredMachine | undefined> {
    const change = (seen: StoredMachine): StoredMachine | undefined => {
      const { uuid: _uuid, arch: _arch, ...measured } = facts
      const changed: StoredMachine =
        seen.admission === 'discovered'
          ? { ...seen, ...facts, macs: [...new Set([...seen.macs, ...macs])].slice(0, MAX_MACS) }
          : { ...seen, ...measured }
      return JSON.stringify(changed) === JSON.stringify(seen) ? undefined : changed
    }
    await machines.update(known.id, change, undefined, event('learn', known, macs[0] ?? known.macs[0]!))
    return machines.byId(known.id)
  }
}

/** What a report says that a machine's record has, too. */
type Facts = Partial<Pick<StoredMachine, 'uuid' | 'arch' | 'firmware' | 'memoryMiB'>>

function factsOf({ system }: HardwareReport, inventory: Inventory): Facts {
  const arch = ({ x86_64: 'amd64', aarch64: 'arm64' } as const)[system.arch ?? '']
  const firmware = (['bios', 'uefi'] as const).find((each) => each === system.firmware)
  const memoryMiB = Math.trunc((system.memory_kib ?? 0) / 1024)
  return {
    ...(inventory.system.uuid === undefined ? {} : { uuid: inventory.system.uuid }),
    ...(arch === undefined ? {} : { arch }),
    ...(firmware === undefined ? {} : { firmware }),
    ...(memoryMiB > 0 ? { memoryMiB } : {}),
  }
}

/** `m-525400123456`, of the card that it booted from. */
function nameFor(mac: string, taken: ReadonlySet<string>): string {
  const plain = `m-${mac.replaceAll(':', '')}`
  for (let count = 1; ; count++) {
    const name = count === 1 ? plain : `${plain}-${count}`
    if (!taken.has(name)) return name
  }
}

function event(action: string, machine: StoredMachine, mac: string) {
  return {
    kind: 'machine',
    action,
    subjectId: machine.id,
    name: machine.name,
    source: 'guest',
    attributes: { mac },
  } as const
}
