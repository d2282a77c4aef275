/** Which machine a report is of. */
import type { Inventory } from '../../model/inventory.ts'
import type { StoredMachine } from '../machines/ports.ts'

export type Match =
  | { readonly kind: 'new' }
  | { readonly kind: 'known'; readonly machine: StoredMachine }
  /**
   * It says that it is a machine that somebody has accepted or rejected, but booted from a card that this machine is not known to have.
   * Anybody can say so: a card is added to a machine by a person, since scripts and secrets go to its cards.
   */
  | { readonly kind: 'claim'; readonly machine: StoredMachine; readonly by: string }

/** What a report says of who it is. */
export interface Identity {
  /** By which it asked for its script. */
  readonly bootMac: string
  readonly macs: readonly string[]
  readonly system: Inventory['system']
}

/** UUIDs that boards are sold with by the thousand. */
const COMMON_UUIDS = new Set(['03000200-0400-0500-0006-000700080009', '12345678-1234-5678-90ab-cddeefaabbcc'])

/**
 * Joins by the card that it booted from, then by serial number, UUID and its other cards: each finds a machine that is `discovered`, and of
 * the others only the first decides.
 * @param serialOf the serial number that a machine's inventories have
 */
export function matchReport(
  { bootMac, macs, system }: Identity,
  machines: readonly StoredMachine[],
  serialOf: (machineId: string) => string | undefined,
): Match {
  const booted = machines.find((machine) => machine.macs.includes(bootMac))
  if (booted) return { kind: 'known', machine: booted }
  const { serial, uuid } = system
  const found =
    first('serial number', (machine) => serial !== undefined && serialOf(machine.id) === serial) ??
    first('UUID', (machine) => uuid !== undefined && !COMMON_UUIDS.has(uuid) && machine.uuid === uuid) ??
    first('MAC address', (machine) => macs.some((mac) => machine.macs.includes(mac)))
  if (!found) return { kind: 'new' }
  return found.machine.admission === 'discovered'
    ? { kind: 'known', machine: found.machine }
    : { kind: 'claim', ...found }

  function first(by: string, is: (machine: StoredMachine) => boolean) {
    const machine = machines.find(is)
    return machine && { machine, by }
  }
}
