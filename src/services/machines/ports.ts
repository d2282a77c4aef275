import type { NewEvent } from '../../model/event.ts'
import type { Inventory } from '../../model/inventory.ts'
import type { Machine, MachineSpec } from '../../model/machine.ts'

/** A machine as it is stored, with the container that holds it now. */
export type StoredMachine = Omit<Machine, 'leasedIp'>

export interface StoredGroup {
  readonly name: string
  readonly description: string
}

/** All that is known, as it is inside a transaction. */
export interface Roster {
  readonly machines: readonly StoredMachine[]
  /** Those that were created; a group that only its members name is among none. */
  readonly groups: readonly StoredGroup[]
}

/** Changes of a roster that happen all, or none. What is not named stays. */
export interface RosterChange {
  readonly inserts?: readonly StoredMachine[]
  /** In place of those with the same ids. */
  readonly updates?: readonly StoredMachine[]
  readonly newGroups?: readonly StoredGroup[]
  readonly lostGroups?: readonly string[]
  readonly events: readonly NewEvent[]
}

/** Each method that changes something does so in one transaction with the event. */
export interface MachineStore {
  /** @throws {AppError} conflict when the name or a MAC is taken, naming by whom */
  insert(machine: StoredMachine, bmcPassword: string | undefined, event: NewEvent): Promise<void>
  /**
   * Changes a machine to what `change` makes of it as it is inside the transaction; `undefined` leaves it as it is.
   * @returns the machine as stored, or undefined when there is none or nothing to change
   * @throws {AppError} conflict as `insert`
   */
  update(
    machineId: string,
    change: (seen: StoredMachine) => StoredMachine | undefined,
    bmcPassword: string | undefined,
    event: NewEvent,
  ): Promise<StoredMachine | undefined>
  /** @throws {AppError} conflict when a container still names the machine */
  remove(machineId: string, event: NewEvent): Promise<void>
  /**
   * Does what `decide` makes of all that is known, in one transaction.
   * @throws {AppError} what `decide` throws
   */
  changeAll(decide: (seen: Roster) => RosterChange): Promise<void>
  groups(): Promise<StoredGroup[]>
  list(): Promise<StoredMachine[]>
  byId(machineId: string): Promise<StoredMachine | undefined>
  byMac(mac: string): Promise<StoredMachine | undefined>
  byName(name: string): Promise<StoredMachine | undefined>
  /** In the clear; only for the driver that speaks to the BMC. */
  bmcPassword(machineId: string): Promise<string | undefined>
}

/** What is known of the hardware of machines: the last inventory of each source. It goes with its machine. */
export interface InventoryStore {
  put(machineId: string, inventory: Inventory): Promise<void>
  /** The latest first. */
  of(machineId: string): Promise<Inventory[]>
  /** Serial numbers by machine, where one is known. */
  serials(): Promise<ReadonlyMap<string, string>>
}

export type { MachineSpec }
