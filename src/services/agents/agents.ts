/**
 * Machines that nobody has accepted, or that are cordoned: they boot the kit's initrd as an agent, which reports their hardware and waits for orders. What
 * an agent gets opens nothing of any container: its token is for the kit's files, its own report and its own orders.
 */
import type { Now } from '../../base/clock.ts'
import { AppError, explain, WireError } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import { parseReport, type HardwareReport } from '../../formats/hardware/report.ts'
import { assignments } from '../../formats/shell/quote.ts'
import { publicKeyLine } from '../../formats/ssh/keys.ts'
import type { Arch, Wipe, WipeRequest } from '../../model/machine.ts'
import type { BootFile } from '../boot/boot.ts'
import { agentScript, type BootScript } from '../boot/scripts.ts'
import { sshVariables } from '../boot/spec.ts'
import type { Tty } from '../containers/agent.ts'
import type { GuestPort, GuestProcess } from '../containers/ports.ts'
import type { InventoryStore, MachineStore, StoredMachine } from '../machines/ports.ts'
import type { EventBus } from '../ports.ts'
import { lookAtBmc } from './bmc-look.ts'
import { createBmcSetups, type BmcSetupDeps } from './bmc-setup.ts'
import type { OpenInbandBmc } from './inband-port.ts'
import { createIntake } from './intake.ts'
import { orderFor } from './orders.ts'
import { createLogin } from './login.ts'
import type { AgentKit, AgentKitOf, BmcSetupStore } from './ports.ts'
import { createWipes } from './wipes.ts'
import { createSessions, type AgentSession } from './sessions.ts'

export interface AgentsDeps {
  readonly log: Log
  readonly machines: MachineStore
  readonly inventories: InventoryStore
  readonly events: Pick<EventBus, 'publish'>
  /** Whether machines that nobody has accepted boot the agent. */
  readonly isOn: boolean
  readonly kitOf: AgentKitOf
  readonly guest: GuestPort
  readonly openInband: OpenInbandBmc
  readonly setups: BmcSetupStore
  /** Logs in to a machine's BMC over the network. */
  readonly logIn: BmcSetupDeps['logIn']
  /** Where machines reach the HTTP server for firmware. */
  readonly httpUrl: string
  readonly kernelParams: readonly string[]
  readonly now: Now
}

export type AgentsService = ReturnType<typeof createAgents>

const MAX_SIGHTED = 4096
/** A machine that wipes a disk and is not heard of for so long is taken for gone: a disk that fails holds everything up. */
const LOST_MS = 5 * 60_000

export function createAgents(deps: AgentsDeps) {
  const { log, machines, inventories, now } = deps
  const keep = createIntake(deps)
  const sessions = createSessions(now)
  const wipes = createWipes(now)
  const login = createLogin({ guest: deps.guest, sessions })
  const openInband = async (machine: StoredMachine) =>
    deps.openInband(await login.run(machine, 'ask the BMC of', ['ipmi']))
  const bmcSetups = createBmcSetups({ ...deps, openInband })
  /** What firmware said of its architecture, by MAC, the latest last. */
  const sighted = new Map<string, Arch>()

  /** @throws {AppError} not_found, in equal words for every token that opens nothing */
  function heard(token: string, address: string): AgentSession {
    const session = sessions.heard(token, address)
    if (!session) throw nothing()
    return session
  }

  /** Goes on with what was begun with its BMC, then has it tell of itself. */
  async function askBmc(machine: StoredMachine): Promise<void> {
    await bmcSetups
      .resume(machine)
      .catch((error: unknown) =>
        log.warn('setting up the BMC of a machine failed', { machine: machine.name, why: explain(error) }),
      )
    const inventory = (await inventories.of(machine.id)).find(({ source }) => source === 'agent')
    if (inventory) await lookAtBmc({ log, inventories, openInband }, machine, inventory)
  }

  async function tell(action: string, { id, name }: StoredMachine, wipe: Wipe): Promise<void> {
    const { serial, method, cause, verified } = wipe
    log.info('disk of a machine', { action, machine: name, serial, method, cause, verified })
    await deps.events.publish({
      ...{ kind: 'machine', action, subjectId: id, name, source: cause === undefined ? 'daemon' : 'guest' },
      attributes: {
        ...{ serial, method },
        ...(cause === undefined ? {} : { cause }),
        ...(verified === undefined ? {} : { verified }),
      },
    })
  }

  return {
    /** What DHCP saw of a machine's firmware. */
    sighted(mac: string, arch: Arch): void {
      sighted.delete(mac)
      sighted.set(mac, arch)
      if (sighted.size > MAX_SIGHTED) sighted.delete(sighted.keys().next().value!)
    },

    /**
     * The script of a machine that nobody has accepted, or that is cordoned.
     * @param scriptUrl with which it asks again
     * @returns undefined where such machines boot no agent, or there is no kit for it
     */
    async script(mac: string, machine: StoredMachine | undefined, scriptUrl: string): Promise<BootScript | undefined> {
      const kit = deps.isOn ? await deps.kitOf(machine?.arch ?? sighted.get(mac) ?? 'amd64') : undefined
      if (!kit) return undefined
      const { token } = sessions.open(mac, kit)
      log.debug('machine is given the agent', { mac, machine: machine?.name })
      const baseUrl = `${deps.httpUrl}/agent/${token}`
      const status = machine === undefined ? 'unknown here' : machine.cordoned ? 'cordoned' : machine.admission
      const { kernelParams } = deps
      return agentScript({ machineName: machine?.name ?? mac, baseUrl, scriptUrl, mac, kernelParams }, status)
    },

    /** @throws {AppError} not_found */
    file(token: string, name: keyof AgentKit): BootFile {
      const session = sessions.peek(token)
      if (!session) throw nothing()
      return session.kit[name]
    },

    /** What the initrd is told: that it is the agent. @throws {AppError} not_found */
    async spec(token: string, address: string): Promise<string> {
      const session = heard(token, address)
      const machine = await machines.byMac(session.mac)
      const { host, client } = sessions.keysOf(session)
      return assignments({
        ...{ BB_ID: 'agent', BB_NAME: machine?.name ?? session.mac, BB_MODE: 'agent' },
        ...sshVariables(host, publicKeyLine(client.publicKey)),
      })
    },

    /** @throws {AppError} not_found; invalid when it is no report; exhausted when too many machines wait to be accepted */
    async report(token: string, address: string, bytes: Uint8Array): Promise<void> {
      const session = heard(token, address)
      const report = parsed(bytes)
      const machine = await keep(session.mac, report)
      if (!machine) return
      session.machineId = machine.id
      if (!report.bmc) return
      askBmc(machine).catch((error: unknown) =>
        log.warn('the BMC of a machine was not asked from inside', { machine: machine.name, why: explain(error) }),
      )
    },

    /**
     * Makes a user of the machine's BMC, from inside, and has the machine reached by it from now on.
     * @throws {AppError} conflict where the machine is not in the agent; else as bmc-setup.ts
     */
    setUpBmc: bmcSetups.setUp,

    /** The order of a machine, and below it a line that says why. @throws {AppError} not_found */
    async order(token: string, address: string): Promise<string> {
      const session = heard(token, address)
      const wipe = session.machineId === undefined ? undefined : wipes.next(session.machineId)
      // Whatever else is wanted of it waits for the end of that.
      if (wipe)
        return `wipe\nto wipe the disk with serial number "${wipe.serial}"\n${wipe.id} ${wipe.method} ${wipe.sizeBytes} ${wipe.serial}\n`
      // A machine whose card somebody has added to a known one is that from now on.
      const { machineId, mac } = session
      const machine = await (machineId === undefined ? machines.byMac(mac) : machines.byId(machineId))
      if (machine) session.machineId = machine.id
      const { order, why } = orderFor(session, machine)
      return `${order}\n${why}\n`
    },

    /**
     * Has disks of a machine overwritten that nothing can be started on and that is in the agent now.
     * @throws {AppError} conflict, invalid, not_found: then nothing is done
     */
    async wipe(machine: StoredMachine, request: WipeRequest): Promise<Wipe[]> {
      const { id, name } = machine
      const refuse = (why: string) => new AppError('conflict', `Cannot wipe disks of "${name}": ${why}`)
      if (machine.containerId !== undefined) throw refuse(`it runs container ${machine.containerId.slice(0, 12)}`)
      if (machine.admission === 'accepted' && !machine.cordoned)
        throw refuse(`containers may be started on it; cordon it first: bareboat machine cordon ${name}`)
      if (!sessions.of(id))
        throw refuse(`it is not in the agent now; have it boot it with: bareboat machine reboot ${name}`)
      const inventory = (await inventories.of(id)).find(({ source }) => source === 'agent')
      if (!inventory) throw refuse('it has not told of its disks')
      const asked = wipes.ask({ machineId: id, machineName: name }, inventory, request)
      for (const wipe of asked) await tell('wipe', machine, wipe)
      return asked
    },

    /** The disks of a machine that were to be wiped, the oldest first. */
    async wipesOf(machine: StoredMachine): Promise<Wipe[]> {
      if (!sessions.of(machine.id, LOST_MS))
        for (const wipe of wipes.abandon(machine.id)) await tell('wipe-failed', machine, wipe)
      return wipes.of(machine.id)
    },

    /** @throws {AppError} conflict while a disk of the machine is being wiped */
    async refuseWhileWiping(machine: StoredMachine, doing: string): Promise<void> {
      if ((await this.wipesOf(machine)).some(({ state }) => state === 'waiting' || state === 'running'))
        throw new AppError('conflict', `Cannot ${doing} machine "${machine.name}": a disk of it is being wiped`)
    },

    /** How the wipe of a disk ended: `ok` and what was read back, or `failed` and why. @throws {AppError} not_found, invalid */
    async wiped(token: string, address: string, wipeId: string, text: string): Promise<void> {
      const { machineId = '' } = heard(token, address)
      const [word, ...rest] = text.trimEnd().split('\n')
      if (word !== 'ok' && word !== 'failed')
        throw new AppError('invalid', 'Cannot note the end of a wipe: it is neither "ok" nor "failed"')
      const why = rest
        .join(' ')
        .replace(/[^\x20-\x7e]/g, ' ')
        .slice(0, 500)
      const result = word === 'ok' ? { verified: why || undefined } : { cause: why || 'the machine gave no cause' }
      const ended = wipes.end(machineId, wipeId, result)
      const machine = await machines.byId(machineId)
      if (ended && machine) await tell(word === 'ok' ? 'wiped' : 'wipe-failed', machine, ended)
    },

    /** A machine says that its agent cannot go on. @throws {AppError} not_found */
    failed(token: string, address: string, stage: string, cause: string): void {
      const { mac } = heard(token, address)
      const text = cause.replace(/[^\x20-\x7e]/g, ' ').slice(0, 500)
      log.warn('the agent failed', { mac, stage: stage.slice(0, 32), cause: text })
    },

    /**
     * Runs a program on a machine that is in the agent now, for a person. It ends with its process.
     * @throws {AppError} conflict where the machine is not in the agent; unreachable, bad_peer
     */
    async shell(machine: StoredMachine, argv: readonly string[], tty: Tty | undefined): Promise<GuestProcess> {
      const process = await login.run(machine, 'open a shell on', ['shell', ...argv], tty)
      const { id, name } = machine
      log.info('shell on a machine', { machine: name })
      await deps.events.publish({
        ...{ kind: 'machine', action: 'shell', subjectId: id, name, source: 'daemon', attributes: {} },
      })
      return process
    },

    /** Has a machine that is in the agent now start anew. @returns whether it is there to be told */
    reboot(machineId: string): boolean {
      const session = sessions.of(machineId)
      if (session) session.mustReboot = true
      return session !== undefined
    },
  }
}

function parsed(bytes: Uint8Array): HardwareReport {
  try {
    return parseReport(bytes)
  } catch (cause) {
    if (!(cause instanceof WireError)) throw cause
    throw new AppError('invalid', 'Cannot keep the report of a machine', { cause })
  }
}

function nothing(): AppError {
  return new AppError('not_found', 'Cannot find what this address stood for')
}
