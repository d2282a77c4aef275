/** What media in machines need of the outside. */
import type { NewEvent } from '../../model/event.ts'
import type { MediaOptions, MediumKind } from '../../model/media.ts'
import type { MadeOf } from './media.ts'

/** What an attached medium is made of, so that another daemon makes the same again. */
export type AttachedSource =
  | { readonly made: MadeOf; readonly options: MediaOptions; readonly kit: string }
  /** A file that was sent, kept under the medium's id. */
  | { readonly file: string }

/** A medium in the drive of a machine's BMC, or on its way there or out. Written before the BMC is asked. */
export interface Attachment {
  readonly id: string
  readonly machineId: string
  /** The container that boots from it; it goes when that runs, or has failed. */
  readonly containerId?: string
  /** 32 random bytes in base64url: the only name under which it is served. */
  readonly token: string
  readonly source: AttachedSource
  /** What it was made of, for people. */
  readonly of: string
  /** Last part of its URL. */
  readonly name: string
  readonly drive: string
  readonly kind: MediumKind
  readonly isWritable: boolean
  readonly sizeBytes: number
  /** Stands for its bytes. */
  readonly etag: string
  readonly state: 'attaching' | 'attached' | 'detaching'
  /** Milliseconds since the epoch, as all times. */
  readonly createdAt: number
  readonly expiresAt: number
  /** When it was first asked for. */
  readonly readAt?: number
}

/** Each method that changes something does so in one transaction with the event. */
export interface AttachmentStore {
  /** @throws {AppError} conflict when the machine has a medium already */
  begin(attachment: Attachment): Promise<void>
  /** Changes one that is not over; undefined events none. */
  patch(id: string, change: Partial<Pick<Attachment, 'state' | 'readAt'>>, event?: NewEvent): Promise<void>
  /** It is out of the drive, or never came into it. */
  end(id: string, event: NewEvent): Promise<void>
  /** Those that are not over. */
  open(): Promise<Attachment[]>
  openOf(machineId: string): Promise<Attachment | undefined>
  byToken(token: string): Promise<Attachment | undefined>
}

/** Files that were sent to be attached. */
export interface MediumFiles {
  /** Takes a file over, which outlasts a power cut when this returns. @returns where it is, and its size in bytes */
  adopt(id: string, from: string): Promise<{ path: string; sizeBytes: number }>
  path(id: string): string
  remove(id: string): Promise<void>
  /** Removes all but these. */
  tidy(ids: ReadonlySet<string>): Promise<void>
}
