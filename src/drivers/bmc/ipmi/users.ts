/** The users of a BMC, and what they may. */
import type { BmcUser } from '../../../model/bmc.ts'
import { COMMANDS } from '../../../wire/ipmi/commands.ts'
import { PRIVILEGE } from '../../../wire/ipmi/rakp.ts'
import { NO_ACCESS } from '../../../wire/ipmi/user-commands.ts'
import type { Ask } from './records.ts'
import { orDeclined } from './sensors.ts'

const OEM_LEVEL = 5
/** User 1 has no name by the standard (§6.9): it is who comes in without one. */
export const NULL_USER_ID = 1

/** Users that have a name or may come in; places that are free are left out. */
export async function readUsers(ask: Ask, signal?: AbortSignal): Promise<BmcUser[]> {
  const users: BmcUser[] = []
  for (let userId = NULL_USER_ID, last = NULL_USER_ID; userId <= last; userId++) {
    const access = await orDeclined(ask(COMMANDS.getUserAccess, { userId }, signal))
    if (!access) continue
    last = Math.max(last, access.maxUserId)
    // BMCs decline the name of a place that is free, in words of their own.
    const name = (await orDeclined(ask(COMMANDS.getUserName, userId, signal))) ?? ''
    const privilege = access.hasIpmi ? levelName(access.privilege) : 'none'
    if (name === '' && (privilege === 'none' || access.isEnabled === false)) continue
    users.push({
      id: userId,
      name,
      ...(access.isEnabled === undefined ? {} : { isEnabled: access.isEnabled }),
      privilege,
    })
  }
  return users
}

/** The word for a level by its number. */
export function levelName(level: number): string {
  if (level === NO_ACCESS || level === 0) return 'none'
  if (level === OEM_LEVEL) return 'oem'
  return Object.entries(PRIVILEGE).find(([, number]) => number === level)?.[0] ?? `level ${level}`
}
