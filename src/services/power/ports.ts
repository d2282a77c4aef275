import type { PowerAction } from '../../model/machine.ts'

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
}
