/** No BMC at all: a person switches the machine on. Nothing is sent; who has to be told is told by whoever asks (`by-hand`). */
import { AppError } from '../../../base/errors.ts'
import type { BmcPort } from '../../../services/power/power-port.ts'
import { Turns } from '../turns.ts'

export interface ManualUrl {
  readonly kind: 'manual'
}

export const MANUAL_FORM = 'manual:'

/** Reads `manual:`. @throws {AppError} `invalid` when there is more */
export function parseManualUrl(text: string): ManualUrl {
  if (/^manual:(\/\/)?$/i.test(text)) return { kind: 'manual' }
  throw new AppError('invalid', `Cannot read BMC URL "${text}": a machine that is switched by hand is "${MANUAL_FORM}"`)
}

/** `on` resolves at once: it has been said. The state is always `unknown`. */
export function createManualBmc({ maxWaiting = 16 }: { maxWaiting?: number } = {}): BmcPort {
  const turns = new Turns('manual', maxWaiting)
  const cannot = (what: string) =>
    new AppError('unsupported', `Cannot ${what}: this machine has no BMC and is switched by hand`)
  return {
    can: new Set(['power-on', 'by-hand']),
    address: 'manual',
    status: (signal) => turns.take(() => Promise.resolve('unknown' as const), signal),
    set: (action, signal) =>
      turns.take(() => (action === 'on' ? Promise.resolve() : Promise.reject(cannot(`do "${action}"`))), signal),
    setBoot: (_override, signal) =>
      turns.take(() => Promise.reject(cannot('choose what a machine boots from')), signal),
    [Symbol.asyncDispose]: () => turns.close(() => Promise.resolve()),
  }
}
