/** What happens on each channel. */
import { AppError, explain } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import type { AgentsService } from '../../services/agents/agents.ts'
import type { ConsoleService } from '../../services/console/console.ts'
import type { Tty } from '../../services/containers/agent.ts'
import type { ContainersService } from '../../services/containers/containers.ts'
import type { ExecService } from '../../services/containers/exec.ts'
import type { GuestProcess, LogStore, LogStream } from '../../services/containers/ports.ts'
import { signalName } from '../../services/containers/workload.ts'
import type { MachinesService } from '../../services/machines/machines.ts'
import type { Channel, ControlMessage } from './channel.ts'

export interface ChannelDeps {
  readonly log: Log
  readonly containers: ContainersService
  readonly exec: ExecService
  readonly logs: LogStore
  readonly machines: MachinesService
  readonly agents: Pick<AgentsService, 'shell'>
  readonly console: ConsoleService
}

/** The work of the channel at a path. @throws {AppError} not_found when there is none */
export function channelAt(deps: ChannelDeps, url: URL): (channel: Channel) => Promise<void> {
  const [, version, room, id = '', name] = url.pathname.split('/').map(decodeURIComponent)
  if (version === 'v1' && room === 'containers' && name === 'exec')
    return (channel) => processChannel(deps.log.with({ exec: id }), channel, (start) => startExec(deps.exec, id, start))
  if (version === 'v1' && room === 'containers' && name === 'attach')
    return (channel) => attachChannel(deps, channel, id, url.searchParams)
  if (version === 'v1' && room === 'machines' && name === 'shell')
    return (channel) => processChannel(deps.log.with({ shell: id }), channel, (start) => startShell(deps, id, start))
  if (version === 'v1' && room === 'machines' && name === 'console')
    return (channel) => consoleChannel(deps, channel, id, url.searchParams)
  throw new AppError('not_found', `Cannot open a channel at "${url.pathname}": there is none`)
}

type Start = Extract<ControlMessage, { type: 'start' }>

/** A program that the client's first message starts. @param log names what it runs on */
async function processChannel(
  log: Log,
  channel: Channel,
  start: (message: Start) => Promise<GuestProcess>,
): Promise<void> {
  const started = Promise.withResolvers<GuestProcess>()
  channel.gone.addEventListener('abort', () =>
    started.reject(new AppError('interrupted', 'Cannot exec: the client has gone')),
  )
  started.promise.catch(() => {})
  let hasStarted = false
  channel.handle({
    input: async (bytes) => (await started.promise).write(bytes),
    async control(message) {
      if (message.type === 'start') {
        if (hasStarted) throw new AppError('invalid', 'Cannot start twice on one channel')
        hasStarted = true
        const process = await start(message)
        if (!message.stdin) process.endInput()
        started.resolve(process)
        return
      }
      const process = await started.promise
      if (message.type === 'eof') process.endInput()
      else if (message.type === 'resize') process.resize(message.rows, message.columns)
    },
  })
  await using process = await started.promise
  const close = (): void => void process[Symbol.asyncDispose]()
  channel.gone.addEventListener('abort', close, { once: true })
  await Promise.all([pump(process.stdout, channel, 'stdout'), pump(process.stderr, channel, 'stderr')])
  const code = await process.exit
  if (code === undefined)
    throw new AppError('unreachable', 'Cannot see the end of the command: the connection to the machine was lost')
  log.debug('program ended', { code })
  await channel.control({ type: 'exit', code })
}

async function startExec(exec: ExecService, id: string, message: Start): Promise<GuestProcess> {
  const tty = ttyOf(message)
  return exec.exec(id, {
    argv: message.argv,
    env: message.env,
    ...(message.workdir === undefined ? {} : { workdir: message.workdir }),
    ...(message.user === undefined ? {} : { user: message.user }),
    ...(tty ? { tty } : {}),
  })
}

async function startShell({ agents, machines }: ChannelDeps, name: string, message: Start): Promise<GuestProcess> {
  return agents.shell(await machines.find(name), message.argv, ttyOf(message))
}

function ttyOf({ tty, rows = 24, columns = 80 }: Start): Tty | undefined {
  return tty ? { rows, columns, term: 'xterm' } : undefined
}

async function attachChannel(deps: ChannelDeps, channel: Channel, id: string, params: URLSearchParams): Promise<void> {
  const { containers, logs } = deps
  const container = await containers.find(id)
  channel.handle(inputHandlers(deps, channel, container.id, params.get('stdin') === 'true'))
  const streams: LogStream[] = ['stdout', 'stderr']
  const sinceMs = params.get('logs') === 'true' ? undefined : Date.now()
  const output = async (from: LogStream[]): Promise<void> => {
    const query = { streams: from, follow: true, signal: channel.gone, ...(sinceMs === undefined ? {} : { sinceMs }) }
    for await (const piece of logs.read(container.id, query))
      await channel.send(piece.stream === 'stderr' || piece.stream === 'note' ? 'stderr' : 'stdout', piece.bytes)
  }
  const isOver = container.state === 'exited' || container.state === 'failed'
  // How an operating system speaks is its console; which kind it is shows once it is prepared.
  const prepared = await containers.whenPrepared(container.id, channel.gone)
  const from = prepared?.mode === 'os' ? (['console'] as LogStream[]) : streams
  const reading = isOver ? Promise.resolve() : output(from)
  const ended = await containers.wait(container.id, channel.gone)
  await reading
  if (ended.state === 'failed')
    throw new AppError(
      'boot_failed',
      `Container "${ended.name}" failed at stage "${ended.failedStage}": ${ended.cause}`,
    )
  await channel.control({ type: 'exit', code: ended.exitCode ?? 0 })
}

/** What is typed while the machine still boots waits until the workload runs. */
function inputHandlers(deps: ChannelDeps, channel: Channel, containerId: string, wantsStdin: boolean) {
  const { containers, exec, log } = deps
  let running: Promise<void> | undefined
  const isRunning = (): Promise<void> => (running ??= containers.whenRunning(containerId, channel.gone))
  let feed: ReturnType<ExecService['feed']> | undefined
  const feeding = (): ReturnType<ExecService['feed']> => (feed ??= isRunning().then(() => exec.feed(containerId)))
  channel.gone.addEventListener('abort', () => void feed?.then((open) => open.close()).catch(() => {}), { once: true })
  return {
    async input(bytes: Uint8Array): Promise<void> {
      if (wantsStdin) await (await feeding()).write(bytes)
    },
    async control(message: ControlMessage): Promise<void> {
      try {
        if (message.type === 'eof' && wantsStdin) await (await feeding()).end()
        else if (message.type === 'resize') {
          await isRunning()
          await exec.resize(containerId, message.rows, message.columns)
        } else if (message.type === 'signal') await exec.signal(containerId, signalName(message.signal))
      } catch (error) {
        log.debug('attach control without effect', { containerId, type: message.type, why: explain(error) })
      }
    },
  }
}

async function consoleChannel(
  { machines, console }: ChannelDeps,
  channel: Channel,
  name: string,
  params: URLSearchParams,
): Promise<void> {
  const options = {
    who: whoIs(params.get('as')),
    readOnly: params.get('readOnly') === 'true',
    takeOver: params.get('takeOver') === 'true',
  }
  await using view = await console.view(await machines.find(name), options, channel.gone)
  channel.handle({
    input: (bytes) => view.write(bytes),
    async control(message) {
      if (message.type === 'break') await view.sendBreak()
      else if (message.type === 'take-over') view.takeOver()
    },
  })
  for await (const event of view.events)
    if (event.kind === 'output') await channel.send('stdout', event.bytes)
    else if (event.kind === 'notice') await channel.control({ type: 'notice', text: event.text })
    else await channel.control({ type: 'writer', isWriter: event.isWriter, text: event.text })
}

const MAX_WHO = 64

/** What a client calls itself, fit for the terminals of others. */
function whoIs(name: string | null): string {
  const plain = (name ?? '').replace(/[^\x21-\x7e]/g, '').slice(0, MAX_WHO)
  return plain === '' ? 'somebody' : plain
}

async function pump(from: AsyncIterable<Uint8Array>, channel: Channel, stream: 'stdout' | 'stderr'): Promise<void> {
  try {
    for await (const bytes of from) await channel.send(stream, bytes)
  } catch (error) {
    if (!channel.gone.aborted) throw error
  }
}
