/** The whole daemon, wired by hand: what is opened, in order, and the tasks that run. The only place that knows every room. */
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { explain } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { runTasks, type Task } from '../base/task.ts'
import { openBlobDirectory } from '../drivers/blobs/directory.ts'
import { openInbandBmc } from '../drivers/bmc/ipmi/inband/inband-bmc.ts'
import { parseBmcUrl } from '../drivers/bmc/open.ts'
import { contentOf, fileAt, piecesOf, readPaths } from '../drivers/boot-files.ts'
import { createDebianArchive } from '../drivers/debian/archive.ts'
import { inflateXz } from '../drivers/debian/xz.ts'
import { diskOf, sizeOfTree } from '../drivers/disk.ts'
import { openKitDirectory } from '../drivers/kits/directory.ts'
import { bmcUrlOf } from '../drivers/discovery/bmc-url.ts'
import { createCrawlPort, scanPort } from '../drivers/discovery/crawl-port.ts'
import { readGuestFiles } from '../drivers/kits/guest-files.ts'
import { openBootFile } from '../drivers/kits/open-boot-file.ts'
import { createImports } from '../drivers/layout/import.ts'
import { createLogDirectory } from '../drivers/logs/directory.ts'
import { createRegistry } from '../drivers/registry/registry.ts'
import { openSecretBox } from '../drivers/secrets/secret-box.ts'
import { makeDirectory } from '../drivers/files.ts'
import { presenceOf } from '../drivers/presence/presence.ts'
import { readNodesInThread } from '../drivers/nodes/thread.ts'
import { createPacker } from '../drivers/export/packer.ts'
import { createGuestPort } from '../drivers/ssh/guest.ts'
import { createBmcSetupStore } from '../drivers/store/sqlite/bmc-setups.ts'
import { createBootStore } from '../drivers/store/sqlite/boots.ts'
import { createContainerStore } from '../drivers/store/sqlite/containers.ts'
import { openSqlite } from '../drivers/store/sqlite/database.ts'
import { createDiscoveryStore } from '../drivers/store/sqlite/discovery.ts'
import { createEventBus } from '../drivers/store/sqlite/events.ts'
import { createImageStore } from '../drivers/store/sqlite/images.ts'
import { createInventoryStore } from '../drivers/store/sqlite/inventories.ts'
import { createIntentStore } from '../drivers/store/sqlite/intents.ts'
import { createAttachmentStore } from '../drivers/store/sqlite/media.ts'
import { createMachineStore } from '../drivers/store/sqlite/machines.ts'
import { siteMigrations, type SiteTables } from '../drivers/store/sqlite/site.ts'
import { openMediumFiles } from '../drivers/medium-files.ts'
import { mediaSource } from '../drivers/media-source.ts'
import { LIVE } from '../model/container.ts'
import { createApi } from '../servers/api/app.ts'
import { createApiServer } from '../servers/api/server.ts'
import { createAgents } from '../services/agents/agents.ts'
import { createBoot } from '../services/boot/boot.ts'
import { openDirectory } from '../services/boot/directory.ts'
import { createAgent } from '../services/containers/agent.ts'
import { createContainers, type ContainersService } from '../services/containers/containers.ts'
import { createExec } from '../services/containers/exec.ts'
import { createSystem } from '../services/containers/system.ts'
import { createSnapshots } from '../services/containers/snapshots.ts'
import { createDiscovery } from '../services/discovery/discovery.ts'
import { createExports } from '../services/images/export/exports.ts'
import { createImages } from '../services/images/create.ts'
import { createAttachments } from '../services/media/attachments.ts'
import { createMedia } from '../services/media/media.ts'
import { createKits } from '../services/kits/kits.ts'
import { createGroups } from '../services/machines/groups.ts'
import { createMachines } from '../services/machines/machines.ts'
import { createStaticDiscovery } from '../services/machines/static.ts'
import { createStoreCare } from '../services/store/care.ts'
import { addressAndPort, mediaUrl, readOrMakeToken } from './addresses.ts'
import type { EffectiveConfig } from './config.ts'
import { findInterface } from './interface.ts'
import { agentKit, bootFiles } from './kit-files.ts'
import { openNfs } from './nfs.ts'
import { openNetwork } from './network.ts'
import { openPower } from './power.ts'
import { registryConfig } from './registry-config.ts'
import { NBD_CONNECTIONS, openRoots } from './roots.ts'
import { untilBroken } from './until-broken.ts'
import { VERSION } from './version.ts'

/** Runs the daemon until the signal aborts. Containers that run go on running without it. */
export async function runSite({ config, entries }: EffectiveConfig, log: Log, signal: AbortSignal): Promise<void> {
  await using stack = new AsyncDisposableStack()
  const dir = (name: string): string => join(config.dataDir, name)
  const now = Date.now
  makeDirectory(config.dataDir)
  const uploadDir = dir('uploads')
  await rm(uploadDir, { recursive: true, force: true })
  await mkdir(uploadDir, { mode: 0o700 })

  // State
  const secrets = openSecretBox(dir('secret.key'))
  const database = stack.use(openSqlite<SiteTables>(dir('state.db'), siteMigrations))
  const events = createEventBus(database.db, now)
  const machineStore = createMachineStore(database.db, events, secrets, now)
  const inventories = createInventoryStore(database.db)
  const containerStore = createContainerStore(database.db, events, now)
  const boots = createBootStore(database.db, secrets, now)
  const consoles = { fileBytes: config.consoleFileMib << 20, files: config.consoleFiles }
  const logs = stack.use(createLogDirectory(dir('logs'), now, consoles))

  // Images and kits
  let containers: ContainersService | undefined
  const blobs = stack.use(await openBlobDirectory({ log, now, path: dir('images') }))
  const registry = stack.use(createRegistry(registryConfig(config, log)))
  const images = createImages({
    log,
    now,
    blobs,
    registry,
    imports: createImports(registry.download),
    store: createImageStore(database.db),
    users: async (imageId) => (await containers?.usersOf(imageId)) ?? [],
  })
  const { kitDir } = config
  const kits = createKits({
    log,
    store: await openKitDirectory(kitDir, log),
    source: (architecture) =>
      createDebianArchive({
        log,
        architecture,
        stateDirectory: join(kitDir, architecture === 'amd64' ? 'debian' : `debian-${architecture}`),
        mirror: config.debianMirror,
      }),
    inflateXz,
    guestFiles: readGuestFiles,
    openBootFile,
  })

  // Machines
  let leasedIp: (macs: readonly string[]) => string | undefined = () => undefined
  const guest = createGuestPort(log)
  const { power, console, recording, bmcRecordings, logIn } = stack.use(
    await openPower({
      config,
      log,
      now,
      events,
      intents: createIntentStore(database.db, now),
      machines: machineStore,
      logs,
      system: createSystem({ guest, boots, leasedIp: (macs) => leasedIp(macs), presenceOf }),
    }),
  )
  const forget = async (machineId: string): Promise<void> => {
    await console.forget(machineId)
    await power.forget(machineId)
  }
  const iface = config.interface === '' ? undefined : findInterface(config.interface)
  const httpUrl = `http://${iface?.address ?? '127.0.0.1'}:${config.httpPort}`
  const nfs = stack.use(await openNfs({ config, log, blobs, address: iface?.address ?? '127.0.0.1' }))
  const directory = await openDirectory(machineStore, boots, httpUrl)
  stack.defer(
    events.listen((event) => {
      // What power does is nothing that the directory or the recording reads.
      if (event.kind !== 'machine' || event.action.startsWith('power-')) return
      const isGone = event.action === 'destroy'
      const work = [directory.refresh(), (isGone ? forget : recording.changed)(event.subjectId)]
      Promise.all(work).catch((error: unknown) => log.error('machine change not followed', { error: explain(error) }))
    }),
  )

  const packer = createPacker(uploadDir)
  const exports = createExports({ images, blobs, packer })

  // Roots of machines
  const roots = stack.use(
    await openRoots({
      config,
      log,
      now,
      database,
      images,
      blobs,
      exports,
      boots,
      events,
      containerById: containerStore.byId,
      exported: (token, address) => boot.exported(token, address),
      address: iface?.address,
    }),
  )

  const media = createMedia({
    kits,
    images,
    blobs,
    devices: roots.devices,
    fileContent: async (path) => contentOf(await fileAt(path)),
    deviceContent: (device) => contentOf(roots.roots.deviceFile(device)),
    kernelParams: config.kernelParams,
    httpUrl: iface === undefined ? undefined : httpUrl,
    read: readPaths,
  })

  const attachments = createAttachments({
    log,
    media,
    power,
    now,
    store: createAttachmentStore(database.db, events, secrets, now),
    files: openMediumFiles(dir('media')),
    machineById: machineStore.byId,
    isLive: async (containerId) => LIVE.includes((await containerStore.byId(containerId))?.state ?? 'exited'),
    url: iface === undefined ? undefined : mediaUrl(config.mediaUrl, httpUrl),
    read: readPaths,
    piecesOf: (extents) => piecesOf(extents, (path) => path),
    fileContent: async (path) => contentOf(await fileAt(path)),
  })

  // Containers, and the boots that they are for
  const reports = {
    stage: (...report: Parameters<ContainersService['reports']['stage']>) => containers!.reports.stage(...report),
    failed: (...report: Parameters<ContainersService['reports']['failed']>) => containers!.reports.failed(...report),
    exit: (...report: Parameters<ContainersService['reports']['exit']>) => containers!.reports.exit(...report),
    filled: (containerId: string) => containers!.reports.filled(containerId),
    facts: (...report: Parameters<ContainersService['reports']['facts']>) => containers!.reports.facts(...report),
  }
  const agents = createAgents({
    log,
    machines: machineStore,
    inventories,
    events,
    isOn: config.agentMode,
    kitOf: (arch) => agentKit(kits, arch),
    guest,
    openInband: openInbandBmc,
    setups: createBmcSetupStore(database.db, secrets, now),
    logIn,
    httpUrl,
    kernelParams: config.kernelParams,
    now,
  })
  const boot = createBoot({
    log,
    boots,
    reports,
    agents,
    httpUrl,
    now,
    machineByMac: machineStore.byMac,
    machineById: machineStore.byId,
    containerById: containerStore.byId,
    preparedOf: (container) => containers!.preparedOf(container),
    onBootChange: directory.refresh,
    onBootEnding: roots.profiles.ending,
    onBootEnd: roots.drop,
    nbd: { host: iface?.address ?? '127.0.0.1', port: config.nbdPort, connections: NBD_CONNECTIONS },
  })
  const machines = createMachines({
    store: machineStore,
    checkBmc: parseBmcUrl,
    leasedIp: (macs) => leasedIp(macs),
    now,
  })
  const discovery = createDiscovery({
    log,
    now,
    machines,
    scanPort,
    store: createDiscoveryStore(database.db, secrets),
    inventories: createInventoryStore(database.db),
    crawlPort: createCrawlPort(log),
    bmcUrl: bmcUrlOf,
  })
  const agent = createAgent({ log, guest, boots, logs })
  containers = stack.use(
    createContainers({
      log,
      events,
      store: containerStore,
      boots,
      boot,
      logs,
      power,
      medium: attachments.boot,
      console,
      agent,
      images,
      blobs,
      ...roots.roots,
      nfs: nfs.roots,
      now,
      random: Math.random,
      kernels: { files: (arch, kernel, initrd) => bootFiles(kits, arch, kernel, initrd) },
      kernelParams: config.kernelParams,
      machines: machineStore.list,
      machineById: machineStore.byId,
      learn: machines.learn,
    }),
  )
  const snapshots = createSnapshots({ containers, agent, images, packer })
  const exec = createExec({ containers, agent, blobs })
  const care = createStoreCare({
    log,
    now,
    images,
    blobs,
    devices: roots.devices,
    squashfs: roots.squashfs,
    rootFiles: nfs.files,
    logs,
    kits,
    containers,
    machineIds: async () => new Set((await machineStore.list()).map(({ id }) => id)),
    disk: () => diskOf(config.dataDir),
    uploads: () => sizeOfTree(uploadDir),
  })
  await care.tidy()

  // Servers
  const problems: (() => string[])[] = [nfs.problems]
  const tasks: Task[] = [...roots.tasks, nfs.task, attachments.task]
  if (iface) {
    const network = stack.use(
      await openNetwork({
        config,
        log,
        boot,
        agents,
        attachments,
        directory,
        kits,
        iface,
        leasePath: dir('leases.db'),
      }),
    )
    leasedIp = network.leasedIp
    problems.push(network.problems)
    tasks.push(...network.tasks)
  }
  let isReady = false
  const app = createApi({
    log,
    events,
    machines,
    agents,
    inventories,
    groups: createGroups(machineStore),
    staticDiscovery: createStaticDiscovery({ store: machineStore, readNodes: readNodesInThread, now }),
    discovery,
    power,
    bmcRecordings,
    logs,
    images,
    exports,
    media,
    mediaSource,
    attachments,
    snapshots,
    kits,
    care,
    containers,
    exec,
    devices: roots.devices,
    profiles: roots.profiles,
    nfsRoots: nfs.roots,
    uploadDir,
    version: VERSION,
    config: entries,
    isReady: () => isReady,
    async info() {
      const kit = await kits.open().catch(() => undefined)
      return {
        version: VERSION,
        isReady,
        node: process.version,
        dataDir: config.dataDir,
        machines: (await machines.list()).length,
        containers: (await containers!.list()).length,
        images: (await images.list()).length,
        problems: [
          ...problems.flatMap((all) => all()),
          ...(kit ? [] : ['there is no kit yet; build it with: bareboat kit build']),
        ],
        ...(iface === undefined ? {} : { interface: iface.name, address: iface.address }),
        ...(kit === undefined ? {} : { kit: kit.digest }),
      }
    },
  })
  const tcp =
    config.listen === '' ? {} : { tcp: { ...addressAndPort(config.listen), token: readOrMakeToken(config.tokenFile) } }
  tasks.push(
    createApiServer({ log, app, containers, exec, logs, machines, agents, console, socketPath: config.socket, ...tcp }),
  )

  tasks.push(untilBroken('database', database))

  await nfs.roots.resume(async (containerId) => {
    const container = await containerStore.byId(containerId)
    if (container === undefined) return 'gone'
    return LIVE.includes(container.state) ? 'live' : 'over'
  })
  await containers.resume()
  await recording.resume()
  await runTasks(tasks, signal, () => {
    isReady = true
    log.info('ready', { socket: config.socket, interface: iface?.name, address: iface?.address })
  })
}
