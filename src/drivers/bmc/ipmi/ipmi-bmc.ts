/** A BMC that speaks IPMI 2.0 over LAN (RMCP+), as the power port. */
import { AppError, WireError } from '../../../base/errors.ts'
import type { Log } from '../../../base/log.ts'
import { makerOfDefault } from '../../../model/default-credentials.ts'
import type { BmcConsole, BmcPort, BmcTap } from '../../../services/power/power-port.ts'
import type { CipherSuiteId } from '../../../wire/ipmi/cipher-suites.ts'
import { COMPLETION } from '../../../wire/ipmi/completion.ts'
import { MAX_PASSWORD_BYTES, MAX_USER_BYTES } from '../../../wire/ipmi/keys.ts'
import { RMCP_PORT } from '../../../wire/rmcp/rmcp.ts'
import { POWER_PATIENCE, setPower, shownState, type PowerPatience } from '../set-power.ts'
import { refuseDefaultPassword } from '../default-password.ts'
import { Turns } from '../turns.ts'
import { hostPort } from '../user-at-host.ts'
import { Commander } from './commander.ts'
import { checkIpmi, createIpmiHardware, type HardwareDeps } from './hardware.ts'
import { createIpmiPower } from './power.ts'
import type { Ask } from './records.ts'
import type { SessionBudget } from './session-budget.ts'
import { CompletionError, type OpenSession, type SessionOptions } from './session.ts'
import { openSolConsole } from './sol-console.ts'

export interface IpmiBmcOptions {
  readonly host: string
  /** UDP port, default 623. */
  readonly port?: number
  readonly user: string
  readonly password: string
  readonly log: Log
  /** Cipher suites that may be used, the best first; default [17, 3]. Leave 3 out to refuse SHA-1. */
  readonly cipherSuites?: readonly CipherSuiteId[]
  /** The level to ask for; a user that is only operator gets by with less by itself. Default `administrator`, as most BMCs expect. */
  readonly privilege?: 'operator' | 'administrator'
  readonly patience?: Partial<PowerPatience>
  /** An unused session is closed after this, milliseconds; default 10 s. */
  readonly idleMs?: number
  /** Least time between two commands, milliseconds; default 20. */
  readonly paceMs?: number
  /** Bounds the sessions, and so the sockets, of all BMCs that share it. Without one, each BMC may have one, and its consoles. */
  readonly budget?: SessionBudget | undefined
  /** Pauses after the BMC said that it has no free session, milliseconds; default 1, 2 and 4 s. */
  readonly fullWaitsMs?: readonly number[]
  /** How many operations may wait for this BMC; default 16. */
  readonly maxWaiting?: number
  readonly tap?: BmcTap | undefined
  /** How a session comes to be; default: over UDP. */
  readonly open?: OpenSession | undefined
  /** So many times faster than life: a state needs less time to be believed. Default 1. */
  readonly hurry?: number
}

/**
 * A BMC at an address. Nothing is sent before the first operation; dispose it to close its session.
 * @throws {AppError} `invalid` for a user or password that IPMI cannot carry, a null user, or no cipher suite
 */
export function createIpmiBmc(options: IpmiBmcOptions): BmcPort {
  const port = options.port ?? RMCP_PORT
  const address = hostPort(options.host, port)
  const log = options.log.with({ bmc: address })
  const patience = { ...POWER_PATIENCE, ...options.patience }
  const session: SessionOptions = {
    host: options.host,
    port,
    address,
    log,
    user: checkUser(options.user, address),
    password: checkPassword(options.password, address),
    cipherSuites: checkSuites(options.cipherSuites ?? [17, 3], address),
    privilege: options.privilege ?? 'administrator',
    tap: options.tap,
  }
  const turns = new Turns(address, options.maxWaiting ?? 16)
  const commander = new Commander({
    ...session,
    idleMs: options.idleMs ?? 10_000,
    paceMs: options.paceMs ?? 20,
    budget: options.budget,
    fullWaitsMs: options.fullWaitsMs,
    open: options.open,
  })
  const power = createIpmiPower({ bmc: commander, address, log, hurry: options.hurry })
  const refuseDefault = () => refuseDefaultPassword(options.user, options.password, address)
  const inTurn = <T>(work: () => Promise<T>, signal?: AbortSignal) =>
    turns.take(async () => {
      refuseDefault()
      try {
        return await explained(address, work)
      } finally {
        commander.rest()
      }
    }, signal)
  const ask: Ask = (command, question, signal) =>
    turns.take(() => {
      refuseDefault()
      return commander.request(command, question, signal)
    }, signal)
  const can = new Set(['power', 'boot-override', 'console', 'soft-off', 'cycle', 'hardware', 'check'] as const)
  const hardware: HardwareDeps = {
    ask,
    host: options.host,
    port,
    address,
    log,
    can,
    cipherSuite: () => commander.cipherSuite,
    passwordBytes: session.password.length,
    isVendorDefault: makerOfDefault(options.user, options.password) !== undefined,
    explained: (work) => explained(address, work),
  }
  return {
    can,
    address,
    status: (signal) => inTurn(async () => shownState(await power.read(signal)), signal),
    set: (action, signal) => inTurn(() => setPower(power, action, patience, signal), signal),
    setBoot: (override, signal) => inTurn(() => power.setBoot(override, signal), signal),
    hardware: createIpmiHardware(hardware),
    check: (signal) => checkIpmi(hardware, signal),
    async console({ takeOver = false, signal } = {}) {
      refuseDefault()
      const release = await options.budget?.hold(signal)
      try {
        return held(await explained(address, () => openSolConsole(session, { takeOver, signal })), release)
      } catch (error) {
        release?.()
        throw error
      }
    },
    [Symbol.asyncDispose]: () => turns.close(() => commander[Symbol.asyncDispose]()),
  }
}

/** A console whose place in the budget is given back when it is closed. */
function held(console: BmcConsole, release: (() => void) | undefined): BmcConsole {
  if (!release) return console
  return {
    [Symbol.asyncIterator]: () => console[Symbol.asyncIterator](),
    write: (bytes, signal) => console.write(bytes, signal),
    sendBreak: (signal) => console.sendBreak(signal),
    [Symbol.asyncDispose]: () => console[Symbol.asyncDispose]().then(release),
  }
}

/** What the BMC declines or garbles, in the words of the port. */
async function explained<T>(address: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    if (cause instanceof CompletionError) {
      const code = cause.completion === COMPLETION.insufficientPrivilege ? 'forbidden' : 'unsupported'
      throw new AppError(code, `Cannot do this on BMC "${address}": it declined`, { cause })
    }
    if (cause instanceof WireError) throw new AppError('bad_peer', `Cannot understand BMC "${address}"`, { cause })
    throw cause
  }
}

function checkUser(user: string, address: string): string {
  const bytes = Buffer.byteLength(user)
  if (bytes === 0)
    throw new AppError(
      'invalid',
      `Cannot use BMC "${address}" without a user name: the null user is open to anyone; name a user, and disable the null user on the BMC`,
    )
  if (bytes > MAX_USER_BYTES)
    throw new AppError(
      'invalid',
      `Cannot use user "${user}" on BMC "${address}": ${bytes} bytes, IPMI takes ${MAX_USER_BYTES}`,
    )
  return user
}

function checkPassword(password: string, address: string): Uint8Array {
  const bytes = new TextEncoder().encode(password)
  if (bytes.length === 0)
    throw new AppError('invalid', `Cannot use BMC "${address}" without a password; set one on the BMC`)
  if (bytes.length > MAX_PASSWORD_BYTES)
    throw new AppError(
      'invalid',
      `Cannot use this password on BMC "${address}": ${bytes.length} bytes, IPMI takes ${MAX_PASSWORD_BYTES}`,
    )
  if (bytes.includes(0))
    throw new AppError('invalid', `Cannot use this password on BMC "${address}": it has a NUL in it`)
  return bytes
}

function checkSuites(suites: readonly CipherSuiteId[], address: string): readonly CipherSuiteId[] {
  const wrong = suites.find((id) => id !== 17 && id !== 3)
  if (wrong !== undefined)
    throw new AppError(
      'invalid',
      `Cannot use cipher suite ${String(wrong)} on BMC "${address}": only 17 and 3 authenticate, sign and encrypt`,
    )
  if (suites.length === 0)
    throw new AppError('invalid', `Cannot use BMC "${address}": no cipher suite is allowed; allow 17 or 3`)
  return suites
}
