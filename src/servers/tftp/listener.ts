/**
 * TFTP as one thread serves it; it only reads. Names are keys of the product's boot files: no path, no file system. Each transfer has a port of its
 * own (RFC 1350 §4), connected to its client, so that nobody else's packets reach it.
 */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { explain, systemCode, WireError } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import { aborted, type Task } from '../../base/task.ts'
import { describeTftp, parseTftp, serializeTftp, TFTP_ERROR, type TftpPacket } from '../../wire/tftp/packet.ts'
import { bindUdp } from '../listen.ts'
import { createTransfer, DEFAULT_LIMITS, negotiate, type Action, type Limits, type Terms } from './transfer.ts'

export interface BootFile {
  readonly sizeBytes: number
  /** Yields `length` bytes from `offset`; never asked for bytes past the end. */
  read(offset: number, length: number): Uint8Array | Promise<Uint8Array>
}

export type OpenedFile = BootFile | 'silence' | undefined

/** What the TFTP server needs of the product. */
export interface BootFiles {
  /**
   * The file of that name, for that client; undefined: there is none; `silence`: the client is told nothing.
   * @param name as the client sent it, without leading slashes
   */
  open(name: string, clientAddress: string): OpenedFile | Promise<OpenedFile>
}

export interface TftpEvent {
  /** `tftp-probed`: firmware asked for the size (tsize) and broke off, as it does before it fetches. */
  readonly kind: 'tftp-start' | 'tftp-done' | 'tftp-failed' | 'tftp-refused' | 'tftp-probed'
  readonly address: string
  readonly name: string
  readonly bytes?: number
  readonly tookMs?: number
  readonly why?: string
}

export interface TftpConfig {
  /** The address to answer on; no other is. */
  readonly address: string
  readonly port?: number
  readonly limits?: Limits
  /** Transfers at one time from one address, and in all; more are not answered. */
  readonly perSource?: number
  readonly total?: number
  /** Whether other listeners may have the same port, each serving some of the clients (SO_REUSEPORT). */
  readonly sharesPort?: boolean
}

export interface TftpListenerDeps {
  readonly log: Log
  readonly files: BootFiles
  readonly onEvent: (event: TftpEvent) => void
}

type Request = TftpPacket & { op: 'rrq' | 'wrq' }

/** One transfer may take this long, whatever progress it makes. */
const MAX_TRANSFER_MS = 600_000

/** As a task: nothing is opened before it runs; it ends when its transfers have been cut off. */
export function createTftpListener(config: TftpConfig, { log, files, onEvent }: TftpListenerDeps): Task {
  const limits = config.limits ?? DEFAULT_LIMITS
  const [perSource, total] = [config.perSource ?? 16, config.total ?? 1024]

  return {
    name: `tftp ${config.address}`,
    async run(signal, ready) {
      await using socket = await listen(config.address, config.port ?? 69, config.sharesPort)
      const failed = new Promise<never>((_, reject) => socket.once('error', reject))
      /** Running transfers by `address port`: a request that a client repeats does not start a second one. */
      const running = new Map<string, Promise<void>>()

      const start = async (request: Request, from: RemoteInfo): Promise<void> => {
        const name = request.name.replace(/^\/+/, '')
        const refuse = (code: number, why: string) => {
          log.info('TFTP request refused', { address: from.address, name, why })
          onEvent({ kind: 'tftp-refused', address: from.address, name, why })
          socket.send(serializeTftp({ op: 'error', code, message: why }), from.port, from.address, () => undefined)
        }
        if (request.op === 'wrq') return refuse(TFTP_ERROR.accessViolation, 'this server only reads')
        if (request.mode !== 'octet') return refuse(TFTP_ERROR.illegalOperation, 'only octet (binary) mode is served')
        const file = await files.open(name, from.address)
        if (file === 'silence')
          return log.debug('ignored', { why: 'the client gets no answer', address: from.address, name })
        if (!file) return refuse(TFTP_ERROR.notFound, 'there is no such file')
        const startedMs = performance.now()
        onEvent({ kind: 'tftp-start', address: from.address, name, bytes: file.sizeBytes })
        const terms = negotiate(request.options, file.sizeBytes, limits)
        const { why, isProbe } = await transfer({ file, terms, from, address: config.address, signal })
        const tookMs = Math.round(performance.now() - startedMs)
        if (why === undefined)
          onEvent({ kind: 'tftp-done', address: from.address, name, bytes: file.sizeBytes, tookMs })
        else if (isProbe) onEvent({ kind: 'tftp-probed', address: from.address, name, bytes: file.sizeBytes, tookMs })
        else {
          log.debug('TFTP transfer failed', { address: from.address, name, why })
          onEvent({ kind: 'tftp-failed', address: from.address, name, tookMs, why })
        }
      }

      socket.on('message', (bytes, from) => {
        const request = parseRequest(bytes, log)
        if (!request) return
        const key = `${from.address} ${from.port}`
        if (running.has(key)) return log.debug('ignored', { why: 'a transfer to this port is running', from: key })
        const ofSource = [...running.keys()].filter((other) => other.startsWith(`${from.address} `)).length
        if (ofSource >= perSource || running.size >= total)
          return log.debug('ignored', {
            why: `${ofSource} transfers of this source, ${running.size} in all`,
            from: key,
          })
        const done = start(request, from)
          .catch((error: unknown) => log.error('TFTP transfer failed', { name: request.name, why: explain(error) }))
          .finally(() => running.delete(key))
        running.set(key, done)
      })
      ready()
      await Promise.race([aborted(signal), failed])
      await Promise.all(running.values())
    },
  }
}

function parseRequest(bytes: Uint8Array, log: Log): Request | undefined {
  try {
    const packet = parseTftp(bytes)
    if (packet.op === 'rrq' || packet.op === 'wrq') return packet as Request
    log.debug('ignored', { why: 'it is not a request', packet: describeTftp(packet) })
  } catch (error) {
    if (!(error instanceof WireError)) throw error
    log.debug('ignored', { why: error.message })
  }
  return undefined
}

interface TransferNeeds {
  readonly file: BootFile
  readonly terms: Terms
  readonly from: RemoteInfo
  readonly address: string
  readonly signal: AbortSignal
}

interface Ended {
  /** Why it failed, or undefined. */
  readonly why: string | undefined
  /** The client broke off before it had any data. */
  readonly isProbe: boolean
}

/** Runs one transfer to its end. */
async function transfer({ file, terms, from, address, signal }: TransferNeeds): Promise<Ended> {
  const machine = createTransfer(file.sizeBytes, terms)
  await using socket = await listen(address, 0)
  const connected = once(socket, 'connect')
  socket.connect(from.port, from.address)
  await connected
  const { promise: ended, resolve: end } = Promise.withResolvers<string | undefined>()
  const send = (packet: TftpPacket) => socket.send(serializeTftp(packet), () => undefined)
  let timer: NodeJS.Timeout | undefined
  /** Reads are asynchronous: acknowledgements that come meanwhile are decided on afterwards, in order. */
  let turn = Promise.resolve()
  let isOver = false
  let hasSentData = false
  let hasBrokenOff = false

  const act = async (action: Action): Promise<void> => {
    if (action.kind === 'wait') return
    clearTimeout(timer)
    if (action.kind === 'done') return end(undefined)
    if (action.kind === 'give-up') return end('the client does not answer')
    if (action.kind === 'oack') send({ op: 'oack', options: terms.accepted })
    else {
      hasSentData = true
      for (const packet of await blocks(file, terms.blockBytes, action.from, action.to)) if (!isOver) send(packet)
    }
    if (isOver) return
    timer = setTimeout(() => take(() => machine.onTimeout()), machine.waitMs())
  }
  const take = (decide: () => Action) => {
    turn = turn
      .then(() => (isOver ? undefined : act(decide())))
      .catch((error: unknown) => end(`cannot read the file: ${explain(error)}`))
  }

  socket.on('message', (bytes) => {
    const packet = parseReply(bytes)
    if (packet?.op === 'ack') take(() => machine.onAck(packet.block))
    else if (packet?.op === 'error') {
      hasBrokenOff = true
      end(`the client says: ${describeTftp(packet)}`)
    }
  })
  // A client that closed its port shows as ECONNREFUSED: nobody is there any more.
  socket.on('error', (error) => end(systemCode(error) === 'ECONNREFUSED' ? 'the client is gone' : explain(error)))
  const deadline = setTimeout(() => end('it takes too long'), MAX_TRANSFER_MS)
  const stop = () => end('the server stops')
  signal.addEventListener('abort', stop, { once: true })
  if (signal.aborted) stop()
  take(() => machine.start())
  try {
    const why = await ended
    if (why !== undefined && !why.startsWith('the client'))
      send({ op: 'error', code: TFTP_ERROR.other, message: why.slice(0, 200).replaceAll('\0', '') })
    return { why, isProbe: hasBrokenOff && !hasSentData }
  } finally {
    isOver = true
    signal.removeEventListener('abort', stop)
    clearTimeout(deadline)
    clearTimeout(timer)
  }
}

function parseReply(bytes: Uint8Array): TftpPacket | undefined {
  try {
    return parseTftp(bytes)
  } catch (error) {
    if (!(error instanceof WireError)) throw error
    return undefined
  }
}

/** The data packets of the blocks `from` to `to`, from one read. */
async function blocks(file: BootFile, blockBytes: number, from: number, to: number): Promise<TftpPacket[]> {
  const offset = (from - 1) * blockBytes
  const length = Math.min((to - from + 1) * blockBytes, file.sizeBytes - offset)
  const bytes = length > 0 ? await file.read(offset, length) : new Uint8Array()
  if (bytes.length !== Math.max(0, length)) throw new RangeError(`${bytes.length} bytes read of ${length}`)
  return Array.from({ length: to - from + 1 }, (_, n) => ({
    op: 'data',
    block: (from + n) & 0xffff,
    bytes: bytes.subarray(n * blockBytes, (n + 1) * blockBytes),
  }))
}

/** @throws {AppError} conflict, forbidden or unreachable, when the address and port cannot be had */
async function listen(host: string, port: number, reusePort = false): Promise<Socket> {
  const socket = createSocket({ type: 'udp4', reusePort, lookup: (name, _options, done) => done(null, name, 4) })
  await bindUdp('TFTP', socket, { host, port })
  return socket
}
