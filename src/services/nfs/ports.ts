/** What NFS roots need of the outside. drivers/nfs offers it. */
import type { Tree } from '../../formats/tree/tree.ts'

/** The root of one container, as it is written beside its files. */
export interface NfsRoot {
  readonly containerId: string
  /** 1 to 65535. A machine's file handles have it in them, so it stays what it is for as long as the root is there. */
  readonly exportId: number
  /** Who may mount it, and under which name; nobody while the container has no machine that boots or runs. */
  readonly open?: Opening
  /** All access times were set to the epoch, so that later ones tell what the container has read. */
  readonly isReset?: true
}

export interface Opening {
  /** IPv4 address of the machine. */
  readonly address: string
  /** 32 random bytes in base64url, new for each boot: the path under which the server shows it. */
  readonly name: string
}

export interface RootStore {
  list(): Promise<readonly NfsRoot[]>
  /** Where the files are. */
  pathOf(containerId: string): string
  /**
   * Lays out the files of an image, owners, modes, times and devices included. It is there whole or not at all.
   * @throws {AppError} unsupported when this process may not
   */
  make(root: NfsRoot, tree: Tree, signal: AbortSignal): Promise<void>
  /** Writes the record of a root that is there. */
  write(root: NfsRoot): Promise<void>
  /**
   * Sets the access time of every regular file to the epoch and leaves its other times as they are. Nobody may use the root meanwhile.
   * @throws {AppError} unsupported when its file system does not record when files are read
   */
  resetAccessTimes(containerId: string, signal: AbortSignal): Promise<void>
  /** Regular files whose access time is later than the epoch, relative to the root, in no order. Names are bytes. */
  accessed(containerId: string, signal: AbortSignal): Promise<readonly Uint8Array[]>
  /** Does nothing where there is none. Nobody may use it meanwhile. */
  remove(containerId: string): Promise<void>
}

export interface NfsExport extends Opening {
  readonly exportId: number
  readonly path: string
}

export interface NfsServer {
  /**
   * Shows these and nothing else. Machines that use what stays are not disturbed. Starts the server when there is need of one.
   * @throws {AppError} unsupported, timeout, invalid; it is tried again by itself
   */
  serve(exports: readonly NfsExport[]): Promise<void>
  /** The version of NFS that it speaks without fault. Known once something is shown. */
  version(): NfsVersion
}

export type NfsVersion = '4.1' | '4.2'
