/** The keeper's control API, see keeper.ts. Its socket is in a folder that only the owner may enter. */
import { readFileSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { z } from 'zod'
import { AppError, ERROR_CODES, explain } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { Bmc } from './bmc.ts'
import { answerChassis } from './bmc-ipmi.ts'
import { listen } from './listening.ts'
import type { VirtualMachine } from './machine.ts'
import { DRIVES, type Media, parseMedium } from './medium.ts'
import type { NamespaceWay } from './namespace.ts'
import { readBody, TooLong } from './web.ts'

export interface KeptMachine {
  readonly machine: VirtualMachine
  readonly bmc: Bmc
}

export interface MachineStatus {
  readonly name: string
  readonly isOn: boolean
  readonly isPlugged: boolean
  /** What its next start boots from. */
  readonly boot: string
  readonly media: Media
  /** QEMU's process, while the machine is on. */
  readonly pid?: number
  /** QEMU's resident memory in bytes, while the machine is on. */
  readonly rssBytes?: number
}

export interface KeeperStatus {
  readonly pid: number
  readonly way: NamespaceWay
  readonly accel: 'kvm' | 'tcg'
  readonly machines: readonly MachineStatus[]
}

const PLAIN_COMMANDS = ['power-on', 'power-off', 'reset', 'soft-off'] as const
const BODY_MAX = 4096

const ejection = z.strictObject({ drive: z.enum(DRIVES) })
const insertion = ejection.extend({ source: z.string(), isWritable: z.boolean() })
export type Insertion = z.infer<typeof insertion>

/** Listens until disposed. `shutdown` is called when somebody asks the rack to end. */
export async function serveControl(
  socketPath: string,
  kept: readonly KeptMachine[],
  about: { readonly way: NamespaceWay; readonly accel: 'kvm' | 'tcg' },
  shutdown: () => void,
  log: Log,
): Promise<AsyncDisposable> {
  const status = (): KeeperStatus => ({
    pid: process.pid,
    ...about,
    machines: kept.map(({ machine }) => machineStatus(machine)),
  })

  async function post(path: string, request: IncomingMessage): Promise<string> {
    if (path === '/ensure') {
      await Promise.all(kept.filter(({ machine }) => machine.isPlugged).map(({ bmc }) => bmc.powerUp()))
      return ''
    }
    if (path === '/shutdown') {
      setImmediate(shutdown)
      return ''
    }
    const [, machineName, command] = /^\/machines\/([^/]+)\/([a-z-]+)$/.exec(path) ?? []
    const { machine, bmc } = find(kept, machineName, path)
    if (command === 'chassis') return await answerChassis(machine, await body(request))
    if (command === 'plug') {
      await machine.command('plug', 'rack')
      await bmc.powerUp()
      return ''
    }
    if (command === 'unplug') {
      await Promise.all([machine.command('unplug', 'rack'), bmc.powerDown()])
      return ''
    }
    if (command === 'insert') {
      const { drive, source, isWritable } = parseBody(insertion, await body(request))
      await machine.insert(drive, parseMedium(drive, source, isWritable), 'rack')
      return ''
    }
    if (command === 'eject') {
      await machine.eject(parseBody(ejection, await body(request)).drive, 'rack')
      return ''
    }
    const plain = PLAIN_COMMANDS.find((one) => one === command)
    if (plain === undefined) throw new AppError('not_found', `Cannot find "${path}": the keeper has no such command`)
    await machine.command(plain, 'rack')
    return ''
  }

  function answer(request: IncomingMessage, response: ServerResponse): void {
    const path = (request.url ?? '').split('?', 1)[0]!
    const fail = (error: unknown): void => {
      if (!(error instanceof AppError)) log.error('control failed', { path, cause: explain(error) })
      const code = error instanceof AppError ? error.code : 'internal'
      response.writeHead(ERROR_CODES[code].http, { 'content-type': 'application/json' })
      response.end(JSON.stringify({ code, message: explain(error) }))
    }
    if (request.method === 'GET' && path === '/') {
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(status()))
    } else if (request.method === 'GET' && path === '/alive') {
      response.writeHead(200).flushHeaders()
    } else if (request.method === 'POST') post(path, request).then((text) => response.end(text), fail)
    else fail(new AppError('not_found', `Cannot find "${request.method} ${path}": the keeper has no such page`))
  }

  function upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', () => socket.destroy())
    const url = new URL(request.url ?? '/', 'http://rack')
    const found = kept.find(({ machine }) => url.pathname === `/machines/${machine.spec.name}/console`)
    const from = url.searchParams.get('from')
    if (found === undefined || (from !== null && !/^\d{1,15}$/.test(from))) {
      socket.end('HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n')
      return
    }
    socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: raw\r\n\r\n')
    if (head.length > 0) socket.unshift(head)
    found.machine.serial.attach(socket, from === null ? undefined : Number(from))
  }

  rmSync(socketPath, { force: true })
  const server = createServer(answer).on('upgrade', upgrade)
  return await listen(server, { path: socketPath })
}

function find(kept: readonly KeptMachine[], name: string | undefined, path: string): KeptMachine {
  const found = kept.find(({ machine }) => machine.spec.name === name)
  if (found === undefined) throw new AppError('not_found', `Cannot find "${path}": the rack has no such machine`)
  return found
}

function machineStatus(machine: VirtualMachine): MachineStatus {
  const { pid } = machine
  const { isOn, isPlugged, boot, media } = machine
  const status = { name: machine.spec.name, isOn, isPlugged, boot, media }
  return pid === undefined ? status : { ...status, pid, rssBytes: residentBytes(pid) }
}

/** VmRSS of /proc/PID/status; 0 when the process has just ended. */
function residentBytes(pid: number): number {
  try {
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? 0) * 1024
  } catch {
    return 0
  }
}

async function body(request: IncomingMessage): Promise<string> {
  try {
    return new TextDecoder().decode(await readBody(request, BODY_MAX))
  } catch (error) {
    if (!(error instanceof TooLong)) throw error
    throw new AppError('invalid', `Cannot read the request: it is longer than ${BODY_MAX} bytes`)
  }
}

function parseBody<T>(schema: z.ZodType<T>, text: string): T {
  try {
    return schema.parse(JSON.parse(text))
  } catch (cause) {
    throw new AppError('invalid', 'Cannot read the request: it is not what the keeper takes', { cause })
  }
}
