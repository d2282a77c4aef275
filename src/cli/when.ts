/** Times that a person gives: how long ago, a date, or seconds since the epoch, as docker reads `--since`. */
import { AppError } from '../base/errors.ts'

const UNIT_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
}
const PART = /(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)/gy
const DATE = /^\d{4}-\d{2}-\d{2}(T\d{2}(:\d{2}(:\d{2}(\.\d{1,9})?)?)?)?(Z|[+-]\d{2}:\d{2})?$/

/**
 * @returns milliseconds since the epoch
 * @throws {AppError} invalid
 */
export function parseWhen(text: string, nowMs: number): number {
  const durationMs = parseDuration(text)
  if (durationMs !== undefined) return Math.round(nowMs - durationMs)
  if (/^\d+(\.\d{1,9})?$/.test(text)) return Math.round(Number(text) * 1000)
  const atMs = DATE.test(text) ? parseDate(text) : Number.NaN
  if (Number.isNaN(atMs))
    throw new AppError(
      'invalid',
      `Cannot read time "${text}": it is neither a duration such as 10m or 1h30m, nor a date such as 2026-01-02T15:04:05Z, nor seconds since the epoch`,
    )
  return atMs
}

/** Milliseconds of a Go duration such as `1h30m` or `-1.5s`; undefined when it is not one. */
export function parseDuration(text: string): number | undefined {
  const sign = text.startsWith('-') ? -1 : 1
  const body = text.replace(/^[+-]/, '')
  if (body === '') return undefined
  let sumMs = 0
  PART.lastIndex = 0
  for (let at = 0; at < body.length; at = PART.lastIndex) {
    const part = PART.exec(body)
    if (!part) return undefined
    sumMs += Number(part[1]) * UNIT_MS[part[2]!]!
  }
  return sign * sumMs
}

/** Without a zone a date is local time, a day alone as well. */
function parseDate(text: string): number {
  const zone = /(Z|[+-]\d{2}:\d{2})$/.exec(text)?.[0] ?? ''
  const [day, clock = ''] = text.slice(0, text.length - zone.length).split('T', 2)
  const [hour = '', minute = '00', second = '00'] = clock.split(':')
  return Date.parse(`${day}T${hour === '' ? '00' : hour}:${minute}:${second}${zone}`)
}
