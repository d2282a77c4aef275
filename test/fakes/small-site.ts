/**
 * The daemon's services as `daemon/site.ts` wires them, on a real SQLite file, against a world of fakes. It can die: from then on
 * nothing that it asked for comes back, as for a process that was killed, and the next one begins with what is in the folder.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { AppError } from '../../src/base/errors.ts'
import { quietLog, type Log } from '../../src/base/log.ts'
import { contentOf, fileAt, piecesOf, readPaths } from '../../src/drivers/boot-files.ts'
import { createLogDirectory } from '../../src/drivers/logs/directory.ts'
import { openInbandBmc } from '../../src/drivers/bmc/ipmi/inband/inband-bmc.ts'
import { openMediumFiles } from '../../src/drivers/medium-files.ts'
import { openSecretBox } from '../../src/drivers/secrets/secret-box.ts'
import {
  bmcSetupMigrations,
  createBmcSetupStore,
  type BmcSetupTables,
} from '../../src/drivers/store/sqlite/bmc-setups.ts'
import { createBootStore } from '../../src/drivers/store/sqlite/boots.ts'
import { createContainerStore } from '../../src/drivers/store/sqlite/containers.ts'
import { openSqlite } from '../../src/drivers/store/sqlite/database.ts'
import { createEventBus } from '../../src/drivers/store/sqlite/events.ts'
import {
  createInventoryStore,
  inventoryMigrations,
  type InventoryTables,
} from '../../src/drivers/store/sqlite/inventories.ts'
import { createIntentStore } from '../../src/drivers/store/sqlite/intents.ts'
import { createAttachmentStore, mediaMigrations, type MediaTables } from '../../src/drivers/store/sqlite/media.ts'
import { createMachineStore } from '../../src/drivers/store/sqlite/machines.ts'
import { coreMigrations, type Tables } from '../../src/drivers/store/sqlite/schema.ts'
import type { RunConfig } from '../../src/formats/oci/image.ts'
import { mergeLayers } from '../../src/formats/tree/merge.ts'
import { machineSpec } from '../../src/model/machine.ts'
import { LIVE, runOptions, type RunOptions } from '../../src/model/container.ts'
import { createAgents } from '../../src/services/agents/agents.ts'
import { createBoot, type BootFile } from '../../src/services/boot/boot.ts'
import { openDirectory } from '../../src/services/boot/directory.ts'
import { createConsole } from '../../src/services/console/console.ts'
import { createSystem } from '../../src/services/containers/system.ts'
import { createAgent } from '../../src/services/containers/agent.ts'
import { createContainers, type ContainersService } from '../../src/services/containers/containers.ts'
import type { Patience } from '../../src/services/containers/step.ts'
import type { Device } from '../../src/services/devices/devices.ts'
import type { Images } from '../../src/services/images/images.ts'
import { createMachines } from '../../src/services/machines/machines.ts'
import { createAttachments } from '../../src/services/media/attachments.ts'
import { createPower } from '../../src/services/power/power.ts'
import { guestPortOf, type World } from './world.ts'

const ID = `sha256:${'a'.repeat(64)}` as const

const RUN: RunConfig = {
  user: '',
  env: [],
  entrypoint: undefined,
  cmd: ['/bin/hello'],
  workingDir: '',
  stopSignal: undefined,
  labels: new Map(),
  exposedPorts: [],
  volumes: [],
  healthcheck: undefined,
}

/** Stands for the device of every image. */
export const ROOT_HASH = 'ab'.repeat(32)

export interface SiteOptions {
  /** What containers get whose person did not say. Default `ram`. */
  readonly rootfs?: 'ram' | 'lazy'
  /** Whether machines that nobody has accepted boot the agent. */
  readonly hasAgentMode?: boolean
  readonly folder: string
  readonly world: World
  readonly log?: Log
  readonly patience?: Partial<Patience>
  /** Called before each pull; may throw or never return. */
  readonly onPull?: (signal: AbortSignal | undefined) => Promise<void>
  readonly arch?: string
  readonly mode?: 'app' | 'os'
  /** How far the clock of media is ahead, milliseconds; it may change. */
  readonly ahead?: { ms: number }
  /** The daemon dies after so many writes. */
  readonly diesAfter?: number
  /** Each write throws what this returns, if anything. */
  readonly failWrite?: (number: number) => Error | undefined
}

export type SmallSite = Awaited<ReturnType<typeof openSmallSite>>

export async function openSmallSite(options: SiteOptions) {
  const { folder, world, log = quietLog } = options
  mkdirSync(folder, { recursive: true })
  const stack = new AsyncDisposableStack()
  const now = Date.now
  let isDead = false
  let writes = 0
  const dead = (): boolean => isDead

  /** Counts what a store writes, and kills the daemon after the one that was asked for: written, but nobody hears of it. */
  function mortal<S extends object>(store: S, methods: readonly (keyof S & string)[]): S {
    return new Proxy(store, {
      get(target, key: keyof S & string) {
        const method = target[key]
        if (typeof method !== 'function') return method
        return (...words: unknown[]): unknown => {
          if (isDead) return new Promise(() => {})
          if (!methods.includes(key)) return Reflect.apply(method as (...words: unknown[]) => unknown, target, words)
          return (async () => {
            const number = ++writes
            const failure = options.failWrite?.(number)
            if (failure) throw failure
            const value: unknown = await Reflect.apply(method as (...words: unknown[]) => unknown, target, words)
            if (number === options.diesAfter) isDead = true
            return isDead ? new Promise(() => {}) : value
          })()
        }
      },
    })
  }

  const secrets = openSecretBox(join(folder, 'secret.key'))
  const database = stack.use(
    openSqlite<Tables & InventoryTables & BmcSetupTables & MediaTables>(join(folder, 'state.db'), [
      ...coreMigrations,
      ...inventoryMigrations,
      ...bmcSetupMigrations,
      ...mediaMigrations,
    ]),
  )
  const events = createEventBus(database.db, now)
  const machineStore = createMachineStore(database.db, events, secrets, now)
  const containerStore = createContainerStore(database.db, events, now)
  const store = mortal(containerStore, ['insert', 'transition', 'patch', 'remove'])
  const boots = mortal(createBootStore(database.db, secrets, now), ['open', 'claim', 'end'])
  const intents = mortal(createIntentStore(database.db, now), ['begin', 'end'])
  const logFiles = stack.use(createLogDirectory(join(folder, 'logs'), now))
  const logs = mortal(logFiles, [])
  const power = createPower({
    log,
    events,
    intents,
    now,
    settleMs: 2000,
    unseen: { silenceMs: 300, pollMs: 5 },
    system: createSystem({
      guest: guestPortOf(world, dead),
      boots,
      leasedIp: () => undefined,
      presenceOf: (_target, macs) => Promise.resolve(world.presenceOf(macs)),
    }),
    passwordOf: machineStore.bmcPassword,
    openBmc: (machine) => world.machines.get(machine.macs[0]!)!.port(dead),
  })
  await power.recover()
  const console = createConsole({ log, logs, now, portOf: power.portOf })
  const directory = await openDirectory(machineStore, boots, 'http://10.0.0.1:8080')
  let containers: ContainersService | undefined
  const file: BootFile = {
    sizeBytes: 4,
    pieces: () => [{ kind: 'bytes', bytes: Buffer.from('file') }],
  }
  const inventories = createInventoryStore(database.db)
  const agents = createAgents({
    log,
    machines: machineStore,
    inventories,
    events,
    isOn: options.hasAgentMode ?? false,
    kitOf: async () => ({ kernel: file, initrd: file, tools: file }),
    guest: guestPortOf(world, dead),
    openInband: openInbandBmc,
    setups: createBmcSetupStore(database.db, secrets, now),
    logIn: () => Promise.reject(new Error('nobody has a BMC to log in to')),
    httpUrl: 'http://10.0.0.1:8080',
    kernelParams: ['console=ttyS0'],
    now,
  })
  const attachments = createAttachments({
    log,
    power,
    now: () => now() + (options.ahead?.ms ?? 0),
    store: mortal(createAttachmentStore(database.db, events, secrets, now), ['begin', 'patch', 'end']),
    files: openMediumFiles(join(folder, 'media')),
    media: {
      make: async (of) => {
        const bytes = Buffer.from(`loader: ${JSON.stringify(of)}`)
        const extents = [{ kind: 'bytes', bytes }] as const
        const medium = { mediaType: '', sizeBytes: bytes.length, extents, [Symbol.dispose]() {} }
        return { medium, kit: '', of }
      },
    },
    machineById: machineStore.byId,
    isLive: async (containerId) => LIVE.includes((await containerStore.byId(containerId))?.state ?? 'exited'),
    url: 'http://10.0.0.1:8080',
    read: readPaths,
    piecesOf: (extents) => piecesOf(extents, (path) => path),
    fileContent: async (path) => contentOf(await fileAt(path)),
    sweepMs: 20,
    settleMs: 50,
  })
  const boot = createBoot({
    log,
    boots,
    httpUrl: 'http://10.0.0.1:8080',
    now,
    machineByMac: machineStore.byMac,
    machineById: machineStore.byId,
    containerById: store.byId,
    preparedOf: (container) => containers!.preparedOf(container),
    onBootChange: directory.refresh,
    onBootEnding: async () => {},
    onBootEnd: () => {},
    nbd: { host: '10.0.0.1', port: 10_809, connections: 1 },
    agents,
    reports: {
      filled: (...words) => containers!.reports.filled(...words),
      stage: (...words) => containers!.reports.stage(...words),
      failed: (...words) => containers!.reports.failed(...words),
      exit: (...words) => containers!.reports.exit(...words),
      facts: (...words) => containers!.reports.facts(...words),
    },
  })
  const machines = createMachines({ store: machineStore, checkBmc: () => {}, leasedIp: () => undefined, now })
  const agent = createAgent({ log, guest: guestPortOf(world, dead), boots, logs })
  containers = createContainers({
    log,
    events,
    store,
    boots,
    boot,
    logs,
    power,
    medium: attachments.boot,
    console,
    agent,
    images: imagesOf(options),
    blobs: { readExtents: async function* () {} },
    kernels: {
      files: () =>
        Promise.resolve({
          kernel: file,
          initrd: file,
          rootfsKinds: new Set(['ram', 'lazy'] as const),
          rootfsDefault: options.rootfs ?? 'ram',
        }),
    },
    devices: { of: async () => DEVICE, byRootHash: async () => DEVICE },
    tarFile: () => file,
    deviceFile: () => file,
    profileOf: async () => undefined,
    squashfs: () => Promise.reject(new Error('no squashfs')),
    nfs: {
      prepare: async () => {},
      open: () => Promise.reject(new Error('no NFS')),
      shut: async () => {},
      remove: async () => {},
    },
    kernelParams: ['console=ttyS0'],
    machines: machineStore.list,
    machineById: machineStore.byId,
    learn: machines.learn,
    now,
    random: Math.random,
    patience: {
      powerCheckBootingMs: 50,
      powerCheckRunningMs: 50,
      confirmOffMs: 5,
      drainMs: 3000,
      osGraceMs: 200,
      killMs: 100,
      agentMs: 100,
      retryMs: 5,
      longestRetryMs: 50,
      ...options.patience,
    },
  })
  stack.use(containers)
  stack.defer(() => console[Symbol.asyncDispose]())
  // The task of the daemon that ends what is over.
  const sweeping = new AbortController()
  const swept = attachments.task.run(sweeping.signal, () => {}).catch(() => {})
  world.daemon = { boot, attachments, isDead: dead }

  return {
    folder,
    containers,
    machines,
    agents,
    inventories,
    machineStore,
    power,
    boot,
    boots,
    attachments,
    store,
    logs,
    events,
    database,
    isDead: dead,
    /** What is in the database, whoever lives. */
    stored: () => containerStore.list(),
    writes: () => writes,
    run: (given: Partial<RunOptions> = {}) =>
      containers!.create({ ...runOptions.parse({ image: 'hello' }), pull: 'missing', early: 'false', ...given }),
    addMachine: (name: string, mac: string) =>
      machines.add(machineSpec.parse({ name, macs: [mac], bmc: 'http://127.0.0.1:1', bmcPassword: 'CANARY-BMC-pw' })),
    async output(containerId: string): Promise<string> {
      let text = ''
      for await (const piece of logs.read(containerId, { streams: ['stdout'] }))
        text += Buffer.from(piece.bytes).toString()
      return text
    },
    /** As SIGKILL: nothing that is under way goes on. The files stay open, as only the kernel could close them. */
    kill() {
      isDead = true
      sweeping.abort()
      if (world.daemon?.boot === boot) world.daemon = undefined
    },
    /** An orderly end. A daemon that died leaves only its file handles to close. */
    async [Symbol.asyncDispose]() {
      sweeping.abort()
      if (!isDead) await swept
      if (world.daemon?.boot === boot) world.daemon = undefined
      if (isDead) {
        // Ends its timers; what it waits for never comes.
        void containers![Symbol.asyncDispose]()
        void console[Symbol.asyncDispose]()
        await logFiles[Symbol.asyncDispose]()
        await database[Symbol.asyncDispose]()
        return
      }
      await stack.disposeAsync()
    },
  }
}

const DEVICE: Device = {
  rootHash: ROOT_HASH,
  key: '',
  sizeBytes: 8 * 4096,
  dataBlocks: 6,
  hashStartBlock: 7,
  blobs: [],
  createdAtMs: 0,
  mapPath: '',
  blobPaths: [],
}

function imagesOf({ onPull, arch = 'amd64', mode }: SiteOptions): Images {
  const platform = { os: 'linux', architecture: arch, variant: '', osVersion: '', osFeatures: [] }
  let isHere = onPull === undefined
  const run = mode === 'os' ? { ...RUN, cmd: ['/sbin/init'] } : RUN
  const record = { id: ID, platform }
  const images: Pick<Images, 'pull' | 'resolve' | 'inspect' | 'tree' | 'config'> = {
    async pull(_reference, _options, _onProgress, signal) {
      await onPull?.(signal)
      isHere = true
      return record as never
    },
    resolve: () =>
      isHere ? Promise.resolve(ID as never) : Promise.reject(new AppError('not_found', 'Cannot find image')),
    inspect: () =>
      isHere ? Promise.resolve(record as never) : Promise.reject(new AppError('not_found', 'Cannot find image')),
    tree: () => Promise.resolve(mergeLayers([])),
    config: () => Promise.resolve({ config: run, platform } as never),
  }
  return images as Images
}
