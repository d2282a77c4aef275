/**
 * A machine that serves DHCP, TFTP and router advertisements, as a process of its own, for tests in a network namespace:
 * `node dhcp-host.ts '{"interfaceName":"br0","subnets":[…],"database":"leases.db"}'`. Each line of its output is JSON: `{"kind":"ready","pid":…}`,
 * then the events; a line `health` on its input asks for `{"kind":"health",…}`. SIGTERM ends it in order.
 */
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import type { Fields, Log } from '../../src/base/log.ts'
import { runTasks, type Task } from '../../src/base/task.ts'
import { openSqlite } from '../../src/drivers/store/sqlite/database.ts'
import { createLeaseStore, leaseMigrations } from '../../src/drivers/store/sqlite/leases.ts'
import { loaderFor, type BootDirectory } from '../../src/servers/dhcp/boot.ts'
import { memoryLeaseStore } from '../../src/servers/dhcp/lease.ts'
import { addressOf } from '../../src/servers/dhcp/socket.ts'
import { createRaServer } from '../../src/servers/ra/server.ts'
import { createTftpServer } from '../../src/servers/tftp/server.ts'
import { createDhcpServer, type DhcpServerConfig } from '../../src/servers/dhcp/server.ts'

export interface DhcpHostConfig extends DhcpServerConfig {
  /** Path of the SQLite file; absent: leases are kept in memory only. */
  readonly database?: string
  /** Fixed addresses by MAC. */
  readonly fixed?: Readonly<Record<string, string>>
  /** MACs of disabled machines. */
  readonly disabled?: readonly string[]
  /** What iPXE is sent to. */
  readonly scriptUrl?: string
  /** Base of the URLs for UEFI HTTP boot. */
  readonly baseUrl?: string
  /** Files to serve by TFTP: name and path. */
  readonly files?: Readonly<Record<string, string>>
  /** Whether to send router advertisements. */
  readonly advertises?: boolean
  /** Say nothing of events: for measuring. */
  readonly isQuiet?: boolean
  readonly isDebug?: boolean
}

function say(line: Readonly<Record<string, unknown>>): void {
  process.stdout.write(JSON.stringify(line) + '\n')
}

function logTo(write: typeof say, isDebug: boolean): Log {
  const at = (level: string) => (event: string, fields?: Fields) => write({ kind: 'log', level, event, ...fields })
  const log: Log = {
    debug: isDebug ? at('debug') : () => undefined,
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    with: () => log,
  }
  return log
}

export function directoryOf(
  config: Pick<DhcpHostConfig, 'fixed' | 'disabled' | 'scriptUrl' | 'baseUrl'>,
): BootDirectory {
  const fixed = new Map(Object.entries(config.fixed ?? {}))
  const owners = new Map([...fixed].map(([mac, address]) => [address, mac]))
  return {
    bootFor: (client) =>
      client.isIpxe && config.scriptUrl
        ? { kind: 'url', url: config.scriptUrl }
        : loaderFor(client, config.baseUrl ?? 'http://boot.invalid'),
    addressFor: (mac) => fixed.get(mac),
    ownerOf: (address) => owners.get(address),
    isKnown: (mac) => fixed.has(mac),
    isSilent: (mac) => config.disabled?.includes(mac) === true,
  }
}

function filesOf(paths: Readonly<Record<string, string>>) {
  const bytesOf = new Map(Object.entries(paths).map(([name, path]) => [name, readFileSync(path)]))
  return (name: string) => Promise.resolve(bytesOf.get(name))
}

function openStore(path: string | undefined) {
  if (path === undefined) return memoryLeaseStore()
  return createLeaseStore(openSqlite<object>(path, leaseMigrations))
}

if (import.meta.main) {
  const config = JSON.parse(process.argv[2] ?? '{}') as DhcpHostConfig
  const stop = new AbortController()
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => stop.abort())
  const quiet = config.isQuiet ?? false
  const dhcp = createDhcpServer(config, {
    log: logTo(say, config.isDebug ?? false),
    directory: directoryOf(config),
    store: openStore(config.database),
    nowMs: Date.now,
    onEvent: quiet ? () => undefined : (event) => say({ ...event }),
  })
  const input = createInterface(process.stdin).on('line', (line) => {
    if (line === 'health')
      say({ kind: 'health', ...dhcp.health(), leases: dhcp.leases().length, rss: process.memoryUsage.rss() })
  })
  const log = logTo(say, config.isDebug ?? false)
  const tasks: Task[] = [dhcp.task]
  if (config.advertises) tasks.push(createRaServer({ interfaceName: config.interfaceName }, { log }))
  if (config.files)
    tasks.push(
      createTftpServer({
        log,
        address: await addressOf(config.interfaceName),
        port: 69,
        open: filesOf(config.files),
        onEvent: (event) => say({ ...event }),
      }),
    )
  await runTasks(tasks, stop.signal, () => say({ kind: 'ready', pid: process.pid })).finally(() => input.close())
}
