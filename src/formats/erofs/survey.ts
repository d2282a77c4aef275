/** What has to be known of a whole tree before anything of a file system can be placed; in columns, as there may be a million. */
import { AppError } from '../../base/errors.ts'
import { displayPath, type ByteString } from '../tar/byte-string.ts'
import { TREE_ENTRY_KINDS, type Tree, type TreeEntry, type TreeEntryKind } from '../tree/tree.ts'
import { AttributePool, isStorable } from './attributes.ts'
import { planChunks, tableBytes, type ChunkPlan } from './chunks.ts'
import { COMPACT_MAX, MAX_XATTR_VALUE_BYTES } from './on-disk.ts'

/** Tables of all files with holes together: they are held in memory as long as machines are served. */
const MAX_TABLE_BYTES = 64 * 1024 * 1024

/** The kind that a number in `kinds` stands for. */
export const KINDS: readonly TreeEntryKind[] = TREE_ENTRY_KINDS
/** Begin of `names`: the names `.` and `..` of all directories. */
export const DOTS = '..'
export const DIRECTORY = KINDS.indexOf('directory')

export interface Survey {
  readonly inodeCount: number
  /** By position: inode, position of the directory that it lies in (the root lies in itself), and where its name ends in `names`. */
  readonly inodes: Uint32Array
  readonly parents: Uint32Array
  readonly nameEnds: Uint32Array
  /** `..`, then the names of all positions, one behind the other. */
  readonly names: Buffer
  /** By inode: number of its kind. */
  readonly kinds: Uint8Array
  /** By inode: whether a compact inode holds all but the time. */
  readonly mayBeCompact: Uint8Array
  readonly mtimeSeconds: Float64Array
  readonly mtimeNanoseconds: Uint32Array
  /** By inode: size of files and symbolic links. */
  readonly sizes: Float64Array
  /** Files that are kept in chunks, by inode. */
  readonly chunked: ReadonlyMap<number, ChunkPlan>
  readonly attributes: AttributePool
  /** The time that more than half of the inodes have, if there is one; else any. Nanoseconds are those of that time. */
  readonly commonSeconds: number
  readonly commonNanoseconds: number
}

/** @throws {AppError} `unsupported` when an attribute is larger than EROFS holds, or the holes of files are too many */
export function surveyTree(tree: Tree): Survey {
  const { entryCount, inodeCount } = tree
  const inodes = new Uint32Array(entryCount)
  const parents = new Uint32Array(entryCount)
  const nameEnds = new Uint32Array(entryCount)
  let names = Buffer.allocUnsafeSlow(Math.max(entryCount * 16, 1024))
  const kinds = new Uint8Array(inodeCount + 1)
  const mayBeCompact = new Uint8Array(inodeCount + 1)
  const mtimeSeconds = new Float64Array(inodeCount + 1)
  const mtimeNanoseconds = new Uint32Array(inodeCount + 1)
  const sizes = new Float64Array(inodeCount + 1)
  const chunked = new Map<number, ChunkPlan>()
  const attributes = new AttributePool(inodeCount)
  const vote = { seconds: 0, nanoseconds: 0, lead: 0 }
  const above = new Ancestors()
  let tables = 0
  let nameEnd = names.write(DOTS, 'latin1')
  let known = 0
  let position = 0
  for (const entry of tree.entries()) {
    const { inode, path } = entry
    const nameAt = path.lastIndexOf('/') + 1
    inodes[position] = inode
    parents[position] = above.of(nameAt)
    if (nameEnd + path.length - nameAt > names.length) names = longer(names)
    nameEnd += names.write(nameAt === 0 ? path : path.slice(nameAt), nameEnd, 'latin1')
    nameEnds[position] = nameEnd
    if (entry.kind === 'directory') above.enter(position, path)
    position += 1
    // Inodes are numbered in this order: this is another name of one that was seen.
    if (inode <= known) continue
    known = inode
    kinds[inode] = KINDS.indexOf(entry.kind)
    mayBeCompact[inode] = isSmall(entry) ? 1 : 0
    mtimeSeconds[inode] = entry.mtimeSeconds
    mtimeNanoseconds[inode] = entry.mtimeNanoseconds
    sizes[inode] = entry.size
    castVote(vote, entry)
    checkAttributes(entry)
    attributes.add(entry)
    const plan = entry.kind === 'file' ? planChunks(entry.size, entry.data) : undefined
    if (plan === undefined) continue
    chunked.set(inode, plan)
    tables += tableBytes(plan)
    if (tables > MAX_TABLE_BYTES)
      throw new AppError('unsupported', `${cannotHold(entry)}: the tables of files with holes pass 64 MiB with it`)
  }
  attributes.settle()
  const [commonSeconds, commonNanoseconds] = [vote.seconds, vote.nanoseconds]
  const columns = { inodes, parents, nameEnds, names: names.subarray(0, nameEnd) }
  const facts = { kinds, mayBeCompact, mtimeSeconds, mtimeNanoseconds, sizes, chunked, attributes }
  return { inodeCount, ...columns, ...facts, commonSeconds, commonNanoseconds }
}

/** The directories that an entry lies in, while entries come depth first: known by the lengths of their paths alone. */
class Ancestors {
  readonly #positions: number[] = []
  readonly #lengths: number[] = []

  /** The directory of an entry whose name begins at `nameAt` of its path. */
  of(nameAt: number): number {
    const length = Math.max(nameAt - 1, 0)
    while (this.#lengths.length > 0 && this.#lengths.at(-1)! > length) this.#pop()
    return this.#positions.at(-1) ?? 0
  }

  enter(position: number, path: ByteString): void {
    this.#positions.push(position)
    this.#lengths.push(path.length)
  }

  #pop(): void {
    this.#positions.pop()
    this.#lengths.pop()
  }
}

function isSmall({ uid, gid, linkCount, size }: TreeEntry): boolean {
  return uid <= COMPACT_MAX.id && gid <= COMPACT_MAX.id && linkCount <= COMPACT_MAX.links && size <= COMPACT_MAX.size
}

/** Boyer and Moore's majority vote: one candidate, no memory. */
function castVote(
  vote: { seconds: number; nanoseconds: number; lead: number },
  { mtimeSeconds: seconds, mtimeNanoseconds: nanoseconds }: TreeEntry,
): void {
  if (vote.lead === 0) Object.assign(vote, { seconds, nanoseconds })
  vote.lead += vote.seconds === seconds && vote.nanoseconds === nanoseconds ? 1 : -1
}

function checkAttributes(entry: TreeEntry): void {
  for (const [name, { length }] of entry.xattrs)
    if (length > MAX_XATTR_VALUE_BYTES && isStorable(name, entry.kind))
      throw new AppError(
        'unsupported',
        `${cannotHold(entry)}: its attribute "${displayPath(name)}" has ${length} bytes, at most ${MAX_XATTR_VALUE_BYTES}`,
      )
}

function longer(from: Buffer): Buffer<ArrayBuffer> {
  const into = Buffer.allocUnsafeSlow(2 * from.length)
  from.copy(into)
  return into
}

/** How errors about one entry begin. */
export function cannotHold({ path }: TreeEntry): string {
  return `Cannot put "${displayPath(path)}" into an EROFS file system`
}
