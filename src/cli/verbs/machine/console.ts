import { AppError } from '../../../base/errors.ts'
import { example } from '../../option.ts'
import { printLog } from '../../output/log.ts'
import type { Session } from '../../session.ts'
import { tildeFilter } from '../../terminal/keys.ts'
import { pump } from '../../terminal/pump.ts'
import type { Register } from '../../verbs.ts'
import { parseWhen } from '../../when.ts'

interface Flags {
  log?: boolean
  follow?: boolean
  since?: string
  timestamps?: boolean
  json?: boolean
}

export const register: Register = (program, session) =>
  program
    .command('console')
    .summary("open a machine's serial console, or show what came over it")
    .description("Opens a machine's serial console (SOL). `~.` at the start of a line leaves it, `~~` sends one `~`.")
    .argument('<machine>', 'name or id')
    .option('--log', 'show the kept log instead of opening the console')
    .option('-f, --follow', 'with --log: go on with what comes from now on')
    .option('--since <when>', 'with --log: a date, seconds since the epoch, or how long ago (10m)')
    .option('-t, --timestamps', 'with --log: begin each line with its time')
    .option('--json', 'with --log: print JSON, one chunk a line')
    .addHelpText('after', example('bareboat machine console rack1-07', 'bareboat machine console --log -f rack1-07'))
    .action((machine: string, flags: Flags) =>
      flags.log === true ? showLog(session, machine, flags) : open(session, machine, flags),
    )

async function showLog(session: Session, machine: string, flags: Flags): Promise<void> {
  const chunks = session.client().machines.consoleLog(machine, {
    signal: session.signal,
    ...(flags.follow === true ? { follow: true } : {}),
    ...(flags.since === undefined ? {} : { sinceMs: parseWhen(flags.since, session.io.now()) }),
  })
  await printLog(session, chunks, flags)
}

async function open(session: Session, machine: string, flags: Flags): Promise<void> {
  const alone = (['follow', 'since', 'timestamps', 'json'] as const).find((flag) => flags[flag] !== undefined)
  if (alone !== undefined)
    throw new AppError('invalid', `Cannot open the console of "${machine}": --${alone} goes with --log only`)
  await using channel = await session.client().machines.console(machine, { signal: session.signal })
  const isTerminal = session.io.stdin.isTTY === true
  if (isTerminal) session.note(`Console of ${machine}; leave it with Enter ~ .`)
  const outcome = await pump(session, channel, {
    isTty: true,
    hasStdin: true,
    // Bytes from a pipe are the far side's, tildes too.
    ...(isTerminal ? { keys: tildeFilter() } : {}),
  })
  if (isTerminal) session.note('\r\nConsole closed')
  session.exitCode = outcome.kind === 'exit' ? outcome.code : 0
}
