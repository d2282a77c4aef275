/**
 * Where the daemon listens and the client looks when nobody says otherwise. Pure: the environment is handed in, so that both
 * sides decide alike.
 */
import { join } from 'node:path'

export type Environment = Readonly<Record<string, string | undefined>>

/**
 * The daemon's Unix socket.
 *
 * Root's is always under /run: a service has no XDG_RUNTIME_DIR while root's login shell may have one, and both must meet.
 * Others have it in their runtime directory (XDG Base Directory specification) or, where that is not set, among their state.
 */
export function defaultSocketPath(env: Environment, uid: number): string {
  if (uid === 0) return '/run/bareboat/api.sock'
  const runtimeDir = env['XDG_RUNTIME_DIR']
  return join(isSet(runtimeDir) ? runtimeDir : stateHome(env), 'bareboat', 'api.sock')
}

/** The file that holds the token for a server that is reached by TCP. */
export function defaultTokenPath(env: Environment): string {
  const configHome = env['XDG_CONFIG_HOME']
  return join(isSet(configHome) ? configHome : join(home(env), '.config'), 'bareboat', 'token')
}

/** The folder of a user's racks: BAREBOAT_RACK_DIR, or among the user's state. */
export function defaultRackDir(env: Environment): string {
  const dir = env['BAREBOAT_RACK_DIR']
  return isSet(dir) ? dir : join(stateHome(env), 'bareboat', 'rack')
}

/** Where Node keeps what it compiled: never in a folder that others can write to. */
export function compileCacheDir(env: Environment): string {
  const cacheHome = env['XDG_CACHE_HOME']
  return join(isSet(cacheHome) ? cacheHome : join(home(env), '.cache'), 'bareboat', 'node')
}

/** Where state lives by the XDG Base Directory specification: XDG_STATE_HOME or ~/.local/state. */
export function stateHome(env: Environment): string {
  const stateDir = env['XDG_STATE_HOME']
  return isSet(stateDir) ? stateDir : join(home(env), '.local', 'state')
}

function home(env: Environment): string {
  const dir = env['HOME']
  return isSet(dir) ? dir : '/'
}

function isSet(text: string | undefined): text is string {
  return text !== undefined && text !== ''
}
