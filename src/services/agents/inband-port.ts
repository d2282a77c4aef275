/** What this room needs of a BMC that it speaks to from inside its machine. drivers/bmc/ipmi/inband offers it. */
import type { BmcUser } from '../../model/bmc.ts'
import type { InventoryLan } from '../../model/inventory.ts'
import type { GuestProcess } from '../containers/ports.ts'

export interface BmcAccount {
  readonly userId: number
  readonly user: string
  readonly password: string
  readonly privilege: 'operator' | 'administrator'
}

/**
 * Commands go one after the other. Each method throws {AppError}: unreachable when the machine or its BMC cannot be asked, unsupported when
 * the BMC declines, with its reason; bad_peer when it is not understood.
 */
export interface InbandBmc extends AsyncDisposable {
  identity(): Promise<{ readonly manufacturer: string; readonly firmware: string }>
  /** Its channels to a LAN, the lowest first. */
  lans(): Promise<InventoryLan[]>
  /**
   * Who may come in by a channel, by id, and the lowest place for a user that nobody has: undefined where all are taken. Two commands for
   * each place, of which some BMCs have 63.
   */
  users(channel: number): Promise<{ readonly users: BmcUser[]; readonly vacancy: number | undefined }>
  /** A random one, as its maker takes them. */
  makePassword(): Promise<string>
  /** Gives a user name, password and access, and sees that they are there. Doing it twice is the same as once. */
  grant(account: BmcAccount, channel: number): Promise<void>
  /** Takes access and name away. A place that the BMC does not let go of is disabled. */
  withdraw(userId: number, channel: number): Promise<void>
}

/** @param process the agent's `ipmi`, which ends with the BMC */
export type OpenInbandBmc = (process: GuestProcess) => InbandBmc
