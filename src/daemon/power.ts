/** Machines' BMCs: power, consoles and what is recorded of them, recordings of exchanges. */
import type { Now } from '../base/clock.ts'
import type { Log } from '../base/log.ts'
import { SessionBudget } from '../drivers/bmc/ipmi/session-budget.ts'
import { openBmc } from '../drivers/bmc/open.ts'
import { openReplay } from '../drivers/bmc/recording/open-replay.ts'
import { createConsole, type ConsoleDeps } from '../services/console/console.ts'
import type { MachineStore, StoredMachine } from '../services/machines/ports.ts'
import type { EventBus } from '../services/ports.ts'
import { createBmcRecordings } from '../services/power/bmc-recordings.ts'
import type { IntentStore, SystemPort } from '../services/power/ports.ts'
import type { BmcTap } from '../services/power/power-port.ts'
import { createPacer } from '../services/power/pace.ts'
import { createPower } from '../services/power/power.ts'
import { createStagger } from '../services/power/stagger.ts'
import type { Config } from './config.ts'
import { createConsoleRecording, type ConsoleRecord } from './console-recording.ts'
import { VERSION } from './version.ts'

/** Sessions with BMCs, consoles among them, each a socket; whoever needs one more waits for the one that was idle longest. */
const MAX_BMC_SESSIONS = 1024

/** Short containers one after the other, which are two commands each, wait for nothing; beyond 80 s nobody waits for a command. */
const PACE = { atOnce: 8, maxWaiting: 16 }

export interface PowerServicesDeps {
  readonly config: Config
  readonly log: Log
  readonly now: Now
  readonly events: EventBus
  readonly intents: IntentStore
  readonly machines: MachineStore
  readonly logs: ConsoleDeps['logs']
  readonly system: SystemPort
}

/** What an earlier daemon was about to do is known when this resolves. */
export async function openPower({ config, log, now, events, intents, machines, logs, system }: PowerServicesDeps) {
  await using stack = new AsyncDisposableStack()
  const budget = new SessionBudget(MAX_BMC_SESSIONS)
  const open = ({ bmc, name, macs }: StoredMachine, password: string | undefined, tap?: BmcTap) =>
    openBmc(bmc!, password, log.with({ machine: name }), { budget, macs, ...(tap ? { tap } : {}) })
  const recording = createConsoleRecording({
    mode: config.consoleRecord as ConsoleRecord,
    log,
    console: () => console,
    machines: machines.list,
    machineById: machines.byId,
    switchedOn: intents.switchedOn,
  })
  const power = stack.use(
    createPower({
      log,
      now,
      events,
      intents,
      ...(recording.power ? { recording: recording.power } : {}),
      passwordOf: machines.bmcPassword,
      system,
      openBmc: open,
      stagger: createStagger(),
      ...(config.powerPaceSeconds === 0
        ? {}
        : { pacer: createPacer({ ...PACE, everyMs: config.powerPaceSeconds * 1000 }) }),
    }),
  )
  const bmcRecordings = createBmcRecordings({
    power,
    passwordOf: machines.bmcPassword,
    openReplay: (text, tap) => openReplay(text, tap, log),
    now,
    release: VERSION,
  })
  await power.recover()
  const console = stack.use(createConsole({ log, logs, now, portOf: power.portOf }))
  const held = stack.move()
  return {
    power,
    console,
    recording,
    bmcRecordings,
    /** Whether a user of a BMC is let in. @throws {AppError} as the driver when not */
    async logIn(machine: StoredMachine, password: string, signal: AbortSignal): Promise<void> {
      await using port = open(machine, password)
      await port.status(signal)
    },
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}
