/** Shows a tap what a session does: what was agreed when it was set up, and each command with its answer. */
import { AppError } from '../../../base/errors.ts'
import type { BmcTap } from '../../../services/power/power-port.ts'
import type { Command } from '../../../wire/ipmi/command.ts'
import type { IpmiResponse } from '../../../wire/ipmi/message.ts'
import { Silence } from './exchange.ts'
import type { Established } from './handshake.ts'

export async function tapSession(tap: BmcTap | undefined, shake: () => Promise<Established>): Promise<Established> {
  if (!tap) return shake()
  const startMs = performance.now()
  const timing = () => ({ ms: 0, tookMs: Math.round(performance.now() - startMs) })
  try {
    const established = await shake()
    const { keys, privilege } = established
    tap({ is: 'ipmi-session', ...timing(), suite: keys.suite.id, privilege })
    return established
  } catch (error) {
    if (error instanceof AppError || error instanceof Silence) {
      const code = error instanceof AppError ? error.code : SILENCE
      tap({ is: 'ipmi-session', ...timing(), error: { code, message: error.message } })
    }
    throw error
  }
}

/** In place of an error's code: nothing answered. */
export const SILENCE = 'silence'

export async function tapCommand(
  tap: BmcTap | undefined,
  { name, netFn, command }: Pick<Command<never, unknown>, 'name' | 'netFn' | 'command'>,
  data: Uint8Array,
  ask: () => Promise<IpmiResponse>,
): Promise<IpmiResponse> {
  if (!tap) return ask()
  const startMs = performance.now()
  const asked = () => ({
    is: 'ipmi' as const,
    ms: 0,
    tookMs: Math.round(performance.now() - startMs),
    name,
    netFn,
    command,
    data: data.toHex(),
  })
  try {
    const response = await ask()
    tap({ ...asked(), completion: response.completion, answer: response.data.toHex() })
    return response
  } catch (error) {
    if (error instanceof Silence) tap(asked())
    throw error
  }
}
