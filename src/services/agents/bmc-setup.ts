/**
 * A user of a machine's BMC, made from inside the machine by its agent. What is meant to be is written first, password and all, sealed:
 * a daemon that was killed goes on with it when the machine is in the agent again. The machine's BMC URL is set once a login over the
 * network was seen to work; where it is not, the user is taken away again.
 */
import { sleep, type Now } from '../../base/clock.ts'
import { AppError, explain } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import type { BmcSetupAnswer, BmcSetupRequest } from '../../model/bmc.ts'
import type { InventoryLan } from '../../model/inventory.ts'
import type { MachineStore, StoredMachine } from '../machines/ports.ts'
import type { EventBus } from '../ports.ts'
import type { InbandBmc } from './inband-port.ts'
import type { BmcSetup, BmcSetupStore } from './ports.ts'

export interface BmcSetupDeps {
  readonly log: Log
  readonly machines: Pick<MachineStore, 'byId' | 'update' | 'bmcPassword'>
  readonly setups: BmcSetupStore
  readonly events: Pick<EventBus, 'publish'>
  /** The BMC of a machine that is in the agent. @throws {AppError} conflict, unreachable */
  readonly openInband: (machine: StoredMachine) => Promise<InbandBmc>
  /** Logs in over the network as everything else does. @throws {AppError} */
  readonly logIn: (machine: StoredMachine, password: string, signal: AbortSignal) => Promise<void>
  readonly now: Now
  /** Between the tries to log in as a new user, milliseconds. */
  readonly pausesMs?: readonly number[]
}

/** Some BMCs need seconds to know a new user, and many lock one out who comes too often with what they do not know. */
const PAUSES_MS = [2000, 5000, 10_000, 15_000]
const LOGIN_MS = 20_000

interface Plan {
  readonly setup: BmcSetup
  readonly needs: 'nothing' | 'url' | 'bmc'
  readonly outcome: BmcSetupAnswer['outcome']
}

export type BmcSetups = ReturnType<typeof createBmcSetups>

export function createBmcSetups(deps: BmcSetupDeps) {
  const { log, machines, setups, pausesMs = PAUSES_MS } = deps
  /** Machines whose BMC is being set up now. */
  const busy = new Set<string>()

  async function tell(action: string, { id, name }: StoredMachine, setup: BmcSetup, cause?: string): Promise<void> {
    const { user, userId } = setup
    log.info('user of a BMC', { action, machine: name, user, userId, cause })
    const attributes = { user, userId: String(userId), ...(cause === undefined ? {} : { cause }) }
    await deps.events.publish({ kind: 'machine', action, subjectId: id, name, source: 'daemon', attributes })
  }

  /** Waits until the BMC lets the user in. @throws the last refusal */
  async function untilLetIn(machine: StoredMachine, password: string): Promise<void> {
    const tryOnce = () => deps.logIn(machine, password, AbortSignal.timeout(LOGIN_MS))
    for (const pauseMs of pausesMs)
      try {
        return await tryOnce()
      } catch (error) {
        log.debug('the BMC does not let its new user in', { machine: machine.name, why: explain(error) })
        await sleep(pauseMs)
      }
    return tryOnce()
  }

  /**
   * Whether the BMC at a machine's URL lets it in with a password. A password that is kept goes this way only, where it is never said: who
   * plays the machine in the agent does not get to know it.
   */
  const lets = async (machine: StoredMachine, password: string): Promise<boolean> => {
    try {
      await deps.logIn(machine, password, AbortSignal.timeout(LOGIN_MS))
      return true
    } catch (error) {
      log.debug('the BMC does not let its user in', { machine: machine.name, why: explain(error) })
      return false
    }
  }

  /** Does what is written, or takes it back. */
  async function carryOut(machine: StoredMachine, bmc: InbandBmc, setup: BmcSetup): Promise<void> {
    const { channel, userId, url } = setup
    try {
      await bmc.grant(setup, channel)
      await untilLetIn({ ...machine, bmc: url }, setup.password)
    } catch (cause) {
      await takeBack(machine, bmc, setup, cause)
      throw new AppError(
        cause instanceof AppError ? cause.code : 'timeout',
        `Cannot set up user "${setup.user}" (${userId}) on the BMC of "${machine.name}": it was ${setup.before === undefined ? 'removed' : 'given its password'} again`,
        { cause },
      )
    }
    await keep(machine, setup)
    await setups.remove(machine.id)
    await tell('bmc-setup-done', machine, setup)
  }

  /** The machine is reached by this user from now on. */
  async function keep(machine: StoredMachine, { url, password }: BmcSetup): Promise<void> {
    const change = (seen: StoredMachine) => ({ ...seen, bmc: url, hasBmcPassword: true })
    const event = {
      ...({ kind: 'machine', action: 'update', source: 'daemon', attributes: {} } as const),
      ...{ subjectId: machine.id, name: machine.name },
    }
    await machines.update(machine.id, change, password, event)
  }

  async function takeBack(machine: StoredMachine, bmc: InbandBmc, setup: BmcSetup, cause: unknown): Promise<void> {
    try {
      if (setup.before === undefined) await bmc.withdraw(setup.userId, setup.channel)
      // Where the old password still opens the BMC, the machine in the agent is another, or has set nothing.
      else if (!(await lets(machine, setup.before)))
        await bmc.grant({ ...setup, password: setup.before }, setup.channel)
    } catch (error) {
      // What is written stays: the next that finds the machine in the agent takes it up.
      throw new AppError(
        'unreachable',
        `Cannot take user "${setup.user}" back from the BMC of "${machine.name}": it goes on when the machine is in the agent again: ${explain(error)}`,
        { cause },
      )
    }
    await setups.remove(machine.id)
    await tell('bmc-setup-failed', machine, setup, explain(cause).slice(0, 500))
  }

  /** Decides what is to be. @returns it, and what has to change for it */
  async function plan(
    machine: StoredMachine,
    bmc: InbandBmc,
    { user, privilege, rotate, replace }: BmcSetupRequest,
  ): Promise<Plan> {
    const refuse = (code: 'conflict' | 'exhausted' | 'invalid', why: string) =>
      new AppError(code, `Cannot set up the BMC of "${machine.name}": ${why}`)
    const lans = await bmc.lans()
    const lan = lans.find(({ ip }) => ip !== undefined)
    if (!lan)
      throw refuse(
        'conflict',
        lans.length === 0
          ? 'it has no channel to a LAN'
          : `it has no IPv4 address on channel ${lans.map(({ channel }) => channel).join(', ')}; give it one, by DHCP or in the setup of its firmware`,
      )
    const url = urlOf(user, lan)
    const { channel } = lan
    const { users, vacancy } = await bmc.users(channel)
    const mine = users.find(({ name }) => name === user)
    const stored =
      machine.bmc?.startsWith(`ipmi://${user}@`) === true ? await machines.bmcPassword(machine.id) : undefined
    const base = { user, privilege, channel, url }
    if (mine && stored === undefined)
      throw refuse(
        'conflict',
        `user "${user}" (${mine.id}) is there, and not ours: name another with --user, or remove it`,
      )
    if (mine && stored !== undefined) {
      const isThere = await lets({ ...machine, bmc: url }, stored)
      const wasThere = isThere || (machine.bmc !== url && (await lets(machine, stored)))
      if (!wasThere && !rotate)
        throw refuse(
          'conflict',
          `it does not let user "${user}" (${mine.id}) in with the password that is kept here; --rotate sets a new one`,
        )
      const setup = { ...base, userId: mine.id, password: stored, before: stored }
      if (!rotate && mine.privilege === privilege && mine.isEnabled !== false)
        return machine.bmc !== url && isThere
          ? { setup, needs: 'url', outcome: 'mended' }
          : { setup: { ...setup, url: machine.bmc! }, needs: 'nothing', outcome: 'unchanged' }
      // With a new password in either case: the one that is kept is not said to the machine.
      const outcome = rotate ? 'rotated' : 'mended'
      return { setup: { ...setup, password: await bmc.makePassword() }, needs: 'bmc', outcome }
    }
    if (machine.bmc !== undefined && stored === undefined && !replace)
      throw refuse('conflict', `it is reached by ${machine.bmc} already; --replace puts the new user in place of that`)
    if (vacancy === undefined)
      throw refuse('exhausted', `all places for users are taken (bareboat machine inventory shows by whom)`)
    return { setup: { ...base, userId: vacancy, password: await bmc.makePassword() }, needs: 'bmc', outcome: 'created' }
  }

  async function exclusively<T>(machine: StoredMachine, work: () => Promise<T>): Promise<T> {
    if (busy.has(machine.id))
      throw new AppError('conflict', `Cannot set up the BMC of "${machine.name}": that is being done already`)
    busy.add(machine.id)
    try {
      return await work()
    } finally {
      busy.delete(machine.id)
    }
  }

  return {
    /**
     * @returns what became of it
     * @throws {AppError} conflict, exhausted, unsupported, unreachable, unauthorized, timeout: then the BMC and the machine are as before
     */
    setUp: (machine: StoredMachine, request: BmcSetupRequest): Promise<BmcSetupAnswer> =>
      exclusively(machine, async () => {
        await using bmc = await deps.openInband(machine)
        const left = await setups.of(machine.id)
        if (left) {
          await carryOut(machine, bmc, left)
          machine = (await machines.byId(machine.id)) ?? machine
        }
        const { setup, needs, outcome } = await plan(machine, bmc, request)
        const { user, userId, privilege, url } = setup
        const answer = {
          outcome: left && needs === 'nothing' ? 'created' : outcome,
          user,
          userId,
          privilege,
          bmc: url,
        } as const
        if (needs === 'url') await keep(machine, setup)
        if (needs !== 'bmc') return answer
        await setups.put(machine.id, setup)
        await tell('bmc-setup', machine, setup)
        await carryOut(machine, bmc, setup)
        return answer
      }),

    /** Goes on with what an earlier daemon left behind, of a machine that is in the agent. */
    async resume(machine: StoredMachine): Promise<void> {
      if (busy.has(machine.id)) return
      const left = await setups.of(machine.id)
      if (!left) return
      log.warn('the BMC of a machine was being set up: going on', { machine: machine.name, user: left.user })
      await exclusively(machine, async () => {
        await using bmc = await deps.openInband(machine)
        await carryOut(machine, bmc, left)
      })
    },
  }
}

function urlOf(user: string, { ip, port }: InventoryLan): string {
  return `ipmi://${user}@${ip}${port === undefined ? '' : `:${port}`}`
}
