/** Keys that leave a session: docker's detach keys, and ssh's `~.` at the start of a line. Pure: bytes in, bytes out. */
import { AppError } from '../../base/errors.ts'

export interface KeyFilter {
  /** What of `bytes` goes to the other side, and whether the person left. What follows the last key is dropped. */
  feed(bytes: Uint8Array): { readonly bytes: Uint8Array; readonly isLeft: boolean }
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

/** As ssh: after a newline (or at the start) `~.` leaves and `~~` sends one tilde. */
export function tildeFilter(): KeyFilter {
  let isLineStart = true
  let isEscaped = false
  return {
    feed(bytes) {
      const out: number[] = []
      for (const byte of bytes) {
        if (isEscaped) {
          isEscaped = false
          if (byte === 0x2e) return { bytes: Uint8Array.from(out), isLeft: true }
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
