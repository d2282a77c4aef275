/** Durations and sizes in the words that docker prints. */

const MINUTE = 60
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

/** A duration to about two digits, e.g. `About a minute`, `3 weeks`. @param ms milliseconds; less than none counts as none */
export function humanDuration(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000))
  const hours = Math.floor(seconds / HOUR + 0.5)
  if (seconds < 1) return 'Less than a second'
  if (seconds === 1) return '1 second'
  if (seconds < MINUTE) return `${seconds} seconds`
  if (seconds < 2 * MINUTE) return 'About a minute'
  if (seconds < HOUR) return `${Math.floor(seconds / MINUTE)} minutes`
  if (hours === 1) return 'About an hour'
  if (hours < 48) return `${hours} hours`
  if (hours < 24 * 14) return `${Math.floor(hours / 24)} days`
  if (hours < 24 * 60) return `${Math.floor(hours / 24 / 7)} weeks`
  if (hours < 24 * 365 * 2) return `${Math.floor(hours / 24 / 30)} months`
  return `${Math.floor(seconds / DAY / 365)} years`
}

/** `5 minutes ago`. */
export function ago(atMs: number, nowMs: number): string {
  return `${humanDuration(nowMs - atMs)} ago`
}

/** A size in decimal units with `digits` significant digits, e.g. `7.8MB`. */
export function humanSize(sizeBytes: number, digits = 3): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB']
  let value = sizeBytes
  let unit = 0
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000
    unit++
  }
  const shown = Number(value.toPrecision(digits))
  // 999.9 rounded to three digits is 1000 of the smaller unit.
  if (shown >= 1000 && unit < units.length - 1) return `${shown / 1000}${units[unit + 1]}`
  return `${shown}${units[unit]}`
}

/** A time as docker's tables show it: `2026-11-21 06:17:00 +0000 UTC`. */
export function createdAtText(atMs: number): string {
  return `${new Date(atMs).toISOString().slice(0, 19).replace('T', ' ')} +0000 UTC`
}

/** RFC 3339 with nine digits, as docker prints before a line of a log. */
export function timestamp(atMs: number): string {
  return new Date(atMs).toISOString().replace('Z', '000000Z')
}

/** Seconds since `fromMs` with one digit, e.g. `12.3s`. */
export function elapsed(fromMs: number, atMs: number): string {
  return `${(Math.max(0, atMs - fromMs) / 1000).toFixed(1)}s`
}

/** The first 12 digits of an id, without `sha256:`. */
export function shortId(id: string): string {
  return id.replace(/^sha256:/, '').slice(0, 12)
}

/** At most `length` characters, the last of them `…` where something is left out. */
export function ellipsis(text: string, length: number): string {
  const characters = Array.from(text)
  return characters.length <= length ? text : `${characters.slice(0, length - 1).join('')}…`
}
