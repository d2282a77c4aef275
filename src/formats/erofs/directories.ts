/**
 * Directories: blocks that each begin with entries of 12 bytes, followed by their names; over all blocks the names ascend by
 * their bytes, `.` and `..` among them, as the kernel looks for them by bisection. The last block ends with its last name.
 */
import { BLOCK_BYTES, DIRENT_BYTES, FILE_TYPES } from './on-disk.ts'
import { DIRECTORY, DOTS, KINDS, type Survey } from './survey.ts'

const FILE_TYPE_OF_KIND = KINDS.map((kind) => FILE_TYPES[kind])
const DOT = DOTS.charCodeAt(0)
const MAX_ENTRIES_IN_BLOCK = Math.floor(BLOCK_BYTES / (DIRENT_BYTES + 1))

/** A name in a directory: the inode, and where the name lies in `names` of the survey. */
type Visit = (inode: number, nameAt: number, nameEnd: number) => void

export class Directories {
  readonly #survey: Survey
  /** Positions of what is in the directory at position `p`, in order: `kids[kidsFrom[p]]` to `kids[kidsFrom[p + 1] - 1]`. */
  readonly #kids: Uint32Array
  readonly #kidsFrom: Uint32Array
  /** The entries of the block that is being filled. */
  readonly #block = {
    inodes: new Uint32Array(MAX_ENTRIES_IN_BLOCK),
    nameAts: new Uint32Array(MAX_ENTRIES_IN_BLOCK),
    nameEnds: new Uint32Array(MAX_ENTRIES_IN_BLOCK),
    count: 0,
    bytes: 0,
  }

  constructor(survey: Survey) {
    const { parents } = survey
    this.#survey = survey
    this.#kids = new Uint32Array(parents.length - 1)
    this.#kidsFrom = new Uint32Array(parents.length + 1)
    for (let position = 1; position < parents.length; position += 1) this.#kidsFrom[parents[position]! + 1]! += 1
    for (let position = 0; position < parents.length; position += 1)
      this.#kidsFrom[position + 1]! += this.#kidsFrom[position]!
    const next = this.#kidsFrom.slice()
    // Siblings are in order in the tree, and so they are here.
    for (let position = 1; position < parents.length; position += 1) this.#kids[next[parents[position]!]!++] = position
  }

  /** Positions of all directories, ascending, and so are their inodes. */
  *positions(): Generator<number> {
    const { inodes, kinds } = this.#survey
    for (let position = 0; position < inodes.length; position += 1)
      if (kinds[inodes[position]!] === DIRECTORY) yield position
  }

  /** Size of the directory at a position. */
  bytesOf(position: number): number {
    let whole = 0
    let used = 0
    this.#each(position, (_, nameAt, nameEnd) => {
      const bytes = DIRENT_BYTES + nameEnd - nameAt
      if (used + bytes > BLOCK_BYTES) [whole, used] = [whole + BLOCK_BYTES, 0]
      used += bytes
    })
    return whole + used
  }

  /**
   * Writes the directory at a position.
   * @param slots where each inode lies  @param room gives the place of a block, by its number, which is all zeros
   */
  write(position: number, slots: Uint32Array, room: (number: number) => Buffer): void {
    const { inodes, nameAts, nameEnds } = this.#block
    let number = 0
    this.#each(position, (inode, nameAt, nameEnd) => {
      const bytes = DIRENT_BYTES + nameEnd - nameAt
      if (this.#block.bytes + bytes > BLOCK_BYTES) this.#flush(slots, room(number++))
      const index = this.#block.count++
      this.#block.bytes += bytes
      inodes[index] = inode
      nameAts[index] = nameAt
      nameEnds[index] = nameEnd
    })
    this.#flush(slots, room(number))
  }

  #flush(slots: Uint32Array, bytes: Buffer): void {
    const { kinds, names } = this.#survey
    const { inodes, nameAts, nameEnds, count } = this.#block
    let end = count * DIRENT_BYTES
    for (let index = 0; index < count; index += 1) {
      const at = index * DIRENT_BYTES
      const inode = inodes[index]!
      bytes.writeUInt32LE(slots[inode]!, at)
      bytes.writeUInt16LE(end, at + 8)
      bytes.writeUInt8(FILE_TYPE_OF_KIND[kinds[inode]!]!, at + 10)
      end += names.copy(bytes, end, nameAts[index], nameEnds[index])
    }
    this.#block.count = 0
    this.#block.bytes = 0
  }

  /** All names in order: first those before `.`, then `.`, those between it and `..`, then `..` and the rest. */
  #each(position: number, visit: Visit): void {
    const { inodes, parents, names, nameEnds } = this.#survey
    const own = inodes[position]!
    const parent = inodes[parents[position]!]!
    let dots = 0
    for (let at = this.#kidsFrom[position]!; at < this.#kidsFrom[position + 1]!; at += 1) {
      const kid = this.#kids[at]!
      const nameAt = nameEnds[kid - 1]!
      const nameEnd = nameEnds[kid]!
      if (dots === 0 && names[nameAt]! >= DOT) visit(own, 0, (dots = 1))
      if (dots === 1 && (names[nameAt]! > DOT || names[nameAt + 1]! >= DOT)) visit(parent, 0, (dots = 2))
      visit(inodes[kid]!, nameAt, nameEnd)
    }
    if (dots === 0) visit(own, 0, 1)
    if (dots < 2) visit(parent, 0, 2)
  }
}
