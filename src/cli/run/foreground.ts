/** A foreground run: the boot's progress, then the workload's own input and output, then its exit code. */
import { AppError, type ErrorCode } from '../../base/errors.ts'
import type { Container } from '../../model/container.ts'
import type { Session } from '../session.ts'
import { detachFilter, noKeys, parseDetachKeys } from '../terminal/keys.ts'
import { pump, type Outcome } from '../terminal/pump.ts'
import { showProgress, type Progress } from './progress.ts'
import type { RunFlags } from './request.ts'

/**
 * Follows a container that was just created until its workload ends.
 * @returns the exit code of the workload, or 0 when the person detached
 * @throws {AppError} boot_failed with the stage and the cause
 */
export async function followRun(session: Session, container: Container, flags: RunFlags): Promise<number> {
  const client = session.client()
  const isTty = flags.tty === true
  const { promise: ready, resolve } = Promise.withResolvers<void>()
  let wasUp = false
  const onReady = () => {
    wasUp = true
    resolve()
  }
  const over = new AbortController()
  const signal = AbortSignal.any([session.signal, over.signal])
  using progress = showProgress(
    session,
    container,
    flags.quiet === true ? 'none' : flags.json === true ? 'json' : 'text',
  )
  using interrupts = handleInterrupts(session, container)
  const watching = watch(session, container, progress, onReady, signal)
  try {
    await using channel = await client.containers.attach(
      container.id,
      { stdin: flags.interactive === true, logs: true },
      { signal },
    )
    const outcome = await pump(session, channel, {
      isTty,
      hasStdin: flags.interactive === true,
      keys: isTty ? detachFilter(parseDetachKeys(flags.detachKeys)) : noKeys,
      ready,
      onControl: (control) => {
        if (control.type === 'stage' && (control.stage === 'init' || control.stage === 'running')) onReady()
      },
      onOutput: () => {
        progress.stop()
        onReady()
      },
    })
    progress.stop()
    return await finish(session, container, outcome, interrupts.count > 0 && !wasUp)
  } catch (error) {
    progress.stop()
    if (interrupts.count > 0 && error instanceof AppError && error.code === 'boot_failed') return INTERRUPTED
    throw await explainFailure(session, container, error)
  } finally {
    over.abort()
    await watching
  }
}

/** 128 + SIGINT. */
const INTERRUPTED = 130

async function finish(
  session: Session,
  container: Container,
  outcome: Outcome,
  /** The person ended the boot: there is no exit code of a workload. */
  isCutOff: boolean,
): Promise<number> {
  if (outcome.kind === 'left') {
    session.note('read escape sequence')
    return 0
  }
  if (container.options.restart === 'no' || outcome.kind === 'closed') {
    // The machine is free for the next run only once it is off.
    const end = await session
      .client()
      .containers.wait(container.id, { signal: session.signal })
      .catch((error: unknown) => {
        if (isCode(error, 'not_found')) return asItEnded(session, container)
        // The exit code is known already.
        if (isCode(error, 'unreachable') && outcome.kind === 'exit') return container
        throw error
      })
    if (outcome.kind === 'exit') {
      if (end.state === 'failed') session.note(`bareboat: ${end.cause ?? `container "${container.name}" failed`}`)
      return isCutOff ? INTERRUPTED : outcome.code
    }
    if (isCutOff) return INTERRUPTED
    if (end.state === 'failed' || end.exitCode === undefined)
      throw new AppError('boot_failed', end.cause ?? 'no cause is known')
    return end.exitCode
  }
  return outcome.code
}

function isCode(error: unknown, code: ErrorCode): boolean {
  return error instanceof AppError && error.code === code
}

/** The first interrupt stops the container, the second kills it, the third leaves it to itself. */
function handleInterrupts(session: Session, container: Container): Disposable & { readonly count: number } {
  let count = 0
  const { containers } = session.client()
  const registration = session.onInterrupt(() => {
    count++
    if (count === 1) {
      session.note(`\nbareboat: stopping "${container.name}"; interrupt again to kill it`)
      containers.stop(container.id, undefined, { signal: session.signal }).catch(told)
    } else if (count === 2) containers.kill(container.id, undefined, { signal: session.signal }).catch(told)
    else session.interrupt(new AppError('interrupted', `Cannot wait for "${container.name}" any longer: interrupted`))
  })
  const told = (error: unknown) => {
    if (!session.signal.aborted && !(error instanceof AppError && error.code === 'conflict')) session.complain(error)
  }
  return {
    get count() {
      return count
    },
    [Symbol.dispose]: () => registration[Symbol.dispose](),
  }
}

/** Events are for show: when they cannot be had, the run goes on without. */
async function watch(
  session: Session,
  container: Container,
  progress: Progress,
  onReady: () => void,
  signal: AbortSignal,
): Promise<void> {
  try {
    const query = { containerId: container.id, sinceMs: container.createdAt, follow: true, signal }
    for await (const event of session.client().events(query)) if (progress.see(event)) onReady()
  } catch {
    // Output or a stage on the channel says as well when the workload is there.
  }
}

/** What was noted of the end of a container that is gone: with `--rm` it goes at once. */
async function asItEnded(session: Session, container: Container): Promise<Container> {
  const query = { containerId: container.id, sinceMs: container.createdAt, signal: session.signal }
  let last = container
  try {
    for await (const { action, attributes } of session.client().events(query)) {
      const { cause, failedStage, exitCode } = attributes
      if (exitCode) last = { ...last, exitCode: Number(exitCode) }
      if (action === 'fail')
        last = { ...last, state: 'failed', ...(cause && { cause }), ...(failedStage && { failedStage }) }
    }
  } catch {
    // Then nobody knows more than the error says.
  }
  return last
}

async function explainFailure(session: Session, container: Container, error: unknown): Promise<unknown> {
  if (!(error instanceof AppError) || session.signal.aborted) return error
  if (error.code === 'unreachable')
    return new AppError(
      'unreachable',
      `Cannot follow container "${container.name}": the server went away; the container may still run: bareboat attach ${container.name}`,
      { cause: error },
    )
  const kept = await session
    .client()
    .containers.inspect(container.id, { signal: session.signal })
    .catch(() => undefined)
  const last = kept ?? (await asItEnded(session, container))
  const stage = last.failedStage === undefined ? '' : ` at stage "${last.failedStage}"`
  const where = last.machineName === undefined ? '' : ` on "${last.machineName}"`
  const cause = (last.cause ?? error.message).replace(/^Cannot /, 'cannot ')
  const off = last.machineOff === false ? '; the machine could not be switched off' : ''
  const look = kept === undefined ? '' : `; to see what the machine said: bareboat logs --console ${container.name}`
  return new AppError('boot_failed', `Cannot run "${container.image}"${where}: failed${stage}: ${cause}${off}${look}`)
}
