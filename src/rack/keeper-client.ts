/** Speaking to the keeper of a rack from outside its network: a unix socket crosses namespaces. */
import { request as httpRequest } from 'node:http'
import type { Duplex } from 'node:stream'
import { text } from 'node:stream/consumers'
import { AppError, systemCode } from '../base/errors.ts'
import type { KeeperStatus } from './control-server.ts'

const ANSWER_MS = 20_000

/** The state of the keeper, or undefined when none answers. */
export async function askStatus(socketPath: string): Promise<KeeperStatus | undefined> {
  try {
    // The keeper is of our own version: its answer is taken as it is.
    return JSON.parse(await ask(socketPath, 'GET', '/')) as KeeperStatus
  } catch (error) {
    if (error instanceof AppError && error.code === 'unreachable') return undefined
    throw error
  }
}

/**
 * One request; its answer as text.
 * @throws {AppError} unreachable when no keeper listens, timeout when it does not answer; what the keeper says otherwise
 */
export async function ask(
  socketPath: string,
  method: 'GET' | 'POST',
  path: string,
  { deadlineMs = ANSWER_MS, body: sent }: { readonly deadlineMs?: number; readonly body?: unknown } = {},
): Promise<string> {
  const { status, body } = await new Promise<{ status: number; body: string }>((resolve, reject) => {
    const request = httpRequest({ socketPath, method, path, agent: false, signal: AbortSignal.timeout(deadlineMs) })
    request.on('error', reject)
    request.once('response', (response) => {
      text(response).then((whole) => resolve({ status: response.statusCode ?? 0, body: whole }), reject)
    })
    request.end(sent === undefined ? undefined : JSON.stringify(sent))
  }).catch((cause: unknown) => {
    throw unreachable(socketPath, cause)
  })
  if (status === 200) return body
  throw keeperError(body)
}

/**
 * The serial line of a machine as a stream, both ways.
 * @param fromByte where in the record to begin; undefined for only what comes from now on
 */
export async function askConsole(socketPath: string, machine: string, fromByte?: number): Promise<Duplex> {
  const path = `/machines/${encodeURIComponent(machine)}/console${fromByte === undefined ? '' : `?from=${fromByte}`}`
  const headers = { connection: 'upgrade', upgrade: 'raw' }
  return await new Promise<Duplex>((resolve, reject) => {
    const request = httpRequest({ socketPath, path, headers, agent: false })
    request.on('error', (cause) => reject(unreachable(socketPath, cause)))
    request.once('response', (response) => {
      response.resume()
      reject(new AppError('not_found', `Cannot attach to "${machine}": the rack has no such machine`))
    })
    request.once('upgrade', (_response, socket, head) => {
      if (head.length > 0) socket.unshift(head)
      resolve(socket)
    })
    request.end()
  })
}

/** Resolves when the keeper that listens on the socket has ended, or when none does. */
export async function untilGone(socketPath: string, signal?: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    const request = httpRequest({
      socketPath,
      path: '/alive',
      agent: false,
      ...(signal === undefined ? {} : { signal }),
    })
    request.on('error', () => resolve())
    request.once('response', (response) => {
      response.once('close', () => resolve())
      response.once('error', () => resolve())
      response.resume()
    })
    request.end()
  })
}

function unreachable(socketPath: string, cause: unknown): AppError {
  const doing = `Cannot speak to the rack at "${socketPath}"`
  if (['ENOENT', 'ECONNREFUSED', 'ECONNRESET'].includes(systemCode(cause) ?? ''))
    return new AppError('unreachable', `${doing}: its keeper does not run; run \`rack up\``, { cause })
  return new AppError('timeout', `${doing}: its keeper does not answer; run \`rack down\``, { cause })
}

function keeperError(body: string): AppError {
  try {
    const { code, message } = JSON.parse(body) as { code: ConstructorParameters<typeof AppError>[0]; message: string }
    return new AppError(code, message)
  } catch {
    return new AppError('internal', `Cannot understand the keeper: "${body.slice(0, 200)}"`)
  }
}
