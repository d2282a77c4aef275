import type { PowerAction } from '../../model/machine.ts'
import type { StoredMachine } from '../machines/ports.ts'
import type { PowerState } from './power-port.ts'

/** A power action that was asked for: written before it is sent, ended when it was observed or has failed (P4). */
export interface PowerIntent {
  readonly intentId: number
  readonly machineId: string
  readonly containerId?: string
  readonly action: PowerAction
  /** Milliseconds since the epoch. From here on the BMC may have received it. */
  readonly createdAt: number
}

export interface IntentStore {
  begin(intent: { machineId: string; containerId?: string; action: PowerAction }): Promise<PowerIntent>
  end(intentId: number, result: { state: 'done' } | { state: 'failed'; cause: string }): Promise<void>
  /** Intents whose outcome nobody has seen: a daemon left them behind when it ended. */
  unfinished(): Promise<PowerIntent[]>
  /** Machines that were switched on last, as far as we know: the last action on them that was done. */
  switchedOn(): Promise<string[]>
}

/** Records what machines say from the moment that they are switched on. Neither of the two waits for a BMC, or throws. */
export interface PowerRecording {
  begin(machine: StoredMachine): Promise<void>
  end(machineId: string): void
}

/** What runs on a machine, as far as it can be reached without a BMC: eyes and off-switch of machines whose BMC can only switch on. */
export interface SystemPort {
  /**
   * Whether the machine is on its network: `on` when it answers, `off` when nothing there has its address, `unknown` when its address is
   * not known, another machine has it, or nothing can be concluded. Takes up to 10 s.
   * @throws {AppError} unreachable when the server itself is cut off
   */
  presence(machine: StoredMachine, signal?: AbortSignal): Promise<PowerState>
  /** Asks our agent on the machine to switch it off; an operating system shuts down first. @throws {AppError} unreachable, bad_peer */
  powerOff(machine: StoredMachine, signal?: AbortSignal): Promise<void>
}
