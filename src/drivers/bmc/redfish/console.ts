/** The serial console of a machine behind a Redfish service, by the best way that it offers and that is trusted. */
import { AppError } from '../../../base/errors.ts'
import type { Log } from '../../../base/log.ts'
import type { BmcConsole } from '../../../services/power/power-port.ts'
import { createIpmiBmc } from '../ipmi/ipmi-bmc.ts'
import type { Trust } from '../trust.ts'
import type { WebObserver } from '../web.ts'
import type { RedfishClient } from './client.ts'
import { type ConsoleWays, readConsoleWays } from './console-ways.ts'
import { openExchange } from './exchange.ts'
import { authorization, closeSession, type Credentials, openSession } from './login.ts'
import { openSshConsole } from './ssh-console.ts'
import { NoWebSocket, openWebSocketConsole } from './web-socket-console.ts'

/** What the person said of the console in the BMC's URL. */
export interface ConsoleWish {
  /** `none`: the BMC has no console for us. Default: what it offers. */
  readonly console?: 'ssh' | 'websocket' | 'ipmi' | 'none'
  /** `SHA256:…`, the fingerprint of its SSH host key. */
  readonly hostKey?: string
  /** What is typed into its shell to get to the console. */
  readonly command?: string
}

export interface RedfishConsoleOptions extends ConsoleWish {
  readonly client: RedfishClient
  readonly origin: string
  readonly credentials: Credentials
  readonly trust: Trust
  readonly auth: 'auto' | 'session' | 'basic'
  readonly log: Log
  /** How long connecting may take, milliseconds. */
  readonly timeoutMs: number
  readonly keepAliveMs?: number | undefined
  readonly observe?: WebObserver | undefined
}

export interface Opening {
  /** Counts for IPMI; over SSH and a WebSocket all who look share the console. */
  readonly takeOver?: boolean
  readonly signal?: AbortSignal | undefined
}

/** Where bmcweb (OpenBMC) has the console of the first host, which its Redfish service does not tell. */
const OPENBMC_PATH = '/console0'
const MAX_LOGIN_BYTES = 64 << 10

/**
 * @param systemPath of the ComputerSystem
 * @throws {Distrust} when the BMC's certificate or host key is not the one that was said
 * @throws {AppError} `unsupported` naming what there is, `unauthorized`, `unreachable`, `timeout`
 */
export async function openRedfishConsole(
  options: RedfishConsoleOptions,
  systemPath: string,
  opening: Opening,
): Promise<BmcConsole> {
  const { client, log } = options
  const ways = await readConsoleWays(client, systemPath, opening.signal)
  const way = options.console ?? automatic(ways, options)
  log.debug('console opened', { bmc: client.address, way: way ?? 'what OpenBMC has', asked: options.console })
  switch (way) {
    case 'websocket':
      return overWebSocket(options, ways.webSocket?.path ?? OPENBMC_PATH, opening)
    case 'ssh':
      return overSsh(options, ways, opening)
    case 'ipmi':
      return overIpmi(options, ways, opening)
    case 'none':
    case undefined:
      return unannounced(options, ways, opening)
    default:
      return way satisfies never
  }
}

/** The way whose trust is settled. A WebSocket is as trusted as the service; SSH has a key of its own. */
function automatic(ways: ConsoleWays, { hostKey, command }: ConsoleWish): 'websocket' | 'ssh' | undefined {
  if (ways.webSocket) return 'websocket'
  const isEntered = ways.ssh && (ways.ssh.isDirect || command !== undefined)
  return isEntered && hostKey !== undefined ? 'ssh' : undefined
}

/** Where OpenBMC would have it; else the refusal says what would help. */
async function unannounced(options: RedfishConsoleOptions, ways: ConsoleWays, opening: Opening): Promise<BmcConsole> {
  try {
    return await overWebSocket(options, OPENBMC_PATH, opening)
  } catch (error) {
    if (!(error instanceof NoWebSocket)) throw error
  }
  // Without a pinned key this says which one to pin.
  if (ways.ssh && (ways.ssh.isDirect || options.command !== undefined)) return overSsh(options, ways, opening)
  throw new AppError('unsupported', `Cannot open the console of BMC "${options.client.address}": ${helpfulWays(ways)}`)
}

function helpfulWays({ ssh, ipmi, hasTelnet }: ConsoleWays): string {
  const all = [
    ssh && 'SSH, without saying what enters the console: add command=COMMAND and hostkey=SHA256:… to its URL',
    ipmi && 'IPMI serial over LAN: add console=ipmi to its URL',
    hasTelnet && 'Telnet, which is not spoken: it shows the password to whoever listens',
  ].filter((one) => typeof one === 'string')
  return all.length === 0 ? 'its Redfish service offers none' : `it offers ${all.join('; and ')}`
}

/** Basic first, which takes none of the BMC's sessions; a session of its own where Basic is refused. */
async function overWebSocket(options: RedfishConsoleOptions, path: string, opening: Opening): Promise<BmcConsole> {
  const { client, origin, credentials, trust, auth, timeoutMs, keepAliveMs } = options
  const { address } = client
  const open = (headers: Record<string, string>): Promise<BmcConsole> => {
    const { signal } = opening
    return openWebSocketConsole({ origin, address, path, headers, trust, timeoutMs, keepAliveMs, signal })
  }
  if (auth !== 'session')
    try {
      return await open(authorization({ kind: 'basic', isForNow: false }, credentials))
    } catch (error) {
      if (auth === 'basic' || !(error instanceof NoWebSocket) || error.code !== 'unauthorized') throw error
    }
  await using stack = new AsyncDisposableStack()
  const login = { origin, address, trust, timeoutMs, maxAnswerBytes: MAX_LOGIN_BYTES, observe: options.observe }
  const exchange = stack.use(openExchange(login))
  const session = await openSession(exchange, address, credentials, opening.signal)
  stack.defer(() => closeSession(exchange, session, AbortSignal.timeout(timeoutMs)))
  return withEnd(await open(authorization(session, credentials)), stack.move())
}

function overSsh(options: RedfishConsoleOptions, { ssh }: ConsoleWays, { signal }: Opening): Promise<BmcConsole> {
  const { credentials, hostKey, timeoutMs } = options
  const command = options.command ?? ssh?.command
  const at = { host: hostOf(options.origin), port: ssh?.port ?? 22 }
  return openSshConsole({ ...at, credentials, hostKey, command, hotKeys: ssh?.hotKeys, timeoutMs, signal })
}

/** Serial over LAN beside Redfish: same host, same login, only because the person said so. */
async function overIpmi(options: RedfishConsoleOptions, ways: ConsoleWays, opening: Opening): Promise<BmcConsole> {
  const { credentials, log, origin, client } = options
  if (!ways.ipmi && (ways.ssh ?? ways.webSocket))
    throw new AppError(
      'unsupported',
      `Cannot open the console of BMC "${client.address}" over IPMI: its Redfish service does not offer that`,
    )
  await using stack = new AsyncDisposableStack()
  const at = { host: hostOf(origin), ...(ways.ipmi ? { port: ways.ipmi.port } : {}) }
  const bmc = stack.use(createIpmiBmc({ ...at, ...credentials, log }))
  const { takeOver = false, signal } = opening
  const console = await bmc.console!({ takeOver, ...(signal ? { signal } : {}) })
  return withEnd(console, stack.move())
}

/** The console, and what ends with it. */
function withEnd(console: BmcConsole, rest: AsyncDisposableStack): BmcConsole {
  return {
    [Symbol.asyncIterator]: () => console[Symbol.asyncIterator](),
    write: (bytes, signal) => console.write(bytes, signal),
    sendBreak: (signal) => console.sendBreak(signal),
    async [Symbol.asyncDispose]() {
      await console[Symbol.asyncDispose]()
      await rest.disposeAsync()
    },
  }
}

function hostOf(origin: string): string {
  return new URL(origin).hostname.replace(/^\[(.*)\]$/, '$1')
}
