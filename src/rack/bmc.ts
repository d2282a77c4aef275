/** Both BMCs of one machine and its serial port. They live while the machine has mains power. */
import type { ChildProcess } from 'node:child_process'
import { createServer } from 'node:net'
import { poll } from '../base/clock.ts'
import { AppError } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { serveHttpBmc } from './bmc-http.ts'
import { serialPort, startIpmiBmc } from './bmc-ipmi.ts'
import { listen } from './listening.ts'
import type { VirtualMachine } from './machine.ts'
import { isUdpBound, setBmcAddress } from './network.ts'
import { NETWORK } from './plan.ts'

export interface Bmc {
  /** Starts what does not run. */
  powerUp(): Promise<void>
  /** Ends it at once, as the loss of mains power does. */
  powerDown(): Promise<void>
  close(): Promise<void>
}

const READY_MS = 10_000
const RESTART_PAUSE_MS = 1000

export interface BmcDeps {
  readonly keeperSocket: string
  readonly password: string
  readonly log: Log
}

/** Prepares the BMC of a machine and opens its serial port; `powerUp` starts it. */
export async function openBmc(machine: VirtualMachine, { keeperSocket, password, log }: BmcDeps): Promise<Bmc> {
  const { bmcAddress: address, name } = machine.spec
  const serialServer = await serveSerial(machine)
  let http: AsyncDisposable | undefined
  let ipmi: ChildProcess | undefined
  let isWanted = false

  function startIpmi(): void {
    const child = startIpmiBmc(machine, keeperSocket, password)
    ipmi = child
    child.once('error', (cause) => log.error('ipmi_sim did not start', { machine: name, cause: String(cause) }))
    child.once('exit', (code, signal) => {
      if (ipmi !== child) return
      ipmi = undefined
      log.warn('ipmi_sim ended', { machine: name, code, signal })
      setTimeout(() => {
        if (isWanted && ipmi === undefined) startIpmi()
      }, RESTART_PAUSE_MS).unref()
    })
  }

  async function powerDown(): Promise<void> {
    isWanted = false
    const child = ipmi
    ipmi = undefined
    if (child !== undefined && child.exitCode === null && child.signalCode === null) {
      const ended = new Promise((resolve) => child.once('exit', resolve))
      child.kill('SIGKILL')
      await ended
    }
    if (http === undefined) return
    const server = http
    http = undefined
    await server[Symbol.asyncDispose]()
    await setBmcAddress(address, false)
  }

  return {
    async powerUp() {
      if (!isWanted) await setBmcAddress(address, true)
      isWanted = true
      http ??= await serveHttpBmc(machine)
      if (ipmi === undefined) startIpmi()
      const isReady = await poll(() => isUdpBound(address, NETWORK.ipmiPort) || undefined, {
        everyMs: 20,
        deadlineMs: READY_MS,
      })
      if (!isReady)
        throw new AppError(
          'timeout',
          `Cannot start the BMC of "${name}": ipmi_sim does not listen after ${READY_MS} ms; see its log`,
        )
    },
    powerDown,
    async close() {
      await powerDown()
      await serialServer[Symbol.asyncDispose]()
    },
  }
}

/** SOL connects here whenever it likes; what the line does while nobody looks is in the record. */
async function serveSerial(machine: VirtualMachine): Promise<AsyncDisposable> {
  const server = createServer((socket) => machine.serial.attach(socket))
  server.maxConnections = 8
  return await listen(server, { host: '127.0.0.1', port: serialPort(machine.spec) })
}
