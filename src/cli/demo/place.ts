/** Where the demo keeps what it makes. The kit is set-up, like the npm packages: it stays in the checkout for the next time. */
import { join } from 'node:path'
import { stateHome, type Environment } from '../../model/paths.ts'

export const DEMO_RACK = 'demo'
const CHECKOUT = join(import.meta.dirname, '../../..')

export interface DemoPlace {
  /** All of it goes with the demo. */
  readonly dir: string
  readonly dataDir: string
  readonly rackDir: string
  readonly socket: string
  readonly serverLog: string
  readonly pidFile: string
  readonly kitDir: string
}

export function demoPlace(env: Environment): DemoPlace {
  const dir = join(stateHome(env), 'bareboat', 'demo')
  return {
    dir,
    dataDir: join(dir, 'data'),
    rackDir: join(dir, 'rack'),
    socket: join(dir, 'api.sock'),
    serverLog: join(dir, 'server.log'),
    pidFile: join(dir, 'server.pid'),
    kitDir: join(CHECKOUT, '.bareboat', 'kits'),
  }
}

/** What the launcher gives Node.js; a test compares. */
export const LAUNCHER_OPTIONS: readonly string[] = [
  '--disable-warning=ExperimentalWarning',
  '--disable-proto=throw',
  '--max-semi-space-size=4',
  '--heap-growing-percent=25',
]

/** The program that `bareboat` is, as an argument list to start it again. */
export const SELF: readonly string[] = [process.execPath, ...LAUNCHER_OPTIONS, join(CHECKOUT, 'src/main.ts')]
