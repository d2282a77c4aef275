/** How to make a network namespace here, and how to enter it: as root, or in a user namespace where the kernel allows that. */
import { spawnSync } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { AppError } from '../base/errors.ts'

/** `root`: a network namespace alone. `user`: inside a user namespace in which we are root. */
export type NamespaceWay = 'root' | 'user'

const CREATE: Readonly<Record<NamespaceWay, readonly string[]>> = {
  root: ['unshare', '--net', '--'],
  user: ['unshare', '--user', '--map-root-user', '--net', '--'],
}

/**
 * Finds the way that works on this system by trying it.
 * @throws {AppError} unsupported, with what would help
 */
export function detectNamespaceWay(rack: string): NamespaceWay {
  for (const way of ['root', 'user'] as const) {
    if (!succeeds([...CREATE[way], 'true'])) continue
    if (succeeds([...CREATE[way], 'ip', 'tuntap', 'add', 'dev', 'tap0', 'mode', 'tap'])) return way
    throw new AppError(
      'unsupported',
      `Cannot set up rack "${rack}": no tap device can be made (${tunState()}); ` +
        'run as root, or let your user open /dev/net/tun (chmod 0666 /dev/net/tun, or modprobe tun)',
    )
  }
  throw new AppError(
    'unsupported',
    `Cannot set up rack "${rack}": this kernel lets neither this user nor a user namespace make a network; run as root, or set ` +
      'kernel.unprivileged_userns_clone=1 (Debian) or kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu)',
  )
}

/** The command that runs `argv` in a new namespace; the process keeps its id. */
export function inNewNamespace(way: NamespaceWay, argv: readonly string[]): string[] {
  return [...CREATE[way], ...argv]
}

/** The command that runs `argv` in the namespace of process `pid`. */
export function inNamespaceOf(pid: number, way: NamespaceWay, argv: readonly string[]): string[] {
  const user = way === 'user' ? ['--user', '--preserve-credentials'] : []
  return ['nsenter', '--target', String(pid), ...user, '--net', '--', ...argv]
}

function succeeds(argv: readonly string[]): boolean {
  return spawnSync(argv[0]!, argv.slice(1), { stdio: 'ignore', timeout: 10_000 }).status === 0
}

function tunState(): string {
  try {
    accessSync('/dev/net/tun', constants.R_OK | constants.W_OK)
    return '/dev/net/tun can be opened, but the kernel refuses'
  } catch {
    return '/dev/net/tun cannot be opened by this user'
  }
}
