/**
 * A file system as it is in memory and on the platter at once: what was written is on the platter when its file was synced, a name when
 * its directory was (fsync(2)). It can be asked at any moment what a power cut would leave. As strict as POSIX lets a file system be,
 * stricter than those of Linux are.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** What becomes of what nobody synced. */
export type Survival =
  /** All of it is lost. */
  | 'nothing'
  /** The process was killed and the computer went on. */
  | 'everything'
  /** Some pages of 4096 bytes, each as it was after any of its writes; some changes of names, in order. */
  | 'some pages'
  /** As before, torn at sectors of 512 bytes. */
  | 'some sectors'

const UNIT_BYTES = { 'some pages': 4096, 'some sectors': 512 } as const

export class ModelFile {
  readonly kind = 'file'
  #durable: Uint8Array = new Uint8Array(0)
  #pending: FileChange[] = []
  sizeBytes = 0

  write(at: number, bytes: Uint8Array): void {
    this.#pending.push({ at, bytes })
    this.sizeBytes = Math.max(this.sizeBytes, at + bytes.length)
  }

  truncate(sizeBytes: number): void {
    this.#pending.push({ sizeBytes })
    this.sizeBytes = sizeBytes
  }

  /** Changes that wait for a sync. */
  get pending(): number {
    return this.#pending.length
  }

  /** @param count of the oldest changes that get to the platter: those that were there when the sync began */
  sync(count: number): void {
    this.#durable = applied(this.#durable, this.#pending.splice(0, count))
  }

  /** A sync that failed: the kernel takes the pages for clean, and no later sync writes them. */
  lose(count: number): void {
    this.#pending.splice(0, count)
  }

  after(survival: Survival, random: () => number): Uint8Array {
    switch (survival) {
      case 'nothing':
        return this.#durable
      case 'everything':
        return applied(this.#durable, this.#pending)
      default:
        return this.#inPart(UNIT_BYTES[survival], random)
    }
  }

  /** Each unit as it was after any of the changes that touched it, the size as it was at any time since the last sync. */
  #inPart(unitBytes: number, random: () => number): Uint8Array {
    const sizes = [this.#durable.length]
    const touched = new Map<number, number[]>()
    for (const [index, change] of this.#pending.entries()) {
      const before = sizes.at(-1)!
      const [from, to] = 'bytes' in change ? [change.at, change.at + change.bytes.length] : [change.sizeBytes, before]
      for (let unit = Math.floor(from / unitBytes); unit * unitBytes < to; unit++)
        touched.set(unit, [...(touched.get(unit) ?? []), index])
      sizes.push('bytes' in change ? Math.max(before, to) : change.sizeBytes)
    }
    const whole = new Uint8Array(Math.max(...sizes))
    whole.set(this.#durable)
    for (const [unit, indexes] of touched) {
      const survivors = indexes.slice(0, Math.floor(random() * (indexes.length + 1)))
      const start = unit * unitBytes
      for (const index of survivors) {
        const change = this.#pending[index]!
        const [at, bytes] = 'bytes' in change ? [change.at, change.bytes] : [change.sizeBytes, undefined]
        const [from, to] = [Math.max(at, start), Math.min(at + (bytes?.length ?? Infinity), start + unitBytes)]
        if (bytes) whole.set(bytes.subarray(from - at, to - at), from)
        else whole.fill(0, from, to)
      }
    }
    return whole.subarray(0, sizes[Math.floor(random() * sizes.length)])
  }
}

type FileChange = { readonly at: number; readonly bytes: Uint8Array } | { readonly sizeBytes: number }

function applied(before: Uint8Array, changes: readonly FileChange[]): Uint8Array {
  if (changes.length === 0) return before
  let size = before.length
  let longest = size
  for (const change of changes) {
    size = 'bytes' in change ? Math.max(size, change.at + change.bytes.length) : change.sizeBytes
    longest = Math.max(longest, size)
  }
  const whole = new Uint8Array(longest)
  whole.set(before)
  for (const change of changes)
    if ('bytes' in change) whole.set(change.bytes, change.at)
    else whole.fill(0, change.sizeBytes)
  return whole.subarray(0, size)
}

type Node = ModelFile | ModelDirectory
/** Names that one call changes together; undefined is a name that goes. */
type NameChange = ReadonlyMap<string, Node | undefined>

export class ModelDirectory {
  readonly kind = 'directory'
  readonly names = new Map<string, Node>()
  #durable = new Map<string, Node>()
  #pending: NameChange[] = []

  change(...names: readonly (readonly [string, Node | undefined])[]): void {
    const change = new Map(names)
    this.#pending.push(change)
    rename(this.names, change)
  }

  get pending(): number {
    return this.#pending.length
  }

  sync(count: number): void {
    for (const change of this.#pending.splice(0, count)) rename(this.#durable, change)
  }

  /** A sync that failed: names are in the journal still, and the next sync may write them. */
  lose(): void {}

  after(survival: Survival, random: () => number): ReadonlyMap<string, Node> {
    if (survival === 'everything') return this.names
    const names = new Map(this.#durable)
    const count = survival === 'nothing' ? 0 : Math.floor(random() * (this.#pending.length + 1))
    for (const change of this.#pending.slice(0, count)) rename(names, change)
    return names
  }

  /** Writes into an empty folder what a power cut leaves of this directory. */
  leave(folder: string, survival: Survival, random: () => number): void {
    for (const [name, node] of this.after(survival, random)) {
      const path = join(folder, name)
      if (node.kind === 'file') writeFileSync(path, node.after(survival, random), { mode: 0o600 })
      else {
        mkdirSync(path, { mode: 0o700 })
        node.leave(path, survival, random)
      }
    }
  }
}

function rename(names: Map<string, Node>, change: NameChange): void {
  for (const [name, node] of change)
    if (node) names.set(name, node)
    else names.delete(name)
}
