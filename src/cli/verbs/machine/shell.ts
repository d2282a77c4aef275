import { AppError } from '../../../base/errors.ts'
import { example } from '../../option.ts'
import { pump } from '../../terminal/pump.ts'
import type { Register } from '../../verbs.ts'
import type { Session } from '../../session.ts'

export const register: Register = (program, session) =>
  program
    .command('shell')
    .summary('open a shell on a machine that is in the agent')
    .description(
      'Opens a shell, or runs a command, as root on a machine without a container: one that is in the agent. With a terminal it is as `exec -it` for a container, else as `exec -i`. Its exit code is that of the command.',
    )
    .argument('<machine>', 'name or id')
    .argument('[command...]', 'the command and its arguments; a shell when absent')
    .passThroughOptions()
    .addHelpText('after', example('bareboat machine shell rack1-07', 'bareboat machine shell rack1-07 dmesg'))
    .action(async (machine: string, command: string[]) => {
      session.exitCode = await shell(session, machine, command)
    })

async function shell(session: Session, machine: string, command: readonly string[]): Promise<number> {
  const { stdin, stdout } = session.io
  const isTty = stdin.isTTY === true && stdout.isTTY === true
  const { rows = 0, columns = 0 } = stdout
  await using channel = await session.client().machines.shell(machine, { signal: session.signal })
  const starting = channel.control({
    type: 'start',
    argv: command.length > 0 ? [...command] : ['sh'],
    env: [],
    tty: isTty,
    stdin: true,
    ...(isTty && rows > 0 && columns > 0 ? { rows: Math.min(rows, 1000), columns: Math.min(columns, 1000) } : {}),
  })
  starting.catch(() => {
    // The server has closed already; what it said before is read below.
  })
  const outcome = await pump(session, channel, { isTty, hasStdin: true })
  if (outcome.kind === 'exit') return outcome.code
  throw new AppError('unreachable', `Cannot learn how the shell on "${machine}" ended: the server closed the channel`)
}
