/**
 * HTTP for firmware, iPXE, the initrd and BMCs, in a thread of its own: plain `node:http`, since these clients are simple and the files
 * are large. Every answer has a Content-Length; files answer HEAD and Range, which UEFI HTTP boot and a broken download need.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { AppError, ERROR_CODES, explain, systemCode } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import { aborted, type Task } from '../../base/task.ts'
import { MAX_REPORT_BYTES } from '../../formats/hardware/report.ts'
import { mac as macSchema } from '../../model/machine.ts'
import type { ScriptLanguage } from '../../services/boot/script-text.ts'
import { listenTcp } from '../listen.ts'
import type { BootDesk, FileFacts, FileName } from './desk.ts'
import { parseRange } from './range.ts'
import type { ReadPieces } from './thread.ts'

export interface BootHttpOptions {
  readonly log: Log
  readonly desk: BootDesk
  readonly read: ReadPieces
  readonly address: string
  readonly port: number
}

const MAX_BODY_BYTES = 16_384
const MAX_CONNECTIONS = 4096
/** What is asked of the product at one time. */
const WINDOW_BYTES = 8 << 20
const TEXT = 'text/plain; charset=utf-8'
/** GRUB (2.06, 2.12) knows this header in this spelling only, and waits half a minute for more where it does not find it. */
const LENGTH = 'Content-Length'
/** Scripts for machines that are known by their MAC alone. */
const WAITING = new Map<string, ScriptLanguage>([
  ['waiting.ipxe', 'ipxe'],
  ['waiting.grub', 'grub'],
])
const OCTETS = 'application/octet-stream'

type Reply =
  | { readonly status: number; readonly text: string; readonly type?: string }
  | { readonly file: FileName; readonly facts: FileFacts; readonly done?: () => Promise<void> }

/** Serves machines until the signal aborts. */
export function createBootHttp({ log, desk, read, address, port }: BootHttpOptions): Task {
  return {
    name: 'boot http',
    async run(signal, ready) {
      const server = createServer(
        { requestTimeout: 30_000, headersTimeout: 15_000, maxHeaderSize: 8192 },
        (request, response) => {
          answer(request, response).catch((error: unknown) => {
            log.debug('boot request broken off', { why: explain(error) })
            response.destroy()
          })
        },
      )
      server.maxConnections = MAX_CONNECTIONS
      // A machine that lost power leaves its connection open for ever; the kernel finds out.
      server.on('connection', (socket) => socket.setKeepAlive(true, 10_000))
      await listenTcp('HTTP for machines', server, { host: address, port, reusePort: true })
      ready()
      await aborted(signal)
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const from = (request.socket.remoteAddress ?? '').replace(/^::ffff:/, '')
    let reply: Reply
    try {
      reply = await route(request, from)
    } catch (error) {
      // The client went away in the middle of its request.
      if (systemCode(error) === 'ECONNRESET') throw error
      if (!(error instanceof AppError)) log.error('boot request failed', { error: explain(error) })
      const code = error instanceof AppError ? error.code : 'internal'
      const text = error instanceof AppError ? error.message : 'internal error'
      reply = { status: ERROR_CODES[code].http, text: `${text}\n` }
    }
    if ('file' in reply) {
      if (await sendFile(request, response, reply.file, reply.facts)) await reply.done?.()
    } else {
      const body = Buffer.from(reply.text)
      response.writeHead(reply.status, { 'content-type': reply.type ?? TEXT, [LENGTH]: body.length })
      response.end(request.method === 'HEAD' ? undefined : body)
    }
  }

  async function route(request: IncomingMessage, from: string): Promise<Reply> {
    const url = URL.parse(request.url ?? '/', 'http://boot')
    // No name of ours needs an escape, so what has one names nothing.
    if (!url || url.pathname.includes('%')) return notFound()
    const [room, token = '', name = '', word = ''] = url.pathname.split('/').slice(1)
    const isRead = request.method === 'GET' || request.method === 'HEAD'
    if (room === 'loader' && isRead) return found({ room: 'loader', name: token, client: from })
    if (room === 'media' && isRead) return found({ room: 'media', token, name })
    if (room !== 'boot' && room !== 'agent') return notFound()
    if (isRead) return room === 'agent' ? agentGet(token, name, from) : get(token, name, url, from)
    if (request.method !== 'POST') return { status: 405, text: 'GET, HEAD and POST only\n' }
    if (room === 'agent') return agentPost(request, token, name, word, from)
    const body = (await readBody(request)).toString('utf8')
    if (name === 'stage') await desk.stage(token, word, factsIn(body))
    else if (name === 'failed') await desk.failed(token, word, body)
    else if (name === 'filled') await desk.filled(token)
    else if (name === 'exit') await desk.exit(token, /^\d{1,3}$/.test(word) ? Number(word) : Number.NaN)
    else return notFound()
    return { status: 200, text: 'ok\n' }
  }

  async function get(token: string, name: string, url: URL, from: string): Promise<Reply> {
    const language = WAITING.get(token)
    if (language !== undefined) return { status: 200, text: await desk.waiting(macIn(url), language) }
    switch (name) {
      case 'script.ipxe':
        return { status: 200, text: await desk.script(token, macIn(url)) }
      case 'spec':
        return { status: 200, text: await desk.spec(token, from) }
      case 'kernel':
        return { ...(await found({ room: 'boot', token, name })), done: () => desk.kernelLoaded(token) }
      case 'initrd':
      case 'rootfs.tar':
      case 'rootfs.erofs':
      case 'rootfs.squashfs':
      case 'profile':
        return found({ room: 'boot', token, name })
      default:
        return notFound()
    }
  }

  async function agentGet(token: string, name: string, from: string): Promise<Reply> {
    switch (name) {
      case 'spec':
        return { status: 200, text: await desk.agentSpec(token, from) }
      case 'order':
        return { status: 200, text: await desk.agentOrder(token, from) }
      case 'kernel':
      case 'initrd':
      case 'tools':
        return found({ room: 'agent', token, name })
      default:
        return notFound()
    }
  }

  async function agentPost(
    request: IncomingMessage,
    token: string,
    name: string,
    word: string,
    from: string,
  ): Promise<Reply> {
    if (name === 'report') await desk.agentReport(token, from, await readBody(request, MAX_REPORT_BYTES))
    else if (name === 'wiped') await desk.agentWiped(token, from, word, (await readBody(request)).toString('utf8'))
    else if (name === 'failed') await desk.agentFailed(token, from, word, (await readBody(request)).toString('utf8'))
    else return notFound()
    return { status: 200, text: 'ok\n' }
  }

  async function found(file: FileName): Promise<Reply & { readonly file: FileName }> {
    return { file, facts: await desk.file(file) }
  }

  /** @returns whether bytes of it were sent, to the last that was asked for */
  async function sendFile(
    request: IncomingMessage,
    response: ServerResponse,
    name: FileName,
    { sizeBytes, etag: tagText }: FileFacts,
  ): Promise<boolean> {
    const etag = tagText === undefined ? undefined : `"${tagText}"`
    const tag = etag === undefined ? {} : { etag }
    if (etag !== undefined && request.headers['if-none-match'] === etag) {
      response.writeHead(304, tag).end()
      return false
    }
    // A part of other bytes than those that the client has would not fit to them (RFC 9110 §13.1.5).
    const condition = request.headers['if-range']
    const isSame = condition === undefined || condition === etag
    const range = isSame ? parseRange(request.headers.range, sizeBytes) : undefined
    if (range === 'unsatisfiable') {
      response.writeHead(416, { 'content-range': `bytes */${sizeBytes}`, [LENGTH]: 0 }).end()
      return false
    }
    const { from, to } = range ?? { from: 0, to: sizeBytes }
    response.writeHead(range ? 206 : 200, {
      'content-type': OCTETS,
      [LENGTH]: to - from,
      'accept-ranges': 'bytes',
      ...tag,
      ...(range ? { 'content-range': `bytes ${from}-${to - 1}/${sizeBytes}` } : {}),
    })
    if (request.method === 'HEAD') {
      response.end()
      return false
    }
    const gone = new AbortController()
    response.once('close', () => gone.abort())
    const bytes = bytesOf(name, from, to, gone.signal)
    await pipeline(Readable.from(bytes, { objectMode: false, highWaterMark: 1 << 20 }), response)
    return true
  }

  /** Asks for the pieces of some megabytes at a time, and for the next while these are sent. */
  async function* bytesOf(name: FileName, from: number, to: number, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const ask = (at: number) => desk.pieces(name, at, Math.min(at + WINDOW_BYTES, to))
    let next = from < to ? ask(from) : Promise.resolve([])
    for (let at = from; at < to; at += WINDOW_BYTES) {
      const pieces = await next
      signal.throwIfAborted()
      if (at + WINDOW_BYTES < to) {
        next = ask(at + WINDOW_BYTES)
        // Thrown when it is waited for; who went away does not wait for it.
        next.catch(() => undefined)
      }
      yield* read(pieces, signal)
    }
  }
}

function notFound(): Reply {
  return { status: 404, text: 'Cannot find what this address stood for\n' }
}

function macIn(url: URL): string {
  const parsed = macSchema.safeParse(url.searchParams.get('mac') ?? '')
  if (!parsed.success) throw new AppError('invalid', 'Cannot choose a script: the parameter "mac" is not a MAC address')
  return parsed.data
}

/** `memory_kib=NUMBER`, one fact a line; what is unknown is ignored. */
function factsIn(body: string): { memoryKiB?: number } {
  const memory = /^memory_kib=(\d{1,15})$/m.exec(body)?.[1]
  return memory === undefined ? {} : { memoryKiB: Number(memory) }
}

async function readBody(request: IncomingMessage, maxBytes = MAX_BODY_BYTES): Promise<Buffer> {
  const parts: Buffer[] = []
  let length = 0
  for await (const part of request as AsyncIterable<Buffer>) {
    length += part.length
    if (length > maxBytes) throw new AppError('invalid', `Cannot read the report: it is over ${maxBytes} bytes`)
    parts.push(part)
  }
  return Buffer.concat(parts)
}
