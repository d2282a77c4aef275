/** What the server and its threads say to each other. */
import type { StopThread } from '../threads.ts'
import type { Touched } from './touches.ts'

/** The files that an export is made of. */
export interface DeviceFiles {
  /** A stored extent map (`formats/extent-map.ts`), its literal bytes behind it. */
  readonly mapPath: string
  /** In the order of the map's blobs. */
  readonly blobPaths: readonly string[]
  /** Whether to note what is read for the first time. */
  readonly record: boolean
}

/** What a thread needs to begin. */
export interface ThreadOrders {
  readonly address: string
  readonly port: number
  readonly handshakeTimeoutMs: number
  readonly stallTimeoutMs: number
}

/** The answer to who asks for an export. */
export type Verdict =
  | { readonly kind: 'device'; readonly files: DeviceFiles }
  | { readonly kind: 'unknown' }
  /** Too many connections, whatever the name was. */
  | { readonly kind: 'full' }

/** Of one token in one thread, or in all. */
export interface TokenCounts {
  readonly token: string
  readonly connections: number
  readonly requests: number
  readonly bytesSent: number
}

export type ToThread =
  | { readonly kind: 'verdict'; readonly ask: number; readonly verdict: Verdict }
  /** End this connection: a newer one of its token takes its place. */
  | { readonly kind: 'end'; readonly connection: number }
  | { readonly kind: 'drop'; readonly token: string }
  /** Drop, and throw away what was counted and noted. */
  | { readonly kind: 'forget'; readonly token: string }
  | { readonly kind: 'touched'; readonly ask: number; readonly token: string }
  | { readonly kind: 'counts'; readonly ask: number }
  | StopThread

export type FromThread =
  /** A client asks for an export; with `isSession` it is served as soon as the answer is a device. */
  | {
      readonly kind: 'ask'
      readonly ask: number
      readonly token: string
      readonly address: string
      readonly connection: number
      readonly isSession: boolean
    }
  /** A connection that had become a session is over. */
  | { readonly kind: 'ended'; readonly connection: number }
  | { readonly kind: 'touched'; readonly ask: number; readonly touched: Touched }
  | { readonly kind: 'counts'; readonly ask: number; readonly counts: readonly TokenCounts[] }
