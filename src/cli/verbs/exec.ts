import { AppError } from '../../base/errors.ts'
import { readEnvironmentFiles } from '../run/request.ts'
import { fromCaller } from '../run/environment.ts'
import { collect, example } from '../option.ts'
import { DEFAULT_DETACH_KEYS, detachFilter, noKeys, parseDetachKeys } from '../terminal/keys.ts'
import { pump } from '../terminal/pump.ts'
import type { Register } from '../verbs.ts'
import type { Session } from '../session.ts'

interface Flags {
  interactive?: boolean
  tty?: boolean
  env: string[]
  envFile: string[]
  workdir?: string
  user?: string
  detachKeys: string
}

export const register: Register = (program, session) =>
  program
    .command('exec')
    .summary('run a command in a running container')
    .description(
      "Runs a command in a running container. The exit code is the command's; 126: it cannot be run, 127: not found.",
    )
    .argument('<container>', 'name or id')
    .argument('<command...>', 'the command and its arguments')
    .passThroughOptions()
    .option('-i, --interactive', 'keep standard input open')
    .option('-t, --tty', 'give the command a terminal')
    .option('-e, --env <key=value>', 'environment variable (repeatable)', collect, [])
    .option('--env-file <file>', 'read environment variables from a file (repeatable)', collect, [])
    .option('-w, --workdir <dir>', 'working directory')
    .option('-u, --user <user>', 'NAME|UID[:GROUP|GID]')
    .option('--detach-keys <keys>', 'keys that leave the command alone', DEFAULT_DETACH_KEYS)
    .addHelpText('after', example('bareboat exec -it web sh', 'tar c . | bareboat exec -i web tar x -C /srv'))
    .action(async (container: string, command: string[], flags: Flags) => {
      session.exitCode = await exec(session, container, command, flags)
    })

async function exec(session: Session, container: string, argv: string[], flags: Flags): Promise<number> {
  const { io, signal } = session
  const isTty = flags.tty === true
  const hasStdin = flags.interactive === true
  const keys = parseDetachKeys(flags.detachKeys)
  if (isTty && hasStdin && io.stdin.isTTY !== true)
    throw new AppError('invalid', 'Cannot use a terminal (-t): the input device is not a TTY')
  const { rows, columns } = io.stdout
  const hasSize = isTty && rows !== undefined && columns !== undefined && rows > 0 && columns > 0
  await using channel = await session.client().containers.exec(container, { signal })
  const starting = channel.control({
    type: 'start',
    argv,
    env: [...readEnvironmentFiles(flags.envFile, io), ...fromCaller(flags.env, io.env)],
    tty: isTty,
    stdin: hasStdin,
    ...(flags.workdir === undefined ? {} : { workdir: flags.workdir }),
    ...(flags.user === undefined ? {} : { user: flags.user }),
    ...(hasSize ? { rows: Math.min(rows, 1000), columns: Math.min(columns, 1000) } : {}),
  })
  starting.catch(() => {
    // The server has closed already; what it said before is read below.
  })
  const outcome = await pump(session, channel, { isTty, hasStdin, keys: isTty ? detachFilter(keys) : noKeys })
  if (outcome.kind === 'exit') return outcome.code
  if (outcome.kind === 'closed')
    throw new AppError(
      'unreachable',
      `Cannot learn how the command in "${container}" ended: the server closed the channel`,
    )
  session.note('read escape sequence')
  return 0
}
