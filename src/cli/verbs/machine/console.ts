import { hostname } from 'node:os'
import { AppError } from '../../../base/errors.ts'
import type { Channel } from '../../../client/channel.ts'
import type { ServerControl } from '../../../model/api.ts'
import { example, parseTail } from '../../option.ts'
import { printLog } from '../../output/log.ts'
import type { Session } from '../../session.ts'
import { CONSOLE_ESCAPES, tildeFilter, type Escape } from '../../terminal/keys.ts'
import { pump } from '../../terminal/pump.ts'
import type { Register } from '../../verbs.ts'
import { parseWhen } from '../../when.ts'

interface Flags {
  takeOver?: boolean
  readOnly?: boolean
  log?: boolean
  follow?: boolean
  since?: string
  tail?: string
  timestamps?: boolean
  json?: boolean
}

const HELP = [
  'After Enter:',
  '  ~.  leave',
  '  ~B  send a break (on Linux the SysRq key)',
  '  ~w  write, whoever does now',
  '  ~?  this',
  '  ~~  send one ~',
].join('\r\n')

export const register: Register = (program, session) =>
  program
    .command('console')
    .summary("open a machine's serial console, or show what came over it")
    .description(
      "Opens a machine's serial console. Several may look at it, one of them writes: the first, or who takes over. " +
        'At the start of a line `~.` leaves it, `~B` sends a break, `~w` takes over, `~?` shows these keys, `~~` sends one `~`.',
    )
    .argument('<machine>', 'name or id')
    .option('--take-over', 'take it from another session of the BMC, and the writing from another viewer')
    .option('--read-only', 'only look; another one may write')
    .option('--log', 'show what was recorded instead of opening the console')
    .option('-f, --follow', 'with --log: go on with what comes from now on')
    .option('--since <when>', 'with --log: a date, seconds since the epoch, or how long ago (10m)')
    .option('-n, --tail <count>', 'with --log: the last lines only')
    .option('-t, --timestamps', 'with --log: begin each line with its time')
    .option('--json', 'with --log: print JSON, one chunk a line')
    .addHelpText(
      'after',
      example(
        'bareboat machine console rack1-07',
        'bareboat machine console --log -f rack1-07',
        'bareboat machine console --log --since 10m -t rack1-07',
      ),
    )
    .action((machine: string, flags: Flags) =>
      flags.log === true ? showLog(session, machine, flags) : open(session, machine, flags),
    )

async function showLog(session: Session, machine: string, flags: Flags): Promise<void> {
  const alone = (['takeOver', 'readOnly'] as const).find((flag) => flags[flag] !== undefined)
  if (alone !== undefined)
    throw new AppError(
      'invalid',
      `Cannot show the log of "${machine}": --${alone === 'takeOver' ? 'take-over' : 'read-only'} goes without --log only`,
    )
  const tail = flags.tail === undefined ? undefined : parseTail(flags.tail)
  const chunks = session.client().machines.consoleLog(machine, {
    signal: session.signal,
    ...(flags.follow === true ? { follow: true } : {}),
    ...(flags.since === undefined ? {} : { sinceMs: parseWhen(flags.since, session.io.now()) }),
    ...(tail === undefined ? {} : { tail }),
  })
  await printLog(session, chunks, flags)
}

async function open(session: Session, machine: string, flags: Flags): Promise<void> {
  const alone = (['follow', 'since', 'tail', 'timestamps', 'json'] as const).find((flag) => flags[flag] !== undefined)
  if (alone !== undefined)
    throw new AppError('invalid', `Cannot open the console of "${machine}": --${alone} goes with --log only`)
  if (flags.takeOver === true && flags.readOnly === true)
    throw new AppError(
      'invalid',
      `Cannot open the console of "${machine}": --take-over and --read-only exclude each other`,
    )
  await using channel = await session.client().machines.console(machine, {
    signal: session.signal,
    as: `${session.io.env['USER'] ?? 'somebody'}@${hostname()}`,
    ...(flags.takeOver === true ? { takeOver: true } : {}),
    ...(flags.readOnly === true ? { readOnly: true } : {}),
  })
  const isTerminal = session.io.stdin.isTTY === true
  // A terminal that is raw needs the carriage return.
  const tell = (text: string): void => session.note(isTerminal ? `\r\n[${text}]\r` : `[${text}]`)
  if (isTerminal) session.note(`Console of ${machine}; Enter ~ . leaves it, Enter ~ ? shows what else there is`)
  const outcome = await pump(session, channel, {
    isTty: true,
    hasStdin: flags.readOnly !== true || isTerminal,
    onControl: (control) => onControl(control, machine, isTerminal || flags.readOnly === true, tell),
    // Bytes from a pipe are the far side's, tildes too.
    ...(isTerminal
      ? { keys: tildeFilter(CONSOLE_ESCAPES), onEscape: (escape) => onEscape(escape, channel, session) }
      : {}),
  })
  if (isTerminal) session.note('\r\nConsole closed')
  session.exitCode = outcome.kind === 'exit' ? outcome.code : 0
}

function onControl(control: ServerControl, machine: string, mayRead: boolean, tell: (text: string) => void): void {
  if (control.type === 'notice') return tell(control.text)
  if (control.type !== 'writer') return
  // What comes from a pipe would be lost without anybody seeing it.
  if (!control.isWriter && !mayRead)
    throw new AppError('conflict', `Cannot write to the console of "${machine}": ${control.text}, or use --take-over`)
  if (control.text !== '') tell(control.text)
}

async function onEscape(escape: Escape, channel: Channel, session: Session): Promise<void> {
  if (escape === 'help') session.note(`\r\n${HELP}\r`)
  else await channel.control({ type: escape === 'break' ? 'break' : 'take-over' })
}
