/** QEMU's machine protocol (QMP) as far as a rack needs it: tell the guest to power off, and learn why QEMU ended. */
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'

export interface Qmp {
  /** `reason` of the SHUTDOWN event (`guest-shutdown`, `guest-reset`, …), or undefined while none came. */
  readonly shutdownReason: string | undefined
  /** Sends a command and does not wait: QEMU queues it until its greeting was answered. */
  execute(command: string): void
}

export function openQmp(input: Readable, output: Writable): Qmp {
  let shutdownReason: string | undefined
  output.on('error', () => output.destroy())
  input.on('error', () => input.destroy())
  createInterface({ input }).on('line', (line) => {
    shutdownReason ??= reasonOf(line)
  })
  output.write('{"execute":"qmp_capabilities"}\n')
  return {
    get shutdownReason() {
      return shutdownReason
    },
    execute(command) {
      output.write(`${JSON.stringify({ execute: command })}\n`)
    },
  }
}

/** The reason in a SHUTDOWN event; undefined for any other line. */
export function reasonOf(line: string): string | undefined {
  if (!line.includes('"SHUTDOWN"')) return undefined
  try {
    const message: unknown = JSON.parse(line)
    if (typeof message !== 'object' || message === null || !('event' in message) || message.event !== 'SHUTDOWN')
      return undefined
    const data = 'data' in message ? message.data : undefined
    return typeof data === 'object' && data !== null && 'reason' in data ? String(data.reason) : 'unknown'
  } catch {
    return undefined
  }
}
