/**
 * The command line as a whole. A verb is a file that is loaded when it is asked for, since most of the time that a short
 * command takes is loading.
 */
import { Command, CommanderError } from 'commander'
import { AppError, ERROR_CODES } from '../base/errors.ts'
import type { Io } from './io.ts'
import { createSession, exitCodeOf, errorLines, type Session } from './session.ts'
import { VERBS, type Extra } from './verbs.ts'

/**
 * The tree of commands.
 * @param extra adds the commands that are not the command line's own (`server`)
 * @param only the verbs to load; all when absent
 */
export async function createProgram(
  session: Session,
  extra: Extra = () => {},
  only?: readonly string[],
): Promise<Command> {
  const program = new Command('bareboat')
    .description("Runs container images on physical machines, with docker's verbs")
    .option('--host <address>', 'server: unix:///PATH or http://HOST:PORT (default: BAREBOAT_HOST or the local socket)')
    .helpOption('--help', 'show this help')
    .helpCommand('help [verb]', 'show the help of a verb')
    .enablePositionalOptions()
    .showHelpAfterError(false)
    .showSuggestionAfterError()
    .exitOverride()
    .configureHelp({ showGlobalOptions: false, sortSubcommands: false, helpWidth: session.io.stdout.columns ?? 100 })
    .configureOutput({
      writeOut: (text) => void session.io.stdout.write(text),
      writeErr: (text) => void session.io.stderr.write(text),
      outputError: (text, write) => write(text.replace(/^error: /, 'bareboat: ')),
      getOutHelpWidth: () => session.io.stdout.columns ?? 100,
      getErrHelpWidth: () => session.io.stderr.columns ?? 100,
    })
    .hook('preSubcommand', (command) => {
      session.host = command.opts<{ host?: string }>().host
    })
  const names = only ?? Object.keys(VERBS)
  const loaded = await Promise.all(names.map((name) => VERBS[name]!.load()))
  for (const [index, register] of loaded.entries()) {
    const command = register(program, session)
    const group = VERBS[names[index]!]!.group
    if (group) command.helpGroup(`${group}:`)
  }
  if (!only) await extra(program, session)
  return program
}

/**
 * Runs one command line. Never throws: what goes wrong is told on stderr.
 * @param argv without the program's name
 * @returns the exit code: the workload's for a foreground `run`, else by ERROR_CODES
 */
export async function runCli(argv: readonly string[], io: Io, extra?: Extra): Promise<number> {
  using session = createSession(io)
  const verb = verbOf(argv)
  try {
    if (verb === '__complete') {
      await printCompletion(session, argv.slice(argv.indexOf(verb) + 1), extra)
      return 0
    }
    const program = await createProgram(session, extra, verb === undefined || !(verb in VERBS) ? undefined : [verb])
    if (argv.length === 0) program.help()
    await raceAbort(program.parseAsync(argv, { from: 'user' }), session.signal)
  } catch (error) {
    return failure(error, session, verb)
  }
  return session.exitCode
}

/** The verb of a command line, past the global options. */
export function verbOf(argv: readonly string[]): string | undefined {
  for (let at = 0; at < argv.length; at++) {
    const word = argv[at]!
    if (word === '--host') at++
    else if (!word.startsWith('-')) return word
  }
  return undefined
}

/** What the scripts of `completion` ask for. */
async function printCompletion(session: Session, words: readonly string[], extra: Extra | undefined): Promise<void> {
  const { complete } = await import('./complete/complete.ts')
  const { candidates, hasFiles } = await complete(await createProgram(session, extra), words, session)
  const lines = candidates.map(({ text, about }) => `${text}\t${about}`)
  await session.printLines(hasFiles ? [...lines, ':files'] : lines)
}

function failure(error: unknown, session: Session, verb: string | undefined): number {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return 0
    const isTold = error.code !== 'commander.help'
    if (isTold) session.note(`See 'bareboat ${verb !== undefined && verb in VERBS ? `${verb} ` : ''}--help'.`)
    return verb === 'run' ? ERROR_CODES.boot_failed.exit : ERROR_CODES.invalid.exit
  }
  const told = session.signal.aborted && isEcho(error, session.signal) ? session.signal.reason : error
  for (const line of errorLines(told, session.io)) session.note(line)
  const isInterrupt = told instanceof AppError && told.code === 'interrupted'
  return verb === 'run' && !isInterrupt ? ERROR_CODES.boot_failed.exit : exitCodeOf(told)
}

/** A verb that waits for something deaf (a read of standard input) ends when the session does. */
async function raceAbort(work: Promise<unknown>, signal: AbortSignal): Promise<void> {
  const { promise, reject } = Promise.withResolvers<never>()
  const abort = () => {
    // What the verb itself makes of the interrupt comes first.
    setTimeout(() => reject(signal.reason as Error), 500).unref()
  }
  if (signal.aborted) abort()
  else signal.addEventListener('abort', abort, { once: true })
  try {
    await Promise.race([work, promise])
  } finally {
    signal.removeEventListener('abort', abort)
    work.catch(() => {})
  }
}

function isEcho(error: unknown, signal: AbortSignal): boolean {
  return error === signal.reason || (error instanceof Error && (error.name === 'AbortError' || 'code' in error))
}
