/**
 * Requests to a BMC and its answers as ipmi-raw(8) of FreeIPMI reads and writes them, one a line, bytes in hexadecimal: of a request LUN,
 * network function, command and data; of an answer `rcvd:`, command, completion code and data.
 */
import { WireError } from '../../base/errors.ts'
import type { IpmiResponse } from './message.ts'

/** Longer than any answer over a system interface (§9: 255 bytes). */
const MAX_LINE = 1024

/** With its newline. */
export function renderRawRequest(netFn: number, command: number, data: Uint8Array): string {
  return `${[0, netFn, command, ...data].map((byte) => byte.toString(16).padStart(2, '0')).join(' ')}\n`
}

/** @throws {WireError} when the line is none, or answers another command */
export function parseRawAnswer(line: string, command: number): Pick<IpmiResponse, 'completion' | 'data'> {
  const what = 'answer of the BMC'
  if (line.length > MAX_LINE) throw new WireError(what, `${line.length} characters, at most ${MAX_LINE} are read`)
  const text = /^rcvd:((?: [0-9A-F]{2})+) *$/.exec(line)?.[1]
  if (text === undefined) throw new WireError(what, 'it is not "rcvd:" and bytes in hexadecimal')
  const [to, completion, ...data] = text
    .trim()
    .split(' ')
    .map((byte) => Number.parseInt(byte, 16))
  if (to !== command) throw new WireError(what, `it is for command ${String(to)}, not ${command}`)
  if (completion === undefined) throw new WireError(what, 'it has no completion code')
  return { completion, data: Uint8Array.from(data) }
}
