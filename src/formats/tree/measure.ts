/** Questions about whole trees. */
import { displayPath } from '../tar/byte-string.ts'
import type { Tree, TreeEntry } from './tree.ts'

/** Sum of the logical sizes of all files, each inode once. */
export function treeBytes(tree: Tree): number {
  let bytes = 0
  let counted = 0
  for (const entry of tree.entries())
    // Inodes are numbered in this order, so the first name of each is the one with a number not seen before.
    if (entry.inode > counted) {
      counted = entry.inode
      if (entry.kind === 'file') bytes += entry.size
    }
  return bytes
}

export const CHANGES = ['kind', 'mode', 'owner', 'mtime', 'content', 'target', 'device', 'xattrs', 'links'] as const
export type Change = (typeof CHANGES)[number]

export interface TreeDiff {
  readonly added: readonly TreeEntry[]
  readonly removed: readonly TreeEntry[]
  readonly changed: readonly {
    readonly before: TreeEntry
    readonly after: TreeEntry
    readonly what: readonly Change[]
  }[]
}

/**
 * What is different between two trees, by name. `content` means another size or other extents: two layers that hold the same
 * bytes in different places count as changed, for no data is read here.
 */
export function diffTrees(before: Tree, after: Tree): TreeDiff {
  const added = [...after.entries()].filter((entry) => before.get(entry.path) === undefined)
  const removed: TreeEntry[] = []
  const changed: TreeDiff['changed'][number][] = []
  const [linksBefore, linksAfter] = [createLinks(before), createLinks(after)]
  for (const old of before.entries()) {
    const now = after.get(old.path)
    if (now === undefined) {
      removed.push(old)
      continue
    }
    const what = changesOf(old, now)
    if (linksBefore(old) !== linksAfter(now)) what.push('links')
    if (what.length > 0) changed.push({ before: old, after: now, what })
  }
  return { added, removed, changed }
}

/** One line for people: `changed etc/passwd: mode, content`. */
export function describeDiff({ added, removed, changed }: TreeDiff): string[] {
  return [
    ...added.map((entry) => `added ${displayPath(entry.path)}`),
    ...removed.map((entry) => `removed ${displayPath(entry.path)}`),
    ...changed.map(({ after, what }) => `changed ${displayPath(after.path)}: ${what.join(', ')}`),
  ]
}

function changesOf(a: TreeEntry, b: TreeEntry): Change[] {
  const differs: Record<Exclude<Change, 'links'>, boolean> = {
    kind: a.kind !== b.kind,
    mode: a.mode !== b.mode,
    owner: a.uid !== b.uid || a.gid !== b.gid,
    mtime: a.mtimeSeconds !== b.mtimeSeconds || a.mtimeNanoseconds !== b.mtimeNanoseconds,
    content: a.kind === 'file' && b.kind === 'file' && !hasSameContent(a, b),
    target: a.target !== b.target,
    device: a.deviceMajor !== b.deviceMajor || a.deviceMinor !== b.deviceMinor,
    xattrs: !hasSameXattrs(a, b),
  }
  return CHANGES.filter((change) => change !== 'links' && differs[change])
}

function hasSameContent(a: TreeEntry, b: TreeEntry): boolean {
  if (a.size !== b.size || a.data.length !== b.data.length) return false
  if (a.data.length > 0 && a.blob !== b.blob) return false
  return a.data.every((run, index) => {
    const other = b.data[index]!
    return run.at === other.at && run.offset === other.offset && run.length === other.length
  })
}

function hasSameXattrs(a: TreeEntry, b: TreeEntry): boolean {
  if (a.xattrs === b.xattrs) return true
  if (a.xattrs.size !== b.xattrs.size) return false
  return [...a.xattrs].every(([name, value]) => {
    const other = b.xattrs.get(name)
    return other !== undefined && Buffer.compare(value, other) === 0
  })
}

/** All names of a file as one string, made once for each inode: one may have half a million. Directories have none. */
function createLinks(tree: Tree): (entry: TreeEntry) => string {
  const known = new Map<number, string>()
  return ({ kind, linkCount, inode }) => {
    if (kind === 'directory' || linkCount === 1) return ''
    const there = known.get(inode)
    if (there !== undefined) return there
    const names = tree.names(inode).map(({ path }) => path)
    const joined = names.join('\0')
    known.set(inode, joined)
    return joined
  }
}
