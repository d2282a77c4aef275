/**
 * The configuration of the daemon: one table of keys, three places to set them. File comes before environment, environment
 * before flags; what is not set anywhere has its default. `config show` prints the result with the origin of each value.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse as parseYaml } from 'yaml'
import { AppError, systemCode } from '../base/errors.ts'
import type { ConfigEntry } from '../model/api.ts'
import { CONSOLE_RECORD } from './console-recording.ts'
import { defaultSocketPath, stateHome, type Environment } from '../model/paths.ts'

interface Key {
  readonly env: string
  readonly means: string
  /** `list`: a YAML sequence, or words separated by commas; `words`: by blanks, as on a kernel's command line. */
  readonly kind: 'text' | 'port' | 'count' | 'boolean' | 'list' | 'words'
}

/** Every key, as it is written in the file; flags are `--kebab-case`. */
export const KEYS = {
  dataDir: { env: 'BAREBOAT_DATA_DIR', kind: 'text', means: 'where images, kits, logs and the database are kept' },
  kitDir: {
    env: 'BAREBOAT_KIT_DIR',
    kind: 'text',
    means: 'where kits, and the Debian packages that they are made of, are kept',
  },
  socket: { env: 'BAREBOAT_SOCKET', kind: 'text', means: 'unix socket of the API' },
  listen: {
    env: 'BAREBOAT_LISTEN',
    kind: 'text',
    means: 'ADDRESS:PORT of the API over TCP; empty for the socket alone',
  },
  tokenFile: {
    env: 'BAREBOAT_TOKEN_FILE',
    kind: 'text',
    means: 'file with the token of the API over TCP; made when it is missing',
  },
  interface: { env: 'BAREBOAT_INTERFACE', kind: 'text', means: 'network interface of the machines; empty serves none' },
  httpPort: { env: 'BAREBOAT_HTTP_PORT', kind: 'port', means: 'TCP port of the files that machines load' },
  mediaUrl: {
    env: 'BAREBOAT_MEDIA_URL',
    kind: 'text',
    means: 'where BMCs reach the HTTP server, such as http://10.0.3.1:8017; empty: at the address of the interface',
  },
  nfsPort: { env: 'BAREBOAT_NFS_PORT', kind: 'port', means: 'TCP port of NFS, where machines have their roots on it' },
  nfsDir: {
    env: 'BAREBOAT_NFS_DIR',
    kind: 'text',
    means: 'where the roots of containers over NFS are kept; best a file system of its own',
  },
  tftpPort: { env: 'BAREBOAT_TFTP_PORT', kind: 'port', means: 'UDP port of TFTP' },
  nbdPort: { env: 'BAREBOAT_NBD_PORT', kind: 'port', means: 'TCP port of NBD, from which machines read their root' },
  nbdThreads: {
    env: 'BAREBOAT_NBD_THREADS',
    kind: 'count',
    means: 'threads that serve NBD, at most 64; 0: one less than there are cores, 1 to 4',
  },
  dhcp: { env: 'BAREBOAT_DHCP', kind: 'boolean', means: 'give addresses to machines' },
  dhcpRange: { env: 'BAREBOAT_DHCP_RANGE', kind: 'text', means: 'FIRST-LAST address for machines without a fixed one' },
  dhcpRouters: { env: 'BAREBOAT_DHCP_ROUTERS', kind: 'list', means: 'default routers of the machines' },
  dhcpNameServers: { env: 'BAREBOAT_DHCP_NAME_SERVERS', kind: 'list', means: 'name servers of the machines' },
  dhcpRelays: { env: 'BAREBOAT_DHCP_RELAYS', kind: 'list', means: 'addresses of DHCP relays outside of the subnet' },
  tftp: { env: 'BAREBOAT_TFTP', kind: 'boolean', means: 'serve boot loaders by TFTP' },
  routerAdvertisements: {
    env: 'BAREBOAT_ROUTER_ADVERTISEMENTS',
    kind: 'boolean',
    means: 'answer IPv6 router solicitations, so that iPXE does not wait for them',
  },
  agentMode: {
    env: 'BAREBOAT_AGENT_MODE',
    kind: 'boolean',
    means: 'boot the agent on machines that nobody has accepted, so that they report their hardware',
  },
  mirrors: { env: 'BAREBOAT_MIRRORS', kind: 'list', means: 'REGISTRY=URL, tried before the registry itself' },
  plainHttpRegistries: {
    env: 'BAREBOAT_PLAIN_HTTP_REGISTRIES',
    kind: 'list',
    means: 'registries that are spoken to without TLS',
  },
  insecureRegistries: {
    env: 'BAREBOAT_INSECURE_REGISTRIES',
    kind: 'list',
    means: 'registries whose certificate is not checked',
  },
  registryCa: {
    env: 'BAREBOAT_REGISTRY_CA',
    kind: 'text',
    means: 'file with certificates of authorities for registries',
  },
  egress: { env: 'BAREBOAT_EGRESS', kind: 'text', means: 'unix socket of a forward proxy to registries' },
  debianMirror: { env: 'BAREBOAT_DEBIAN_MIRROR', kind: 'text', means: 'Debian archive that kits are built from' },
  kernelParams: { env: 'BAREBOAT_KERNEL_PARAMS', kind: 'words', means: 'kernel parameters of every boot' },
  powerPaceSeconds: {
    env: 'BAREBOAT_POWER_PACE_SECONDS',
    kind: 'count',
    means: 'of power commands to one machine, after eight at once, one in so many seconds; 0: as they come',
  },
  consoleRecord: {
    env: 'BAREBOAT_CONSOLE_RECORD',
    kind: 'text',
    means:
      'consoles that are recorded: powered (of machines that Bareboat has switched on), always, or containers (of theirs alone)',
  },
  consoleFileMib: {
    env: 'BAREBOAT_CONSOLE_FILE_MIB',
    kind: 'count',
    means: 'a file of a recorded console that would grow larger is followed by the next one; MiB, 1 to 64',
  },
  consoleFiles: {
    env: 'BAREBOAT_CONSOLE_FILES',
    kind: 'count',
    means: 'files that are kept of each console, 1 to 64; the oldest go',
  },
  logLevel: { env: 'BAREBOAT_LOG_LEVEL', kind: 'text', means: 'debug, info, warn or error' },
} as const satisfies Record<string, Key>

export type ConfigKey = keyof typeof KEYS
type ValueOf<K extends Key['kind']> = K extends 'port' | 'count'
  ? number
  : K extends 'boolean'
    ? boolean
    : K extends 'list' | 'words'
      ? readonly string[]
      : string
export type Config = { readonly [K in ConfigKey]: ValueOf<(typeof KEYS)[K]['kind']> }

export interface EffectiveConfig {
  readonly config: Config
  readonly entries: readonly ConfigEntry[]
}

const LOG_LEVELS = ['debug', 'info', 'warn', 'error']

/**
 * @param flags as given, by key
 * @param file path of the YAML file; one that was named must exist
 * @throws {AppError} invalid, naming the key, its value and what it should be
 */
export function readConfig(
  flags: Readonly<Record<string, unknown>>,
  file: string | undefined,
  env: Environment,
  uid: number,
): EffectiveConfig {
  const fromFile = file === undefined ? {} : readFile(file)
  for (const key of Object.keys(fromFile))
    if (!Object.hasOwn(KEYS, key))
      throw new AppError(
        'invalid',
        `Cannot read config file "${file}": there is no key "${key}"; the keys are ${Object.keys(KEYS).join(', ')}`,
      )
  const values: Record<string, unknown> = {}
  const entries: ConfigEntry[] = []
  const defaults = defaultsFor(env, uid)
  for (const [name, key] of Object.entries(KEYS) as [ConfigKey, Key][]) {
    const given = [
      ['flag', flags[name]],
      ['environment', env[key.env]],
      ['file', fromFile[name]],
    ] as const
    const [origin, raw] = given.find(([, value]) => value !== undefined) ?? (['default', undefined] as const)
    const value = origin === 'default' ? dependent(name, values, defaults) : parseValue(name, key, raw)
    values[name] = value
    const shown = Array.isArray(value) ? value.join(key.kind === 'words' ? ' ' : ',') : String(value)
    entries.push({ key: name, value: shown, origin })
  }
  const config = Object.freeze(values) as Config
  if (!LOG_LEVELS.includes(config.logLevel)) throw wrong('logLevel', config.logLevel, LOG_LEVELS.join(', '))
  if (!CONSOLE_RECORD.some((mode) => mode === config.consoleRecord))
    throw wrong('consoleRecord', config.consoleRecord, CONSOLE_RECORD.join(', '))
  for (const name of ['consoleFileMib', 'consoleFiles'] as const)
    if (config[name] === 0) throw wrong(name, 0, 'a number from 1 to 64')
  return { config, entries }
}

function defaultsFor(env: Environment, uid: number): Config {
  const dataDir = uid === 0 ? '/var/lib/bareboat' : join(stateHome(env), 'bareboat')
  return {
    dataDir,
    kitDir: '',
    socket: defaultSocketPath(env, uid),
    listen: '',
    tokenFile: '',
    interface: '',
    httpPort: 8017,
    mediaUrl: '',
    nfsPort: 2049,
    nfsDir: '',
    tftpPort: 69,
    nbdPort: 10_809,
    nbdThreads: 0,
    dhcp: true,
    dhcpRange: '',
    dhcpRouters: [],
    dhcpNameServers: [],
    dhcpRelays: [],
    tftp: true,
    routerAdvertisements: true,
    agentMode: true,
    mirrors: [],
    plainHttpRegistries: [],
    insecureRegistries: [],
    registryCa: '',
    egress: '',
    debianMirror: 'http://deb.debian.org/debian',
    kernelParams: ['console=tty0', 'console=ttyS0,115200', 'quiet'],
    powerPaceSeconds: 5,
    consoleRecord: 'powered',
    consoleFileMib: 8,
    consoleFiles: 4,
    logLevel: 'info',
  }
}

/** Defaults that follow another key. */
function dependent(name: ConfigKey, values: Readonly<Record<string, unknown>>, defaults: Config): unknown {
  const inDataDir = { tokenFile: 'api.token', kitDir: 'kits', nfsDir: 'nfs' }[name as string]
  return inDataDir === undefined ? defaults[name] : join(values['dataDir'] as string, inDataDir)
}

function readFile(path: string): Record<string, unknown> {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    if (systemCode(cause) === 'ENOENT')
      throw new AppError('not_found', `Cannot read config file "${path}": there is none`)
    throw cause
  }
  let value: unknown
  try {
    value = parseYaml(text) ?? {}
  } catch (cause) {
    throw new AppError('invalid', `Cannot read config file "${path}": it is not YAML`, { cause })
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new AppError('invalid', `Cannot read config file "${path}": it is not a list of keys and values`)
  return value as Record<string, unknown>
}

function parseValue(name: string, key: Key, raw: unknown): unknown {
  if (key.kind === 'list' || key.kind === 'words') {
    if (Array.isArray(raw) && raw.every((item) => typeof item === 'string')) return raw
    if (raw === '') return []
    if (typeof raw === 'string') return raw.trim().split(key.kind === 'words' ? /\s+/ : /\s*,\s*/)
    throw wrong(name, raw, 'a list')
  }
  if (key.kind === 'boolean') {
    if (raw === true || raw === 'true' || raw === '1') return true
    if (raw === false || raw === 'false' || raw === '0') return false
    throw wrong(name, raw, 'true or false')
  }
  if (key.kind === 'port') {
    const port = Number(raw)
    if (!Number.isInteger(port) || port < 1 || port > 65_535) throw wrong(name, raw, 'a port from 1 to 65535')
    return port
  }
  if (key.kind === 'count') {
    const count = Number(raw)
    if (!Number.isInteger(count) || count < 0 || count > 64) throw wrong(name, raw, 'a number from 0 to 64')
    return count
  }
  if (typeof raw !== 'string') throw wrong(name, raw, 'text')
  return raw
}

function wrong(name: string, value: unknown, wanted: string): AppError {
  return new AppError('invalid', `Cannot read config key ${name}: ${JSON.stringify(value)} is not ${wanted}`)
}
