/** What the TFTP server and its threads say to each other. */
import type { StopThread } from '../threads.ts'
import type { TftpEvent } from './listener.ts'

/** What a thread needs to begin. */
export interface TftpOrders {
  readonly address: string
  readonly port: number
}

/** Undefined: there is no such file. `silence`: the client is told nothing at all. */
export type Answered = Uint8Array | 'silence' | undefined

export type FromTftpThread =
  /** Which bytes have that name, for that client? */
  | { readonly kind: 'ask'; readonly ask: number; readonly name: string; readonly address: string }
  | { readonly kind: 'event'; readonly event: TftpEvent }

export type ToTftpThread =
  | { readonly kind: 'file'; readonly ask: number; readonly bytes: Answered }
  /** The file could not be had, for that reason. */
  | { readonly kind: 'no-file'; readonly ask: number; readonly why: string }
  | StopThread
