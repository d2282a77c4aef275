/** The servers that machines speak to: DHCP, TFTP, router advertisements, HTTP for firmware. */
import { Worker } from 'node:worker_threads'
import { explain } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { Task } from '../base/task.ts'
import { heldBytes, heldFile } from '../drivers/boot-files.ts'
import { createLeaseStore, leaseMigrations } from '../drivers/store/sqlite/leases.ts'
import { openSqlite } from '../drivers/store/sqlite/database.ts'
import { createBootDesk } from '../servers/boot/desk.ts'
import type { BootThreadOrders } from '../servers/boot/messages.ts'
import { createBootServer } from '../servers/boot/server.ts'
import { loaderFor, type BootClient } from '../servers/dhcp/boot.ts'
import { createDhcpServer, type DhcpServer } from '../servers/dhcp/server.ts'
import { createRaServer } from '../servers/ra/server.ts'
import { createTftpServer } from '../servers/tftp/server.ts'
import type { Arch } from '../model/machine.ts'
import type { AgentsService } from '../services/agents/agents.ts'
import type { BootService } from '../services/boot/boot.ts'
import type { Directory } from '../services/boot/directory.ts'
import { grubLoop } from '../services/boot/script-text.ts'
import type { AttachmentsService } from '../services/media/attachments.ts'
import type { Kits } from '../services/kits/kits.ts'
import type { Config } from './config.ts'
import { rangeOf, type Interface } from './interface.ts'
import { untilBroken } from './until-broken.ts'

export interface NetworkDeps {
  readonly config: Config
  readonly log: Log
  readonly boot: BootService
  readonly agents: AgentsService
  readonly attachments: AttachmentsService
  readonly directory: Directory
  readonly kits: Kits
  readonly iface: Interface
  readonly leasePath: string
}

export interface Network extends AsyncDisposable {
  readonly tasks: readonly Task[]
  /** What keeps it from full health, in words. */
  problems(): string[]
  leasedIp(macs: readonly string[]): string | undefined
}

/**
 * The loaders of the default kit, by the names that firmware and they themselves ask for. They are read again when the default kit is another one.
 * @param httpUrl of the HTTP server for machines
 */
function createLoaders(kits: Kits, httpUrl: string, log: Log) {
  const grubConfig = new TextEncoder().encode(grubLoop(httpUrl))
  let digest: string | undefined
  let files = new Map<string, Awaited<ReturnType<typeof heldFile>>>()
  return {
    async refresh(): Promise<void> {
      const kit = await kits.open().catch((error: unknown) => {
        log.debug('no loaders', { why: explain(error) })
        return undefined
      })
      if (!kit || kit.digest === digest) return
      const grub = [...kit.grub].map(([name, path]) => [`grub/${name}`, path] as const)
      const held = [...kit.ipxe, ...grub].map(async ([name, path]) => [name, await heldFile(path)] as const)
      files = new Map(await Promise.all(held)).set('grub/grub.cfg', { bytes: grubConfig, ...heldBytes(grubConfig) })
      digest = kit.digest
    },
    get: (name: string) => files.get(name),
  }
}

export async function openNetwork(deps: NetworkDeps): Promise<Network> {
  const { config, log, boot, agents, directory, iface } = deps
  await using stack = new AsyncDisposableStack()
  const address = iface.address
  const httpUrl = `http://${address}:${config.httpPort}`
  const loaders = createLoaders(deps.kits, httpUrl, log)
  await loaders.refresh()
  const macOf = new Map<string, string>()
  const leaseAt = (client: string) => dhcp?.leases().find(({ address: leased }) => leased === client)
  /** Whether the machine at an address is disabled, as far as anybody knows which machine that is. */
  const isSilentAt = (client: string): boolean =>
    directory.isSilentAt(client) || directory.isSilent(macOf.get(client) ?? leaseAt(client)?.mac ?? '')
  const noted = (what: string, work: Promise<void>): void =>
    void work.catch((error: unknown) => log.error('boot stage not noted', { what, error: explain(error) }))

  const tasks: Task[] = [
    createBootServer({
      log: log.with({ server: 'http' }),
      desk: createBootDesk(
        boot,
        agents,
        (name, client) => (isSilentAt(client) ? undefined : loaders.get(name)),
        deps.attachments,
      ),
      address,
      port: config.httpPort,
      startThread: startBootThread,
    }),
  ]
  let dhcp: DhcpServer | undefined
  if (config.dhcp) {
    const store = stack.use(openSqlite<object>(deps.leasePath, leaseMigrations))
    dhcp = createDhcpServer(
      {
        interfaceName: iface.name,
        serverAddress: address,
        relays: config.dhcpRelays,
        subnets: [
          {
            cidr: iface.cidr,
            pools: [rangeOf(config.dhcpRange, iface)],
            routers: config.dhcpRouters,
            nameServers: config.dhcpNameServers,
          },
        ],
        isAuthoritative: true,
        servesUnknown: true,
      },
      {
        log: log.with({ server: 'dhcp' }),
        store: createLeaseStore(store),
        nowMs: Date.now,
        directory: {
          bootFor: (client) => bootChoice(client, directory, `${httpUrl}/loader`),
          addressFor: directory.addressFor,
          ownerOf: directory.ownerOf,
          isKnown: directory.isKnown,
          isSilent: directory.isSilent,
          hostNameFor: directory.hostNameFor,
        },
        onEvent(event) {
          if (event.kind !== 'dhcp-ack' || !event.client) return
          if (event.address !== undefined) macOf.set(event.address, event.mac)
          const { arch } = event.client
          const facts = {
            ...(event.address === undefined ? {} : { ip: event.address }),
            ...(arch === undefined
              ? {}
              : { firmware: arch === 0 ? ('bios' as const) : ('uefi' as const), arch: archOf(arch) }),
          }
          noted('dhcp', boot.seen(event.mac, 'dhcp', facts))
        },
      },
    )
    tasks.push(dhcp.task, untilBroken('leases', store))
  }
  if (config.tftp)
    tasks.push(
      createTftpServer({
        log: log.with({ server: 'tftp' }),
        address,
        port: config.tftpPort,
        async open(name, client) {
          if (isSilentAt(client)) return 'silence'
          await loaders.refresh()
          return loaders.get(name)?.bytes
        },
        onEvent(event) {
          const mac = macOf.get(event.address)
          if (event.kind === 'tftp-done' && mac !== undefined) noted('tftp', boot.seen(mac, 'tftp', {}))
        },
      }),
    )
  if (config.routerAdvertisements)
    tasks.push(createRaServer({ interfaceName: iface.name }, { log: log.with({ server: 'ra' }) }))

  const held = stack.move()
  return {
    tasks,
    problems: () => (dhcp && !dhcp.health().isHealthy ? [`DHCP: ${dhcp.health().why}`] : []),
    leasedIp: (macs) => dhcp?.leases().find((lease) => lease.state === 'bound' && macs.includes(lease.mac))?.address,
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}

/** The architecture of a client that firmware speaks for (option 93, RFC 4578 §2.1). */
function archOf(clientArch: number): Arch {
  return ARM64.has(clientArch) ? 'arm64' : 'amd64'
}

/** UEFI on 64-bit ARM, over TFTP and over HTTP. */
const ARM64: ReadonlySet<number> = new Set([11, 19])

/** What a client boots: iPXE its script, firmware the loader for its architecture. */
function bootChoice(client: BootClient, directory: Directory, loaderUrl: string) {
  return client.isIpxe ? ({ kind: 'url', url: directory.scriptUrl(client.mac) } as const) : loaderFor(client, loaderUrl)
}

/** Files go out in large pieces, which the collector has to see soon: short-lived objects get little room. */
const YOUNG_MB = 8

/** Starts a thread of the HTTP server, which says when it listens, or why it cannot (servers/threads.ts). */
export function startBootThread(orders: BootThreadOrders): Worker {
  return new Worker(new URL('./boot-thread.ts', import.meta.url), {
    name: 'boot http',
    workerData: orders,
    resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MB },
  })
}
