/**
 * `bareboat demo`: two virtual machines, a server beside them, an image on each. What it makes is under one directory and one
 * rack, and goes with `down`.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { poll } from '../../base/clock.ts'
import { AppError, explain } from '../../base/errors.ts'
import { createClient, type Client } from '../../client/client.ts'
import type { Container } from '../../model/container.ts'
import { rackDown, rackUp } from '../../rack/rack.ts'
import type { RackInfo } from '../../rack/info.ts'
import { DEMO_IMAGE, importDemoImage } from './image.ts'
import { DEMO_RACK, demoPlace, type DemoPlace } from './place.ts'
import { startServer } from './server.ts'
import type { Environment } from '../../model/paths.ts'

export interface DemoIo {
  readonly env: Environment
  readonly say: (line: string) => void
  readonly signal: AbortSignal
}

const WORKLOAD = [
  'sh',
  '-c',
  'echo "hello from $(hostname), Linux $(uname -r), $(free -m | head -2 | tail -1 | tr -s " " | cut -d" " -f2) MiB"; exec sleep 100000',
]
const END_MS = 20_000

/** Sets up and starts everything. @returns where to find it */
export async function demoUp(io: DemoIo): Promise<DemoPlace> {
  const { say, signal } = io
  const place = demoPlace(io.env)
  if (existsSync(place.pidFile))
    throw new AppError('conflict', 'Cannot start the demo: it is up already; take it down with: bareboat demo --down')
  mkdirSync(place.dir, { recursive: true, mode: 0o700 })
  mkdirSync(place.kitDir, { recursive: true })
  await setUp(place, io)

  const startMs = performance.now()
  const at = (): string => `${((performance.now() - startMs) / 1000).toFixed(1).padStart(6)} s`
  const rack = await rackUp({
    stateDir: place.rackDir,
    name: DEMO_RACK,
    machines: 2,
    firmware: ['bios', 'uefi'],
    memoryMiB: 768,
    signal,
  })
  say(`${at()}  rack          ${rack.machines.map((machine) => `${machine.name} (${machine.firmware})`).join(', ')}`)
  const server = await startServer(place, serverFlags(rack), { stateDir: place.rackDir, name: DEMO_RACK }, {}, signal)
  writeFileSync(place.pidFile, `${server.pid}\n`)
  const client = createClient({ kind: 'unix', path: place.socket })
  await addMachines(client, rack, signal)
  say(`${at()}  server        ready at ${place.socket}`)
  const containers = await Promise.all(
    rack.machines.map((machine) =>
      client.containers.create(
        {
          image: DEMO_IMAGE,
          name: `hello-${machine.firmware}`,
          machine: machine.name,
          command: WORKLOAD,
          timeoutSeconds: 300,
        },
        { signal },
      ),
    ),
  )
  await Promise.all(containers.map((container) => follow(client, container, at, io)))
  say(`${at()}  both images run`)
  for (const container of containers) {
    const line = await firstLine(client, container, signal)
    say(`           ${container.name}: ${line}`)
  }
  return place
}

/** Takes the demo down, also one that was cut off. @returns false when there was nothing */
export async function demoDown({ env }: Pick<DemoIo, 'env'>): Promise<boolean> {
  const place = demoPlace(env)
  const wasThere = existsSync(place.dir)
  await endServer(place)
  await rackDown({ stateDir: place.rackDir, name: DEMO_RACK })
  await rm(place.dir, { recursive: true, force: true })
  return wasThere
}

export function nextCommands(place: DemoPlace): string[] {
  const host = `BAREBOAT_HOST=unix://${place.socket}`
  return [
    'Try next:',
    `  export ${host}`,
    '  ./bareboat ps',
    '  ./bareboat logs hello-bios',
    '  ./bareboat exec -it hello-uefi sh',
    '  ./bareboat cp /etc/hostname hello-bios:/tmp/',
    '  ./bareboat logs --console hello-uefi',
    '  ./bareboat stop hello-bios',
    `  ./bareboat run --rm --machine rack-1 ${DEMO_IMAGE} sh -c 'exit 7'; echo $?`,
    '  ./bareboat demo --down',
  ]
}

/** The kit and the image: made once, by a server that serves no machines. */
async function setUp(place: DemoPlace, { say, signal }: DemoIo): Promise<void> {
  const server = await startServer(place, [], undefined, {}, signal)
  try {
    const client = createClient({ kind: 'unix', path: place.socket })
    await buildKit(client, say, signal)
    await importDemoImage(client, signal)
  } finally {
    await server.end()
  }
}

/** Costs nothing when the kit of these packages and guest files is there already. */
async function buildKit(client: Client, say: DemoIo['say'], signal: AbortSignal): Promise<void> {
  const { kits } = await client.kits.list({ signal })
  if (kits.length === 0) say('setting up: building the kit from Debian packages (once; about 130 MB to fetch)')
  try {
    const kit = await client.kits.build({}, () => {}, { signal })
    if (kits.every(({ digest }) => digest !== kit.digest))
      say(`setting up: kit ${kit.digest.slice(7, 19)} with Linux ${kit.kernelVersion}`)
  } catch (error) {
    if (kits.length === 0 || signal.aborted) throw error
    say(`setting up: going on with the kit that is here: ${explain(error)}`)
  }
}

/** What a server in a rack's network is started with. */
export function serverFlags(rack: RackInfo): string[] {
  return [
    '--interface',
    rack.network.bridge,
    '--dhcp-range',
    '172.29.0.200-172.29.0.250',
    '--egress',
    rack.egress.socket,
  ]
}

/** Adds the machines of a rack to a server, with the rack's password for their BMCs. */
export async function addMachines(client: Client, rack: RackInfo, signal: AbortSignal): Promise<void> {
  const bmcPassword = readFileSync(rack.passwordFile, 'utf8').trim()
  for (const machine of rack.machines)
    await client.machines.add(
      {
        name: machine.name,
        macs: [machine.mac],
        uuid: machine.uuid,
        memoryMiB: machine.memoryMiB,
        firmware: machine.firmware === 'bios' ? 'bios' : 'uefi',
        bmc: machine.bmc,
        bmcPassword,
        rank: machine.index,
      },
      { signal },
    )
}

/** Tells the stages of a container as they come, until it runs. @throws {AppError} boot_failed with the cause */
async function follow(client: Client, container: Container, at: () => string, { say, signal }: DemoIo): Promise<void> {
  const name = container.machineName!.padEnd(7)
  for await (const event of client.events({ containerId: container.id, follow: true, signal })) {
    if (event.action === 'stage') say(`${at()}  ${name} ${event.attributes['stage']}`)
    if (event.action === 'start') return
    if (event.action === 'fail')
      throw new AppError('boot_failed', `Container "${container.name}" failed: ${event.attributes['cause']}`)
  }
}

async function firstLine(client: Client, container: Container, signal: AbortSignal): Promise<string> {
  const line = await poll(
    async () => {
      let text = ''
      for await (const chunk of client.containers.logs(container.id, { signal }))
        text += Buffer.from(chunk.data, 'base64').toString()
      return text.includes('\n') ? text.split('\n')[0] : undefined
    },
    { everyMs: 200, deadlineMs: 10_000, signal },
  )
  return line ?? '(nothing yet)'
}

async function endServer(place: DemoPlace): Promise<void> {
  if (!existsSync(place.pidFile)) return
  const pid = Number(readFileSync(place.pidFile, 'utf8'))
  const isOurs = (): boolean => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(place.dataDir)
    } catch {
      return false
    }
  }
  if (isOurs()) {
    process.kill(pid, 'SIGTERM')
    const gone = await poll(() => (isOurs() ? undefined : true), { everyMs: 50, deadlineMs: END_MS })
    if (!gone && isOurs()) process.kill(pid, 'SIGKILL')
  }
  rmSync(place.pidFile, { force: true })
}
