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

/** The program that `bareboat` is, as an argument list to start it again. */
export const SELF: readonly string[] = [
  process.execPath,
  '--disable-warning=ExperimentalWarning',
  // As the launcher does.
  '--disable-proto=throw',
  '--max-semi-space-size=4',
  '--heap-growing-percent=25',
  join(CHECKOUT, 'src/main.ts'),
]
