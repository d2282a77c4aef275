import type { NewEvent } from '../../model/event.ts'
import type { Inventory } from '../../model/inventory.ts'
import type { Machine, MachineSpec } from '../../model/machine.ts'

/** A machine as it is stored, with the container that holds it now. */
export type StoredMachine = Omit<Machine, 'leasedIp'>

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
  list(): Promise<StoredMachine[]>
  byId(machineId: string): Promise<StoredMachine | undefined>
  byMac(mac: string): Promise<StoredMachine | undefined>
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
