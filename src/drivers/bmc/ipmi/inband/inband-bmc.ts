/** A BMC over the system interface of its machine: no user and no session stand between, who is root there may do all (§5.3, §6.12). */
import { AppError, WireError } from '../../../../base/errors.ts'
import type { InbandBmc, OpenInbandBmc } from '../../../../services/agents/inband-port.ts'
import { COMMANDS } from '../../../../wire/ipmi/commands.ts'
import { COMPLETION } from '../../../../wire/ipmi/completion.ts'
import { PRIVILEGE } from '../../../../wire/ipmi/rakp.ts'
import { NO_ACCESS } from '../../../../wire/ipmi/user-commands.ts'
import { manufacturerName } from '../manufacturers.ts'
import type { Ask } from '../records.ts'
import { orDeclined } from '../sensors.ts'
import { CompletionError } from '../session.ts'
import { readPlaces, usersAmong, vacancyAmong } from '../users.ts'
import { readLans } from './lans.ts'
import { makePassword } from './password-policy.ts'
import { createRawLink } from './raw-link.ts'

/** 80h and 81h of Set User Password: the test failed, the length is another (§22.30). */
const WRONG_PASSWORD: ReadonlySet<number> = new Set([0x80, 0x81])

export const openInbandBmc: OpenInbandBmc = (process) => {
  const link = createRawLink(process)
  return createInbandBmc(link.ask, () => link[Symbol.asyncDispose]())
}

export function createInbandBmc(ask: Ask, close: () => PromiseLike<void> = async () => undefined): InbandBmc {
  const encode = (text: string) => new TextEncoder().encode(text)

  async function hasPassword(userId: number, password: string): Promise<boolean> {
    try {
      await ask(COMMANDS.setUserPassword, { userId, operation: 'test', password: encode(password) })
      return true
    } catch (error) {
      if (error instanceof CompletionError && WRONG_PASSWORD.has(error.completion)) return false
      throw error
    }
  }

  return {
    identity: () =>
      explained(async () => {
        const { manufacturerId, firmware } = await ask(COMMANDS.getDeviceId, undefined)
        return { manufacturer: manufacturerName(manufacturerId), firmware }
      }),
    lans: () => explained(() => readLans(ask)),
    users: (channel) =>
      explained(async () => {
        const places = await readPlaces(ask, channel)
        return { users: usersAmong(places), vacancy: vacancyAmong(places) }
      }),
    makePassword: () =>
      explained(async () => makePassword((await ask(COMMANDS.getDeviceId, undefined)).manufacturerId)),

    grant: ({ userId, user, password, privilege }, channel) =>
      explained(async () => {
        if ((await orDeclined(ask(COMMANDS.getUserName, userId))) !== user)
          await ask(COMMANDS.setUserName, { userId, name: user })
        await ask(COMMANDS.setUserPassword, { userId, operation: 'set', password: encode(password) })
        await ask(COMMANDS.setUserAccess, { channel, userId, hasIpmi: true, privilege: PRIVILEGE[privilege] })
        await ask(COMMANDS.setUserPassword, { userId, operation: 'enable' })
        // The right to the serial console; BMCs that have none decline.
        await orDeclined(ask(COMMANDS.setUserPayloadAccess, { channel, userId }))
        const [name, access] = [
          await ask(COMMANDS.getUserName, userId),
          await ask(COMMANDS.getUserAccess, { channel, userId }),
        ]
        const isThere = name === user && access.hasIpmi && access.privilege === PRIVILEGE[privilege]
        if (!isThere || access.isEnabled === false)
          throw new AppError(
            'bad_peer',
            `Cannot set up user ${userId} of the BMC: it took all, and shows something else`,
          )
        if (!(await hasPassword(userId, password)))
          throw new AppError(
            'unsupported',
            `Cannot set the password of user ${userId}: the BMC took it, and says that it is another`,
          )
      }),

    withdraw: (userId, channel) =>
      explained(async () => {
        await orDeclined(ask(COMMANDS.setUserAccess, { channel, userId, hasIpmi: false, privilege: NO_ACCESS }))
        await orDeclined(ask(COMMANDS.setUserPassword, { userId, operation: 'disable' }))
        await orDeclined(ask(COMMANDS.setUserName, { userId, name: '' }))
      }),

    async [Symbol.asyncDispose]() {
      await close()
    },
  }
}

/** What the BMC declines or garbles, in the words of the port. */
async function explained<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    if (cause instanceof CompletionError) {
      const code = cause.completion === COMPLETION.insufficientPrivilege ? 'forbidden' : 'unsupported'
      throw new AppError(code, `Cannot do this on the BMC from inside: it declined ${cause.message}`, { cause })
    }
    if (cause instanceof WireError) throw new AppError('bad_peer', 'Cannot understand the BMC from inside', { cause })
    throw cause
  }
}
