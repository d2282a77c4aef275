import type { Arch } from '../../model/machine.ts'
import type { BootFile } from '../boot/boot.ts'
import type { BmcAccount } from './inband-port.ts'

/** What the agent is booted from. */
export interface AgentKit {
  readonly kernel: BootFile
  readonly initrd: BootFile
  /** Programs that the initrd does without, which the agent fetches. */
  readonly tools: BootFile
}

/** The kit for an architecture; undefined where there is none, or one that is older than the agent. */
export type AgentKitOf = (arch: Arch) => Promise<AgentKit | undefined>

/** A user of a BMC that is to be. */
export interface BmcSetup extends BmcAccount {
  /** By which it comes in. */
  readonly channel: number
  /** What the machine's BMC URL becomes. */
  readonly url: string
  /** The password that it had; undefined for a user that is new. */
  readonly before?: string
}

/** What is being set up: written before a BMC is told, removed when it is done or taken back. */
export interface BmcSetupStore {
  /** In place of what there was of the machine. */
  put(machineId: string, setup: BmcSetup): Promise<void>
  of(machineId: string): Promise<BmcSetup | undefined>
  remove(machineId: string): Promise<void>
}
