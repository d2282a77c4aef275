import type { PowerAction } from '../../model/machine.ts'

/** A power action that was asked for: written before it is sent, ended when it was observed or has failed (P4). */
export interface PowerIntent {
  readonly intentId: number
  readonly machineId: string
  readonly containerId?: string
  readonly action: PowerAction
  readonly state: 'pending' | 'sent'
}

export interface IntentStore {
  begin(intent: { machineId: string; containerId?: string; action: PowerAction }): Promise<PowerIntent>
  /** From here on the BMC may have received it. */
  markSent(intentId: number): Promise<void>
  end(intentId: number, result: { state: 'done' } | { state: 'failed'; cause: string }): Promise<void>
  /** Intents that a daemon left behind when it died. */
  unfinished(): Promise<PowerIntent[]>
}
