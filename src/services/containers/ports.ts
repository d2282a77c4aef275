/** What the container service needs of the outside. */
import type { Container, ContainerAction } from '../../model/container.ts'
import type { NewEvent } from '../../model/event.ts'

/** Fields to set; one that is `undefined` is taken away. */
export type ContainerPatch = { readonly [K in keyof Container]?: Container[K] | undefined }

/**
 * What to change, or a function that decides it from the record as it is inside the transaction; `undefined` leaves it as it is.
 * Whatever depends on the record is decided so, never from what was read before.
 */
export type ContainerChange = ContainerPatch | ((seen: Container) => ContainerPatch | undefined)

/** Each change is one transaction: the new state, and the events that tell of it. */
export interface ContainerStore {
  /** @throws {AppError} conflict when the name is taken; exhausted when the machine is, or is known no more */
  insert(container: Container, event: NewEvent): Promise<void>
  /**
   * Moves a container to the state that `action` leads to. A container that enters a live state with a machine takes it.
   * @returns the container as stored, or undefined when `action` means nothing in the state that it is in
   * @throws {AppError} exhausted when its machine has another live container
   */
  transition(
    containerId: string,
    action: ContainerAction,
    change: ContainerChange,
    events: NewEvent | readonly NewEvent[],
  ): Promise<Container | undefined>
  /** Changes fields other than the state. @returns undefined when there is no such container or nothing to change */
  patch(
    containerId: string,
    change: ContainerChange,
    events?: NewEvent | readonly NewEvent[],
  ): Promise<Container | undefined>
  /** @throws {AppError} conflict when it is live */
  remove(containerId: string, event: NewEvent): Promise<void>
  byId(containerId: string): Promise<Container | undefined>
  list(): Promise<Container[]>
}

/** Output of a workload or console, kept by exact byte offsets. */
export interface LogStore {
  /** Appends bytes that start at `offset` of the stream; what is already there is skipped. Durable when it returns. */
  append(containerId: string, stream: LogStream, offset: number, bytes: Uint8Array): Promise<void>
  /** Writes down, between the bytes of a stream, what is to be known of them: a gap, its reason. One line of ASCII, at most 1000 bytes. */
  note(containerId: string, stream: LogStream, text: string): Promise<void>
  /** How many bytes of a stream are kept: where the next ones belong. */
  size(containerId: string, stream: LogStream): Promise<number>
  /** Chunks in order of arrival, from `sinceMs` on; with `follow` it goes on until `signal` aborts or the log is closed. */
  read(containerId: string, query: LogQuery): AsyncIterable<LogPiece>
  /** Says that nothing more comes: readers that follow end. */
  close(containerId: string): void
  /** Undoes `close`: the container starts again. */
  reopen(containerId: string): void
  remove(containerId: string): Promise<void>
}

export type LogStream = 'stdout' | 'stderr' | 'console'

export interface LogQuery {
  readonly streams: readonly LogStream[]
  readonly sinceMs?: number
  /** Only the last so many lines of what is there now. */
  readonly tailLines?: number
  readonly follow?: boolean
  readonly signal?: AbortSignal
}

export interface LogPiece {
  readonly atMs: number
  /** `note`: a line that was written down between the bytes. */
  readonly stream: LogStream | 'note'
  readonly bytes: Uint8Array
}

/** A session with the agent on a machine, over SSH with pinned keys. */
export interface GuestSession extends AsyncDisposable {
  /** Aborts when the connection is gone. */
  readonly closed: AbortSignal
  /** Runs one command of the agent. The words reach it as they are. */
  run(
    words: readonly string[],
    options?: { tty?: { rows: number; columns: number; term: string } },
  ): Promise<GuestProcess>
}

export interface GuestProcess extends AsyncDisposable {
  readonly stdout: AsyncIterable<Uint8Array>
  readonly stderr: AsyncIterable<Uint8Array>
  /** Resolves when the peer has taken the bytes. */
  write(bytes: Uint8Array): Promise<void>
  endInput(): void
  resize(rows: number, columns: number): void
  /** The exit status; 128+n when a signal ended it; undefined when the connection went away before. */
  readonly exit: Promise<number | undefined>
}

export interface GuestPort {
  /** @throws {AppError} unreachable, or bad_peer when the host key is another one */
  connect(address: GuestAddress, signal: AbortSignal): Promise<GuestSession>
}

export interface GuestAddress {
  readonly ip: string
  readonly port: number
  /** The public host key in SSH wire form; no other one is accepted. */
  readonly hostKey: Uint8Array
  /** The client's private key in OpenSSH form. */
  readonly clientKey: string
}
