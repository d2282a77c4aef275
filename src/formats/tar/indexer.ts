/**
 * Reads an uncompressed tar as it streams by and notes where everything is; the data itself is not kept. The reader is a
 * sequence of wants: so many bytes for the current state function, or so many bytes to let pass.
 */
import { WireError } from '../../base/errors.ts'
import { createBudget, type Budget } from './budget.ts'
import { displayPath } from './byte-string.ts'
import { placeEntry, planEntry, type EntryPlan, type PendingHeaders } from './entry.ts'
import { BLOCK_BYTES, HeaderError, isZeroBlock, number, parseHeader, text, type TarHeader } from './header.ts'
import type { LayerEntry, LayerIndex } from './layer-index.ts'
import { TAR_LIMITS, type TarLimits } from './limits.ts'
import { PackedIndexWriter } from './packed-index.ts'
import { parsePax, type PaxRecords } from './pax.ts'
import { createMapReader, oldGnuPairs, type SparseMap } from './sparse.ts'

export interface TarIndexer {
  /**
   * The next bytes of the archive, cut anywhere.
   * @throws {WireError} naming the entry, when the archive breaks its format or a limit; the indexer is of no use afterwards
   */
  push(chunk: Uint8Array): void
  /** The index of all that was pushed. @throws {WireError} when the archive ends within an entry */
  end(): LayerIndex
}

/** Told of `length` bytes of file data at `offset` of the archive, in ascending order, before they are passed. */
export type OnRun = (offset: number, length: number) => void

/** A push-style reader that turns one layer's tar into its index. `limits` replaces single defaults of TAR_LIMITS. */
export function createTarIndexer(limits: Partial<TarLimits> = {}, onRun?: OnRun): TarIndexer {
  const state = new IndexerState({ ...TAR_LIMITS, ...limits }, onRun)
  return { push: (chunk) => state.push(chunk), end: () => state.end() }
}

type State = (bytes: Buffer) => void

/** The keys that a global header may give to all entries; others are dropped unread. */
const GLOBAL_KEYS =
  /^(?:path|linkpath|size|uid|gid|mtime|SCHILY\.dev(?:major|minor)|(?:SCHILY|LIBARCHIVE)\.xattr\..*)$/s

class IndexerState {
  readonly #limits: TarLimits
  readonly #budget: Budget
  readonly #onRun: OnRun | undefined
  readonly #index = new PackedIndexWriter()
  readonly #globals: PaxRecords['values'] = new Map()
  #headers: PendingHeaders = {}
  /** Absolute offset in the archive of the next byte. */
  #position = 0
  /** Bytes to let pass before the next want; data, padding, or all the rest. */
  #skip = 0
  /** Offset behind the data of the current entry: an archive that ends before it is cut. */
  #dataEnd = 0
  /** Whether the wanted bytes belong to an entry that has begun. */
  #isWithin = false
  #want = BLOCK_BYTES
  #state: State = (block) => this.#onHeader(block)
  #held: Buffer = Buffer.alloc(0)
  #heldLength = 0
  #entryName = ''
  #entryOffset = 0
  #failure: unknown

  constructor(limits: TarLimits, onRun: OnRun | undefined) {
    this.#limits = limits
    this.#onRun = onRun
    this.#budget = createBudget(limits)
  }

  push(chunk: Uint8Array): void {
    if (this.#failure !== undefined) throw this.#failure
    try {
      this.#feed(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength))
    } catch (error) {
      throw (this.#failure = this.#named(error))
    }
  }

  end(): LayerIndex {
    if (this.#failure !== undefined) throw this.#failure
    const isCut = this.#heldLength > 0 || this.#isWithin || this.#position < this.#dataEnd
    if (isCut || hasPending(this.#headers))
      throw (this.#failure = this.#named(new HeaderError('the archive ends within it')))
    return this.#index.done(this.#position)
  }

  #feed(chunk: Buffer): void {
    let at = 0
    while (at < chunk.length) {
      if (this.#skip > 0) {
        const passed = Math.min(this.#skip, chunk.length - at)
        this.#skip -= passed
        this.#position += passed
        at += passed
        continue
      }
      at += this.#collect(chunk, at)
    }
  }

  /** Gives the state its bytes: straight from the chunk where it holds them all, else gathered over chunks. */
  #collect(chunk: Buffer, at: number): number {
    const missing = this.#want - this.#heldLength
    const taken = Math.min(missing, chunk.length - at)
    this.#position += taken
    if (this.#heldLength === 0 && taken === missing) {
      this.#state(chunk.subarray(at, at + taken))
      return taken
    }
    if (this.#held.length < this.#want) this.#held = Buffer.alloc(this.#want)
    chunk.copy(this.#held, this.#heldLength, at, at + taken)
    this.#heldLength += taken
    if (taken === missing) {
      this.#heldLength = 0
      this.#state(this.#held.subarray(0, this.#want))
    }
    return taken
  }

  #next(want: number, isWithin: boolean, state: State): void {
    this.#want = want
    this.#isWithin = isWithin
    this.#state = state
  }

  #nextHeader(): void {
    this.#next(BLOCK_BYTES, false, (block) => this.#onHeader(block))
  }

  #onHeader(block: Buffer): void {
    if (isZeroBlock(block)) return this.#next(BLOCK_BYTES, false, (second) => this.#onEnd(second))
    if (!hasPending(this.#headers)) this.#entryOffset = this.#position - BLOCK_BYTES
    this.#entryName = ''
    const header = parseHeader(block)
    this.#entryName = header.name
    if (header.size < 0) throw new HeaderError(`a size of ${header.size} bytes`)
    const read = this.#metadataReader(header.typeflag)
    if (read) this.#readMetadata(header, read)
    else if (header.typeflag === 'V') this.#passData(header.size)
    else this.#onEntry(header, block)
  }

  /** Two zero blocks end an archive; what pads it afterwards is of no meaning. */
  #onEnd(block: Buffer): void {
    if (!isZeroBlock(block)) throw new HeaderError('a single zero block, then more')
    this.#skip = Infinity
    this.#nextHeader()
  }

  /** What reads the payload of an entry that only describes the next one (or, for `g`, all that follow). */
  #metadataReader(typeflag: string): State | undefined {
    switch (typeflag) {
      case 'x':
      case 'X':
        // A copy: the records are kept longer than the chunk that they came in.
        return (bytes) => void (this.#headers = { ...this.#headers, local: parsePax(Buffer.from(bytes)) })
      case 'g':
        return (bytes) => this.#onGlobals(bytes)
      // Long names are C strings: what follows the first NUL does not count.
      case 'L':
        return (bytes) => void (this.#headers = { ...this.#headers, longName: text(bytes, 0, bytes.length) })
      case 'K':
        return (bytes) => void (this.#headers = { ...this.#headers, longLink: text(bytes, 0, bytes.length) })
      default:
        return undefined
    }
  }

  #readMetadata({ size }: TarHeader, read: State): void {
    if (size > this.#limits.headerBytes)
      throw new HeaderError(`an extended header of ${size} bytes, at most ${this.#limits.headerBytes}`)
    if (size === 0) {
      read(Buffer.alloc(0))
      return this.#nextHeader()
    }
    this.#next(size, true, (bytes) => {
      read(bytes)
      this.#skip = padding(size)
      this.#nextHeader()
    })
  }

  #onGlobals(bytes: Buffer): void {
    this.#budget.index(bytes.length)
    for (const [key, value] of parsePax(bytes).values)
      if (value.length === 0) this.#globals.delete(key)
      else if (GLOBAL_KEYS.test(key)) this.#globals.set(key, Uint8Array.from(value))
  }

  #onEntry(header: TarHeader, block: Buffer): void {
    const pending = { ...this.#headers, globals: this.#globals }
    this.#headers = {}
    this.#budget.entry()
    const plan = planEntry(header, pending, this.#budget)
    this.#entryName = plan.entry.path
    if (plan.sparse === 'behind header') this.#onOldSparse(plan, block)
    else if (plan.sparse === 'before data') this.#onSparseBlocks(plan)
    else this.#finish(plan.entry, plan.entry.size, plan.packedBytes, plan.sparse)
  }

  #onOldSparse({ entry, packedBytes }: EntryPlan, header: Buffer): void {
    const size = number(header, 483, 12, 'real size')
    const map: SparseMap = []
    oldGnuPairs(header, 386, 4, map)
    const onMore = (isExtended: boolean): void => {
      if (!isExtended) return this.#finish(entry, size, packedBytes, map)
      this.#next(BLOCK_BYTES, true, (extension) => {
        oldGnuPairs(extension, 0, 21, map)
        this.#budget.sparsePairs(map.length / 2)
        onMore(extension[504] !== 0)
      })
    }
    onMore(header[482] !== 0)
  }

  #onSparseBlocks({ entry, packedBytes }: EntryPlan): void {
    const reader = createMapReader(Math.min(packedBytes, this.#limits.headerBytes))
    const onBlock: State = (block) => {
      const map = reader.block(block)
      if (map === undefined) this.#next(BLOCK_BYTES, true, onBlock)
      else this.#finish(entry, entry.size, packedBytes - reader.bytesRead, map)
    }
    this.#next(BLOCK_BYTES, true, onBlock)
  }

  #finish(entry: LayerEntry, size: number, packedBytes: number, map: SparseMap | undefined): void {
    const placed = placeEntry(entry, size, this.#position, packedBytes, map, this.#budget)
    this.#budget.index(this.#index.add(placed))
    if (this.#onRun !== undefined) for (const { offset, length } of placed.data) this.#onRun(offset, length)
    this.#passData(packedBytes)
  }

  #passData(bytes: number): void {
    this.#dataEnd = this.#position + bytes
    this.#skip = bytes + padding(bytes)
    this.#nextHeader()
  }

  #named(error: unknown): unknown {
    if (!(error instanceof HeaderError)) return error
    const name = this.#entryName === '' ? '' : `"${displayPath(this.#entryName)}" `
    return new WireError('tar layer', `entry ${name}at offset ${this.#entryOffset}: ${error.message}`)
  }
}

function hasPending({ longName, longLink, local }: PendingHeaders): boolean {
  return longName !== undefined || longLink !== undefined || local !== undefined
}

function padding(bytes: number): number {
  return (BLOCK_BYTES - (bytes % BLOCK_BYTES)) % BLOCK_BYTES
}
