import { AppError } from '../../base/errors.ts'
import { example } from '../option.ts'
import type { Session } from '../session.ts'
import { DEFAULT_DETACH_KEYS, detachFilter, noKeys, parseDetachKeys } from '../terminal/keys.ts'
import { pump } from '../terminal/pump.ts'
import type { Register } from '../verbs.ts'

interface Flags {
  stdin: boolean
  sigProxy: boolean
  detachKeys: string
}

export const register: Register = (program, session) =>
  program
    .command('attach')
    .summary("attach to a running container's input and output")
    .argument('<container>', 'name or id')
    .option('--no-stdin', 'do not attach standard input')
    .option('--no-sig-proxy', 'do not send interrupts on to the workload')
    .option('--detach-keys <keys>', 'keys that detach', DEFAULT_DETACH_KEYS)
    .addHelpText('after', example('bareboat attach web'))
    .action(async (container: string, flags: Flags) => {
      session.exitCode = await attach(session, container, flags)
    })

async function attach(session: Session, nameOrId: string, flags: Flags): Promise<number> {
  const { containers } = session.client()
  const keys = parseDetachKeys(flags.detachKeys)
  const container = await containers.inspect(nameOrId, { signal: session.signal })
  if (container.state === 'exited' || container.state === 'failed' || container.state === 'created')
    throw new AppError(
      'conflict',
      `Cannot attach to "${container.name}": it is ${container.state}; start it with: bareboat restart ${container.name}`,
    )
  const isTty = container.options.tty
  const hasStdin = container.options.stdin && flags.stdin
  if (isTty && hasStdin && session.io.stdin.isTTY !== true)
    throw new AppError('invalid', `Cannot attach to "${container.name}": the input device is not a TTY`)
  using _proxy = flags.sigProxy ? proxyInterrupts(session, container.id) : undefined
  await using channel = await containers.attach(container.id, { stdin: hasStdin }, { signal: session.signal })
  const outcome = await pump(session, channel, { isTty, hasStdin, keys: isTty ? detachFilter(keys) : noKeys })
  if (outcome.kind === 'exit') return outcome.code
  if (outcome.kind === 'left') {
    session.note('read escape sequence')
    return 0
  }
  return (await containers.wait(container.id, { signal: session.signal })).exitCode ?? 0
}

/** As docker: an interrupt is the workload's to answer, not ours. */
function proxyInterrupts(session: Session, containerId: string): Disposable {
  return session.onInterrupt(() => {
    session
      .client()
      .containers.kill(containerId, 'SIGINT', { signal: session.signal })
      .catch((error: unknown) => {
        if (!session.signal.aborted)
          session.interrupt(
            error instanceof AppError ? error : new AppError('interrupted', 'Cannot go on: interrupted'),
          )
      })
  })
}
