/**
 * Runs the BMC of Debian's python3-pyghmi (its `fakebmc`, with another password): the code that VirtualBMC and PiKVM's IPMI are made of.
 * It listens on every address.
 */
import { spawn } from 'node:child_process'
import { poll } from '../../src/base/clock.ts'
import { answersPing, freeUdpPort } from './ipmi-sim.ts'

export interface PyghmiBmc extends AsyncDisposable {
  readonly port: number
}

/** Starts it; user `admin`, password `secret`, and the machine is off. */
export async function startPyghmiBmc(): Promise<PyghmiBmc> {
  const port = await freeUdpPort()
  const program = `from pyghmi.cmd.fakebmc import FakeBmc; FakeBmc({'admin': 'secret'}, port=${port}).listen()`
  // Debian's own, which finds Debian's packages.
  const child = spawn('/usr/bin/python3', ['-c', program], { stdio: 'ignore' })
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const isReady = await poll(() => answersPing(port, GET_AUTHENTICATION), { everyMs: 100, deadlineMs: 20_000 })
  if (!isReady) throw new Error('fakebmc does not answer')
  return {
    port,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await ended
    },
  }
}

/** Get Channel Authentication Capabilities in a v1.5 packet: it knows no presence ping. */
const GET_AUTHENTICATION = '0600ff07000000000000000000092018c88100388e04b5'
