/** QEMU's machine protocol (QMP, "QEMU Machine Protocol Specification"): commands with their answers, and why QEMU ended. */
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { AppError } from '../base/errors.ts'

export type QmpArguments = Readonly<Record<string, unknown>>

export interface Qmp {
  /** `reason` of the SHUTDOWN event (`guest-shutdown`, `guest-reset`, …), or undefined while none came. */
  readonly shutdownReason: string | undefined
  /**
   * Sends a command and waits for its answer; QEMU queues it until its machine is set up.
   * @throws {AppError} `conflict` with QEMU's words when it declines, or when it ends first; `timeout`
   */
  ask(command: string, args?: QmpArguments): Promise<void>
  /** Removes a device and waits until QEMU has let go of what it used. @throws {AppError} as `ask` */
  removeDevice(id: string): Promise<void>
}

/** One line from QEMU, as far as it is of use here. */
export type QmpLine =
  | { readonly kind: 'answer'; readonly id: number; readonly error: string | undefined }
  | { readonly kind: 'shutdown'; readonly reason: string }
  | { readonly kind: 'removed'; readonly device: string }

interface Waiting {
  resolve(): void
  reject(error: AppError): void
}

/** A host with many machines that all start lets QEMU wait. */
const ANSWER_MS = 30_000
const ERROR_TEXT_MAX = 300

export function openQmp(input: Readable, output: Writable, deadlineMs = ANSWER_MS): Qmp {
  let shutdownReason: string | undefined
  let isOver = false
  let lastId = 0
  const waiting = new Map<number | string, Waiting>()
  const settle = (key: number | string, how: (one: Waiting) => void): void => {
    const one = waiting.get(key)
    waiting.delete(key)
    if (one !== undefined) how(one)
  }
  output.on('error', () => output.destroy())
  input.on('error', () => input.destroy())
  createInterface({ input })
    .on('line', (text) => {
      const line = parseQmpLine(text)
      if (line?.kind === 'shutdown') shutdownReason ??= line.reason
      if (line?.kind === 'removed') settle(line.device, ({ resolve }) => resolve())
      if (line?.kind !== 'answer') return
      const { error } = line
      settle(line.id, ({ resolve, reject }) => (error === undefined ? resolve() : reject(declined(error))))
    })
    .on('close', () => {
      isOver = true
      for (const key of waiting.keys()) settle(key, ({ reject }) => reject(declined('it has ended')))
    })

  async function until(key: number | string): Promise<void> {
    if (isOver) throw declined('it has ended')
    await new Promise<void>((resolve, reject) => {
      const late = new AppError('timeout', `Cannot command QEMU: no answer in ${deadlineMs} ms`)
      const timer = setTimeout(() => settle(key, (one) => one.reject(late)), deadlineMs)
      waiting.set(key, {
        resolve() {
          clearTimeout(timer)
          resolve()
        },
        reject(error) {
          clearTimeout(timer)
          reject(error)
        },
      })
    })
  }

  function ask(execute: string, args: QmpArguments = {}): Promise<void> {
    const id = ++lastId
    const answered = until(id)
    if (!isOver) output.write(`${JSON.stringify({ execute, arguments: args, id })}\n`)
    return answered
  }

  // Leaves the negotiation; what is sent after it is answered once the machine is set up.
  ask('qmp_capabilities').catch(() => undefined)
  return {
    get shutdownReason() {
      return shutdownReason
    },
    ask,
    async removeDevice(id) {
      const removed = until(id)
      removed.catch(() => undefined)
      try {
        await ask('device_del', { id })
      } catch (cause) {
        settle(id, ({ resolve }) => resolve())
        throw cause
      }
      await removed
    },
  }
}

/** Reads a line; undefined for what is of no use here, and for what is no line of QMP. */
export function parseQmpLine(text: string): QmpLine | undefined {
  const message = asObject(parseJson(text))
  if (message === undefined) return undefined
  const data = asObject(message['data'])
  if (message['event'] === 'SHUTDOWN') return { kind: 'shutdown', reason: textOr('unknown', data?.['reason']) }
  if (message['event'] === 'DEVICE_DELETED') {
    const device = data?.['device']
    return typeof device === 'string' ? { kind: 'removed', device } : undefined
  }
  const { id } = message
  if (!isCount(id) || !('return' in message || 'error' in message)) return undefined
  const error = 'error' in message ? textOr('it does not say why', asObject(message['error'])?.['desc']) : undefined
  return { kind: 'answer', id, error: error?.slice(0, ERROR_TEXT_MAX) }
}

function declined(why: string): AppError {
  return new AppError('conflict', `Cannot command QEMU: ${why}`)
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value)
}

function textOr(otherwise: string, value: unknown): string {
  return typeof value === 'string' ? value : otherwise
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function asObject(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
}
