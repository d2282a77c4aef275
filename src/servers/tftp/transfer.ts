/**
 * One read transfer as a pure machine: acknowledgements and time-outs go in, what to send comes out. Blocks are counted from 1
 * without end here; on the wire they are 16 bits that wrap (65535, 0, 1).
 */
import type { TftpOptions } from '../../wire/tftp/packet.ts'

/** What the two sides agreed on: RFC 2348, RFC 2349, RFC 7440. */
export interface Terms {
  readonly blockBytes: number
  readonly windowBlocks: number
  readonly timeoutMs: number
  /** To be sent as OACK; empty: the client asked for none, and data goes at once. */
  readonly accepted: TftpOptions
}

export interface Limits {
  /** No block makes a packet that has to be fragmented. */
  readonly maxBlockBytes: number
  readonly maxWindowBlocks: number
}

export const DEFAULT_LIMITS: Limits = { maxBlockBytes: 1468, maxWindowBlocks: 64 }

const DEFAULT_BLOCK_BYTES = 512
const DEFAULT_TIMEOUT_MS = 1000

export type Action =
  | { readonly kind: 'oack' }
  /** Send the blocks `from` to `to`, both included. */
  | { readonly kind: 'data'; readonly from: number; readonly to: number }
  | { readonly kind: 'wait' }
  | { readonly kind: 'done' }
  | { readonly kind: 'give-up' }

/**
 * Takes what we can of what the client asks for. Options that we do not know, or values that are none, are left out of the OACK,
 * which is how they are refused (RFC 2347).
 */
export function negotiate(asked: TftpOptions, sizeBytes: number, limits: Limits = DEFAULT_LIMITS): Terms {
  const accepted = new Map<string, string>()
  const take = (name: string, least: number, most: number, limit: number): number | undefined => {
    const text = asked.get(name)
    if (text === undefined || !/^\d{1,9}$/.test(text)) return undefined
    const value = Number(text)
    if (value < least || value > most) return undefined
    const taken = Math.min(value, limit)
    accepted.set(name, String(taken))
    return taken
  }
  const blockBytes = take('blksize', 8, 65_464, limits.maxBlockBytes) ?? DEFAULT_BLOCK_BYTES
  const windowBlocks = take('windowsize', 1, 65_535, limits.maxWindowBlocks) ?? 1
  // A time-out must be accepted as it is or not at all (RFC 2349).
  const timeoutSeconds = take('timeout', 1, 255, 255)
  if (asked.has('tsize')) accepted.set('tsize', String(sizeBytes))
  return {
    blockBytes,
    windowBlocks,
    timeoutMs: timeoutSeconds === undefined ? DEFAULT_TIMEOUT_MS : timeoutSeconds * 1000,
    accepted,
  }
}

/** Tries of one window before the client is given up, once it has shown that it is there. */
const MAX_TRIES = 6
/** Tries before its first acknowledgement: the source may be forged, and its owner is not to be flooded. */
const MAX_FIRST_TRIES = 4

export interface Transfer {
  start(): Action
  /** @param block the 16 bits of the packet */
  onAck(block: number): Action
  onTimeout(): Action
  /** How long to wait for an acknowledgement now, milliseconds. */
  waitMs(): number
}

export function createTransfer(sizeBytes: number, terms: Terms): Transfer {
  // A file that fills its last block is ended by an empty one (RFC 1350 §6).
  const lastBlock = Math.floor(sizeBytes / terms.blockBytes) + 1
  const hasOack = terms.accepted.size > 0
  /** The last block that was acknowledged; -1: not even the OACK. */
  let acked = hasOack ? -1 : 0
  let sent = acked
  let tries = 1
  let hasHeard = false
  let hasRepeated = false

  const sendWindow = (): Action => {
    if (acked < 0) return { kind: 'oack' }
    const to = Math.min(acked + terms.windowBlocks, lastBlock)
    sent = Math.max(sent, to)
    return { kind: 'data', from: acked + 1, to }
  }

  return {
    start: sendWindow,
    onAck(block) {
      if (acked < 0) {
        if (block !== 0) return { kind: 'wait' }
        acked = 0
      } else {
        const ahead = (block - (acked & 0xffff) + 0x10000) & 0xffff
        if (ahead > sent - acked) return { kind: 'wait' }
        if (ahead === 0) {
          // Lock-step: a duplicate is never answered (RFC 1123 §4.2.3.1). In a window it tells of a lost block, once (RFC 7440 §4).
          if (terms.windowBlocks === 1 || hasRepeated || sent === acked) return { kind: 'wait' }
          hasRepeated = true
          return sendWindow()
        }
        acked += ahead
      }
      hasHeard = true
      hasRepeated = false
      tries = 1
      return acked === lastBlock ? { kind: 'done' } : sendWindow()
    },
    onTimeout() {
      if (tries >= (hasHeard ? MAX_TRIES : MAX_FIRST_TRIES)) return { kind: 'give-up' }
      tries++
      return sendWindow()
    },
    waitMs: () => Math.min(terms.timeoutMs * 2 ** (tries - 1), Math.max(8000, terms.timeoutMs)),
  }
}
