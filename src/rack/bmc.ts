/** The BMCs of one machine and its serial port. They live while the machine has mains power. */
import type { ChildProcess } from 'node:child_process'
import { createServer } from 'node:net'
import { poll } from '../base/clock.ts'
import { AppError, explain } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { serveHttpBmc } from './bmc-http.ts'
import { serveHttpsBmcs } from './bmc-https.ts'
import { serialPort, startIpmiBmc } from './bmc-ipmi.ts'
import { listen } from './listening.ts'
import type { VirtualMachine } from './machine.ts'
import { isUdpBound, setBmcAddress } from './network.ts'
import { NETWORK } from './plan.ts'

export interface Bmc {
  /** Starts what does not run, and resolves when it answers. */
  powerUp(): Promise<void>
  /** Ends it at once, as the loss of mains power does. */
  powerDown(): Promise<void>
  close(): Promise<void>
}

export interface BmcDeps {
  readonly keeperSocket: string
  readonly password: string
  readonly log: Log
}

const READY_MS = 10_000
/** An ipmi_sim that ends by itself is started again, so often and after such a pause. */
const RESTARTS_MAX = 5
const RESTART_PAUSE_MS = 1000

/** Prepares the BMC of a machine and opens its serial port; `powerUp` starts it. */
export async function openBmc(machine: VirtualMachine, { keeperSocket, password, log }: BmcDeps): Promise<Bmc> {
  const { bmcAddress: address, name } = machine.spec
  const serialServer = await serveSerial(machine)
  let hasAddress = false
  let web: AsyncDisposable | undefined
  let ipmi: ChildProcess | undefined
  let restartsLeft = 0
  let queue: Promise<void> = Promise.resolve()

  function startIpmi(): void {
    const child = startIpmiBmc(machine, keeperSocket, password)
    ipmi = child
    child.once('error', (cause) => log.error('ipmi_sim did not start', { machine: name, cause: explain(cause) }))
    child.once('exit', (code, signal) => {
      if (ipmi !== child) return
      ipmi = undefined
      log.warn('ipmi_sim ended', { machine: name, code, signal, restartsLeft })
      setTimeout(() => {
        if (ipmi !== undefined || restartsLeft === 0) return
        restartsLeft--
        startIpmi()
      }, RESTART_PAUSE_MS).unref()
    })
  }

  async function powerUp(): Promise<void> {
    if (!hasAddress) await setBmcAddress(address, true)
    hasAddress = true
    restartsLeft = RESTARTS_MAX
    web ??= await serveWebBmcs(machine, password, log)
    if (ipmi === undefined) startIpmi()
    const isBound = (): true | undefined => isUdpBound(address, NETWORK.ipmiPort) || undefined
    if (await poll(isBound, { everyMs: 20, deadlineMs: READY_MS })) return
    throw new AppError(
      'timeout',
      `Cannot start the BMC of "${name}": ipmi_sim does not listen after ${READY_MS} ms; see ${machine.paths.ipmiDir}/log`,
    )
  }

  async function powerDown(): Promise<void> {
    restartsLeft = 0
    const child = ipmi
    ipmi = undefined
    if (child !== undefined) await kill(child)
    await web?.[Symbol.asyncDispose]()
    web = undefined
    if (hasAddress) await setBmcAddress(address, false)
    hasAddress = false
  }

  /** Mains power may be switched by several at once. */
  function enqueue(work: () => Promise<void>): Promise<void> {
    const done = queue.then(work)
    queue = done.catch(() => undefined)
    return done
  }

  return {
    powerUp: () => enqueue(powerUp),
    powerDown: () => enqueue(powerDown),
    async close() {
      try {
        await enqueue(powerDown)
      } finally {
        await serialServer[Symbol.asyncDispose]()
      }
    },
  }
}

/** The BMCs that cost nothing while nobody asks. */
async function serveWebBmcs(machine: VirtualMachine, password: string, log: Log): Promise<AsyncDisposable> {
  await using stack = new AsyncDisposableStack()
  stack.use(await serveHttpBmc(machine))
  stack.use(await serveHttpsBmcs(machine, password, log))
  return stack.move()
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGKILL')
  await ended
}

/** SOL connects here whenever it likes; what the line does while nobody looks is in the record. */
async function serveSerial(machine: VirtualMachine): Promise<AsyncDisposable> {
  const server = createServer((socket) => machine.serial.attach(socket))
  server.maxConnections = 8
  return await listen(server, { host: '127.0.0.1', port: serialPort(machine.spec) })
}
