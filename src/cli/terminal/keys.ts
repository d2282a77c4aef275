/** Keys that are for us and not for the other side: docker's detach keys, and ssh's `~` at the start of a line. Pure: bytes in, bytes out. */
import { AppError } from '../../base/errors.ts'

/** What a person asks for by an escape. */
export type Escape = 'help' | 'break' | 'write'

export interface Keys {
  /** What goes to the other side. */
  readonly bytes: Uint8Array
  /** The person left; what follows is dropped. */
  readonly isLeft: boolean
  /** What is asked for once `bytes` are sent. */
  readonly escape?: Escape
  /** What was typed after the escape: to be fed. */
  readonly rest?: Uint8Array
}

export interface KeyFilter {
  feed(bytes: Uint8Array): Keys
}

export const DEFAULT_DETACH_KEYS = 'ctrl-p,ctrl-q'
const SPECIAL = '@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_'

/**
 * The bytes of a key sequence: single characters and `ctrl-X` (X a letter or one of `@ [ \ ] ^ _`), separated by commas.
 * @throws {AppError} invalid
 */
export function parseDetachKeys(text: string): Uint8Array {
  const bytes = text.split(',').map((key) => {
    const control = /^ctrl-(.)$/i.exec(key)?.[1]
    const code = control === undefined ? key.codePointAt(0) : SPECIAL.indexOf(control.toUpperCase())
    if ((control === undefined && key.length !== 1) || code === undefined || code < 0 || code > 127)
      throw new AppError('invalid', `Cannot use detach keys "${text}": "${key}" is neither a character nor ctrl-LETTER`)
    return code
  })
  return Uint8Array.from(bytes)
}

/** Leaves when `keys` were typed one after the other; anything else goes through, late by what might have been the start. */
export function detachFilter(keys: Uint8Array): KeyFilter {
  let matched = 0
  return {
    feed(bytes) {
      const out: number[] = []
      for (const byte of bytes) {
        if (byte === keys[matched]) {
          matched++
          if (matched === keys.length) return { bytes: Uint8Array.from(out), isLeft: true }
          continue
        }
        // What was held back as a possible start is passed on; this byte may begin anew.
        out.push(...keys.subarray(0, matched))
        matched = byte === keys[0] ? 1 : 0
        if (matched === 0) out.push(byte)
      }
      return { bytes: Uint8Array.from(out), isLeft: false }
    },
  }
}

const TILDE = 0x7e
const CR = 0x0d
const LF = 0x0a

/** What follows a tilde on a machine's console. */
export const CONSOLE_ESCAPES: ReadonlyMap<string, Escape> = new Map([
  ['?', 'help'],
  ['B', 'break'],
  ['w', 'write'],
])

/**
 * As ssh (ssh(1), ESCAPE CHARACTERS): after a newline, or at the start, `~.` leaves, `~~` sends one tilde, and `~` with one of
 * `escapes` asks for something. Any other character after a tilde goes through with it.
 */
export function tildeFilter(escapes: ReadonlyMap<string, Escape> = new Map()): KeyFilter {
  let isLineStart = true
  let isEscaped = false
  return {
    feed(bytes) {
      const out: number[] = []
      for (const [at, byte] of bytes.entries()) {
        if (isEscaped) {
          isEscaped = false
          if (byte === 0x2e) return { bytes: Uint8Array.from(out), isLeft: true }
          const escape = escapes.get(String.fromCharCode(byte))
          if (escape) {
            // Another escape may follow at once.
            isLineStart = true
            return { bytes: Uint8Array.from(out), isLeft: false, escape, rest: bytes.subarray(at + 1) }
          }
          out.push(TILDE)
          if (byte === TILDE) {
            isLineStart = false
            continue
          }
        } else if (isLineStart && byte === TILDE) {
          isEscaped = true
          isLineStart = false
          continue
        }
        out.push(byte)
        isLineStart = byte === CR || byte === LF
      }
      return { bytes: Uint8Array.from(out), isLeft: false }
    },
  }
}

/** Lets everything through. */
export const noKeys: KeyFilter = { feed: (bytes) => ({ bytes, isLeft: false }) }
