/**
 * Machines that nobody has accepted: they boot the kit's initrd as an agent, which reports their hardware and waits for orders. What
 * an agent gets opens nothing of any container: its token is for the kit's files, its own report and its own orders.
 */
import { randomUUID } from 'node:crypto'
import type { Now } from '../../base/clock.ts'
import { AppError, WireError } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import { parseReport, type HardwareReport } from '../../formats/hardware/report.ts'
import { assignments } from '../../formats/shell/quote.ts'
import type { Inventory } from '../../model/inventory.ts'
import type { Arch } from '../../model/machine.ts'
import type { BootFile } from '../boot/boot.ts'
import { agentScript } from '../boot/scripts.ts'
import type { InventoryStore, MachineStore, StoredMachine } from '../machines/ports.ts'
import { inventoryOf, macsOf } from './inventory.ts'
import { matchReport } from './join.ts'
import type { AgentKitOf } from './ports.ts'
import { createSessions, type AgentSession } from './sessions.ts'

export interface AgentsDeps {
  readonly log: Log
  readonly machines: MachineStore
  readonly inventories: InventoryStore
  /** Whether machines that nobody has accepted boot the agent. */
  readonly isOn: boolean
  readonly kitOf: AgentKitOf
  /** Where machines reach the HTTP server for firmware. */
  readonly httpUrl: string
  readonly kernelParams: readonly string[]
  readonly now: Now
}

export type AgentsService = ReturnType<typeof createAgents>

/** Nobody looks through more; who fills the list with machines that there are not fills no disk. */
const MAX_DISCOVERED = 1024
/** The most MAC addresses of one machine (model/machine.ts). */
const MAX_MACS = 32
const MAX_SIGHTED = 4096

export function createAgents(deps: AgentsDeps) {
  const { log, machines, inventories, now } = deps
  const sessions = createSessions(now)
  /** What firmware said of its architecture, by MAC, the latest last. */
  const sighted = new Map<string, Arch>()

  /** @throws {AppError} not_found, in equal words for every token that opens nothing */
  function heard(token: string, address: string): AgentSession {
    const session = sessions.heard(token, address)
    if (!session) throw nothing()
    return session
  }

  /** Keeps a report: of a machine that is known by now, or a new one. @returns the machine; undefined where it is only a claim */
  async function keep(session: AgentSession, report: HardwareReport): Promise<StoredMachine | undefined> {
    const inventory = inventoryOf(report, now())
    const all = await machines.list()
    const identity = { bootMac: session.mac, macs: macsOf(report), system: inventory.system }
    const serials = await inventories.serials()
    const match = matchReport(identity, all, (machineId) => serials.get(machineId))
    if (match.kind === 'claim') {
      const { machine, by } = match
      log.warn('an unknown machine says that it is a known one', { mac: session.mac, machine: machine.name, by })
      return undefined
    }
    const taken = new Set(
      all.filter((each) => match.kind === 'new' || each.id !== match.machine.id).flatMap((m) => m.macs),
    )
    const macs = [session.mac, ...identity.macs].filter((mac) => !taken.has(mac))
    const facts = factsOf(report, inventory)
    const machine = match.kind === 'known' ? await learn(match.machine, macs, facts) : await discover(all, macs, facts)
    if (machine) await inventories.put(machine.id, inventory)
    return machine
  }

  async function discover(
    all: readonly StoredMachine[],
    macs: readonly string[],
    facts: Facts,
  ): Promise<StoredMachine | undefined> {
    const waiting = all.filter(({ admission }) => admission === 'discovered').length
    if (waiting >= MAX_DISCOVERED)
      throw new AppError(
        'exhausted',
        `Cannot keep another machine: ${waiting} wait to be accepted; accept, reject or remove some`,
      )
    const machine: StoredMachine = {
      id: randomUUID(),
      name: nameFor(macs[0]!, new Set(all.map(({ name }) => name))),
      macs: [...new Set(macs)].slice(0, MAX_MACS),
      arch: 'amd64',
      rank: 0,
      groups: [],
      labels: {},
      enabled: true,
      hasBmcPassword: false,
      admission: 'discovered',
      cordoned: false,
      createdAt: now(),
      ...facts,
    }
    await machines.insert(machine, undefined, event('discover', machine, machine.macs[0]!))
    log.info('machine discovered', { machine: machine.name, mac: machine.macs[0] })
    return machine
  }

  /** A machine is believed what it measures; what it says of who it is only until somebody has accepted it. */
  async function learn(
    known: StoredMachine,
    macs: readonly string[],
    facts: Facts,
  ): Promise<StoredMachine | undefined> {
    const change = (seen: StoredMachine): StoredMachine | undefined => {
      const { uuid: _uuid, arch: _arch, ...measured } = facts
      const changed: StoredMachine =
        seen.admission === 'discovered'
          ? { ...seen, ...facts, macs: [...new Set([...seen.macs, ...macs])].slice(0, MAX_MACS) }
          : { ...seen, ...measured }
      return JSON.stringify(changed) === JSON.stringify(seen) ? undefined : changed
    }
    await machines.update(known.id, change, undefined, event('learn', known, macs[0] ?? known.macs[0]!))
    return machines.byId(known.id)
  }

  return {
    /** What DHCP saw of a machine's firmware. */
    sighted(mac: string, arch: Arch): void {
      sighted.delete(mac)
      sighted.set(mac, arch)
      if (sighted.size > MAX_SIGHTED) sighted.delete(sighted.keys().next().value!)
    },

    /**
     * The script of a machine that nobody has accepted.
     * @param scriptUrl with which it asks again
     * @returns undefined where such machines boot no agent, or there is no kit for it
     */
    async script(mac: string, machine: StoredMachine | undefined, scriptUrl: string): Promise<string | undefined> {
      const kit = deps.isOn ? await deps.kitOf(machine?.arch ?? sighted.get(mac) ?? 'amd64') : undefined
      if (!kit) return undefined
      const { token } = sessions.open(mac, kit)
      log.debug('machine is given the agent', { mac, machine: machine?.name })
      const baseUrl = `${deps.httpUrl}/agent/${token}`
      return agentScript({
        machineName: machine?.name ?? mac,
        baseUrl,
        scriptUrl,
        mac,
        kernelParams: deps.kernelParams,
      })
    },

    /** @throws {AppError} not_found */
    file(token: string, name: 'kernel' | 'initrd'): BootFile {
      const session = sessions.peek(token)
      if (!session) throw nothing()
      return session.kit[name]
    },

    /** What the initrd is told: that it is the agent. @throws {AppError} not_found */
    async spec(token: string, address: string): Promise<string> {
      const { mac } = heard(token, address)
      const machine = await machines.byMac(mac)
      return assignments({ BB_ID: 'agent', BB_NAME: machine?.name ?? mac, BB_MODE: 'agent' })
    },

    /** @throws {AppError} not_found; invalid when it is no report; exhausted when too many machines wait to be accepted */
    async report(token: string, address: string, bytes: Uint8Array): Promise<void> {
      const session = heard(token, address)
      const machine = await keep(session, parsed(bytes))
      if (machine) session.machineId = machine.id
    },

    /** The order of a machine, and below it a line that says why. @throws {AppError} not_found */
    async order(token: string, address: string): Promise<string> {
      const session = heard(token, address)
      const { order, why } = orderFor(
        session,
        session.machineId === undefined ? undefined : await machines.byId(session.machineId),
      )
      return `${order}\n${why}\n`
    },

    /** A machine says that its agent cannot go on. @throws {AppError} not_found */
    failed(token: string, address: string, stage: string, cause: string): void {
      const { mac } = heard(token, address)
      const text = cause.replace(/[^\x20-\x7e]/g, ' ').slice(0, 500)
      log.warn('the agent failed', { mac, stage: stage.slice(0, 32), cause: text })
    },

    /** Has a machine that is in the agent now start anew. @returns whether it is there to be told */
    reboot(machineId: string): boolean {
      const session = sessions.of(machineId)
      if (session) session.mustReboot = true
      return session !== undefined
    },
  }
}

interface Order {
  readonly order: 'wait' | 'reboot' | 'power-off'
  readonly why: string
}

function orderFor(session: AgentSession, machine: StoredMachine | undefined): Order {
  if (session.mustReboot === true) {
    session.mustReboot = false
    return { order: 'reboot', why: 'somebody asked for it' }
  }
  if (!machine) {
    return session.machineId === undefined
      ? { order: 'wait', why: `it says that it is a machine that is known already: add its MAC ${session.mac} to that` }
      : { order: 'reboot', why: 'it was removed from the server' }
  }
  const { name, admission, bmc } = machine
  if (admission === 'rejected') return { order: 'power-off', why: `${name} is rejected` }
  if (admission === 'discovered') return { order: 'wait', why: `to be accepted: bareboat machine accept ${name}` }
  return bmc === undefined
    ? { order: 'wait', why: `${name} is accepted and needs a BMC: bareboat machine set ${name} --bmc URL` }
    : { order: 'power-off', why: `${name} is accepted: it is switched on when it has a container to run` }
}

/** What a report says that a machine's record has, too. */
type Facts = Partial<Pick<StoredMachine, 'uuid' | 'arch' | 'firmware' | 'memoryMiB'>>

function factsOf({ system }: HardwareReport, inventory: Inventory): Facts {
  const arch = ({ x86_64: 'amd64', aarch64: 'arm64' } as const)[system.arch ?? '']
  const firmware = (['bios', 'uefi'] as const).find((each) => each === system.firmware)
  const memoryMiB = Math.trunc((system.memory_kib ?? 0) / 1024)
  return {
    ...(inventory.system.uuid === undefined ? {} : { uuid: inventory.system.uuid }),
    ...(arch === undefined ? {} : { arch }),
    ...(firmware === undefined ? {} : { firmware }),
    ...(memoryMiB > 0 ? { memoryMiB } : {}),
  }
}

/** `m-525400123456`, of the card that it booted from. */
function nameFor(mac: string, taken: ReadonlySet<string>): string {
  const plain = `m-${mac.replaceAll(':', '')}`
  for (let count = 1; ; count++) {
    const name = count === 1 ? plain : `${plain}-${count}`
    if (!taken.has(name)) return name
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

function event(action: string, machine: StoredMachine, mac: string) {
  return {
    kind: 'machine',
    action,
    subjectId: machine.id,
    name: machine.name,
    source: 'guest',
    attributes: { mac },
  } as const
}
