/** The users of a BMC, and what they may. */
import type { BmcUser } from '../../../model/bmc.ts'
import { COMMANDS } from '../../../wire/ipmi/commands.ts'
import { PRIVILEGE } from '../../../wire/ipmi/rakp.ts'
import { NO_ACCESS, THIS_CHANNEL } from '../../../wire/ipmi/user-commands.ts'
import type { Ask } from './records.ts'
import { orDeclined } from './sensors.ts'

const OEM_LEVEL = 5
/** User 1 has no name by the standard (§6.9): it is who comes in without one. */
export const NULL_USER_ID = 1

/** A place for a user, taken or not. */
export interface Place {
  readonly user: BmcUser
  readonly hasFixedName: boolean
}

/** Users that have a name or may come in; places that are free are left out. */
export async function readUsers(ask: Ask, signal?: AbortSignal): Promise<BmcUser[]> {
  return usersAmong(await readPlaces(ask, THIS_CHANNEL, signal))
}

/** All places that the BMC tells of. @param channel what privileges and access are of */
export async function readPlaces(ask: Ask, channel: number, signal?: AbortSignal): Promise<Place[]> {
  const places: Place[] = []
  for (let userId = NULL_USER_ID, last = NULL_USER_ID; userId <= last; userId++) {
    const access = await orDeclined(ask(COMMANDS.getUserAccess, { channel, userId }, signal))
    if (!access) continue
    last = Math.max(last, access.maxUserId)
    // BMCs decline the name of a place that is free, in words of their own.
    const name = (await orDeclined(ask(COMMANDS.getUserName, userId, signal))) ?? ''
    const user = {
      id: userId,
      name,
      ...(access.isEnabled === undefined ? {} : { isEnabled: access.isEnabled }),
      privilege: access.hasIpmi ? levelName(access.privilege) : 'none',
    }
    places.push({ user, hasFixedName: userId <= access.fixedNames })
  }
  return places
}

/** Those that somebody may come in by, or has a name in. */
export function usersAmong(places: readonly Place[]): BmcUser[] {
  const users = places.map(({ user }) => user)
  return users.filter(({ name, privilege, isEnabled }) => name !== '' || (privilege !== 'none' && isEnabled !== false))
}

/** The lowest place that can be given to a new user; undefined where there is none. */
export function vacancyAmong(places: readonly Place[]): number | undefined {
  const isVacant = ({ user: { id, name, isEnabled }, hasFixedName }: Place) =>
    id !== NULL_USER_ID && name === '' && isEnabled !== true && !hasFixedName
  return places.find(isVacant)?.user.id
}

/** The word for a level by its number. */
export function levelName(level: number): string {
  if (level === NO_ACCESS || level === 0) return 'none'
  if (level === OEM_LEVEL) return 'oem'
  return Object.entries(PRIVILEGE).find(([, number]) => number === level)?.[0] ?? `level ${level}`
}
