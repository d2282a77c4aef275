/**
 * What a container runs: docker's rules for ENTRYPOINT, CMD, ENV, USER and WORKDIR, decided from the image's config, its tree
 * and the person's options, before any machine is touched.
 */
import { AppError } from '../../base/errors.ts'
import type { RunConfig } from '../../formats/oci/image.ts'
import { byteStringOf, textOf } from '../../formats/tar/byte-string.ts'
import type { Tree, TreeEntry } from '../../formats/tree/tree.ts'
import type { RunOptions } from '../../model/container.ts'
import { resolveUser, type UserIds } from './user.ts'

export interface Workload extends UserIds {
  /** `os`: an init of the image becomes process 1. `app`: argv runs under our supervisor. */
  readonly mode: 'app' | 'os'
  readonly argv: readonly string[]
  /** KEY=VALUE, each key once. */
  readonly env: readonly string[]
  readonly workdir: string
  /** A name such as `SIGTERM`. */
  readonly stopSignal: string
}

const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** Where an image's init is looked for when it names no command. */
const INITS = ['/sbin/init', '/usr/sbin/init', '/usr/lib/systemd/systemd', '/lib/systemd/systemd', '/init']
/** Programs that are an init whatever their place. */
const INIT_NAMES = new Set(['init', 'systemd', 'openrc-init', 'runit-init', 's6-svscan-init'])

/**
 * Decides what runs.
 * @param read the content of a file of the tree, for /etc/passwd and /etc/group
 * @throws {AppError} invalid when there is nothing to run, or the user does not exist in the image
 */
export async function resolveWorkload(
  image: RunConfig,
  options: RunOptions,
  tree: Tree,
  read: (entry: TreeEntry) => Promise<Uint8Array>,
): Promise<Workload> {
  const argv = commandOf(image, options, tree)
  const mode = isInit(argv[0]!, tree) ? 'os' : 'app'
  const user = await resolveUser(options.user ?? image.user, async (path) => {
    const entry = tree.resolve(byteStringOf(path))
    return entry?.kind === 'file' ? Buffer.from(await read(entry)).toString('latin1') : undefined
  })
  return {
    mode,
    argv,
    ...user,
    env: environmentOf(image, options, user.home),
    workdir: options.workdir ?? (image.workingDir === '' ? '/' : image.workingDir),
    stopSignal: signalName(image.stopSignal ?? 'SIGTERM'),
  }
}

function commandOf(image: RunConfig, options: RunOptions, tree: Tree): readonly string[] {
  const entrypoint = options.entrypoint ?? image.entrypoint ?? []
  // A new entrypoint drops the image's CMD, as docker does.
  const cmd = options.command.length > 0 ? options.command : options.entrypoint ? [] : (image.cmd ?? [])
  const argv = [...entrypoint, ...cmd]
  if (argv.length > 0) return argv
  const init = INITS.find((path) => isProgram(tree.resolve(byteStringOf(path))))
  if (init !== undefined) return [init]
  throw new AppError(
    'invalid',
    `Cannot run image "${options.image}": it has no ENTRYPOINT, no CMD and no init (${INITS.join(', ')}); name a command after the image`,
  )
}

function isInit(program: string, tree: Tree): boolean {
  if (!program.startsWith('/')) return false
  if (INITS.includes(program)) return true
  const entry = tree.resolve(byteStringOf(program))
  const name =
    textOf(entry?.path ?? '')
      ?.split('/')
      .at(-1) ?? ''
  return INIT_NAMES.has(program.split('/').at(-1)!) || INIT_NAMES.has(name)
}

function isProgram(entry: TreeEntry | undefined): boolean {
  return entry?.kind === 'file' && (entry.mode & 0o111) !== 0
}

function environmentOf(image: RunConfig, options: RunOptions, home: string): string[] {
  const env = new Map<string, string>([['PATH', DEFAULT_PATH]])
  for (const pair of image.env) set(env, pair)
  if (options.hostname !== undefined) env.set('HOSTNAME', options.hostname)
  if (options.tty) env.set('TERM', 'xterm')
  for (const pair of options.env) set(env, pair)
  if (!env.has('HOME')) env.set('HOME', home)
  return [...env].map(([key, value]) => `${key}=${value}`)
}

function set(env: Map<string, string>, pair: string): void {
  const at = pair.indexOf('=')
  if (at < 0) env.delete(pair)
  else env.set(pair.slice(0, at), pair.slice(at + 1))
}

/**
 * A signal as the agent wants it, from `SIGTERM`, `term`, `15` or `SIGRTMIN+3`.
 * @throws {AppError} invalid when there is no such signal
 */
export function signalName(signal: string): string {
  const name = signal.toUpperCase().replace(/^SIG/, '')
  if (/^([1-9]|[1-5]\d|6[0-4])$/.test(name)) return name
  if (SIGNALS.has(name) || /^RTMIN(\+([0-9]|1[0-5]))?$/.test(name) || /^RTMAX(-([0-9]|1[0-4]))?$/.test(name))
    return name
  throw new AppError(
    'invalid',
    `Cannot send signal "${signal}": there is no such signal; use a name such as SIGTERM or 1 to 64`,
  )
}

const SIGNALS = new Set(
  (
    'HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ ' +
    'VTALRM PROF WINCH IO PWR SYS'
  ).split(' '),
)
