/** What one tree has otherwise than another. */
import { sizeOf } from '../../formats/extents.ts'
import { displayPath, type ByteString } from '../../formats/tar/byte-string.ts'
import { fileExtents, type Tree, type TreeEntry } from '../../formats/tree/tree.ts'
import type { TreeChange } from './image.ts'
import type { BlobStore } from './ports.ts'

/**
 * Walks both trees in their common order. Contents are compared byte by byte, but only where the sizes are equal and the bytes
 * do not come from the same place.
 */
export async function* diffTrees(a: Tree, b: Tree, blobs: BlobStore): AsyncGenerator<TreeChange> {
  for (const { before, after } of pairs(a, b)) {
    if (before === undefined) yield { kind: 'added', path: shownPath(after!), details: [] }
    else if (after === undefined) yield { kind: 'removed', path: shownPath(before), details: [] }
    else {
      const details = await differences(before, after, blobs)
      if (details.length > 0) yield { kind: 'changed', path: shownPath(after), details }
    }
  }
}

/** As an image's tree and docker's diff show it: from the root. */
function shownPath({ path }: TreeEntry): string {
  return path === '' ? '/' : `/${displayPath(path)}`
}

/** The entries of both trees in their common order; what only one has stands alone. */
export function* pairs(a: Tree, b: Tree): Generator<{ before: TreeEntry | undefined; after: TreeEntry | undefined }> {
  const left = a.entries()
  const right = b.entries()
  let before = left.next()
  let after = right.next()
  while (!before.done || !after.done) {
    const order = before.done ? 1 : after.done ? -1 : comparePaths(before.value.path, after.value.path)
    yield { before: order <= 0 ? before.value! : undefined, after: order >= 0 ? after.value! : undefined }
    if (order <= 0) before = left.next()
    if (order >= 0) after = right.next()
  }
}

/** The order of `Tree.entries()`: name by name, so that `a/b` comes before `a-c`. */
function comparePaths(a: ByteString, b: ByteString): number {
  const left = a === '' ? [] : a.split('/')
  const right = b === '' ? [] : b.split('/')
  for (let at = 0; at < Math.min(left.length, right.length); at++)
    if (left[at] !== right[at]) return left[at]! < right[at]! ? -1 : 1
  return left.length - right.length
}

/** What `after` has otherwise than `before`, as people read it; empty when they are equal. */
export async function differences(
  before: TreeEntry,
  after: TreeEntry,
  blobs: Pick<BlobStore, 'readExtents'>,
): Promise<string[]> {
  const details: string[] = []
  const note = (name: string, was: string, is: string) => {
    if (was !== is) details.push(`${name} ${was} -> ${is}`)
  }
  note('kind', before.kind, after.kind)
  note('mode', octal(before.mode), octal(after.mode))
  note('owner', `${before.uid}:${before.gid}`, `${after.uid}:${after.gid}`)
  note('target', displayPath(before.target), displayPath(after.target))
  note('device', `${before.deviceMajor}:${before.deviceMinor}`, `${after.deviceMajor}:${after.deviceMinor}`)
  if (before.kind === 'file' && after.kind === 'file') {
    note('size', String(before.size), String(after.size))
    if (before.size === after.size && !(await hasEqualContent(before, after, blobs))) details.push('content')
  }
  if (xattrText(before) !== xattrText(after)) details.push('extended attributes')
  note('mtime', time(before), time(after))
  return details
}

async function hasEqualContent(a: TreeEntry, b: TreeEntry, blobs: Pick<BlobStore, 'readExtents'>): Promise<boolean> {
  const left = fileExtents(a)
  const right = fileExtents(b)
  if (a.blob === b.blob && JSON.stringify(a.data) === JSON.stringify(b.data)) return true
  // Both come in pieces of the same sizes, as their ranges are equally long.
  const other = blobs.readExtents(right, 0, sizeOf(right))[Symbol.asyncIterator]()
  try {
    for await (const piece of blobs.readExtents(left, 0, sizeOf(left))) {
      const { value } = await other.next()
      if (value === undefined || Buffer.compare(piece, value as Uint8Array) !== 0) return false
    }
    return true
  } finally {
    await other.return?.()
  }
}

function octal(mode: number): string {
  return mode.toString(8).padStart(4, '0')
}

function time({ mtimeSeconds, mtimeNanoseconds }: TreeEntry): string {
  const date = new Date(mtimeSeconds * 1000)
  const fraction = String(mtimeNanoseconds).padStart(9, '0')
  return Number.isNaN(date.getTime()) ? String(mtimeSeconds) : date.toISOString().replace(/\.\d+Z$/, `.${fraction}Z`)
}

function xattrText({ xattrs }: TreeEntry): string {
  return [...xattrs]
    .map(([name, value]) => `${name}=${Buffer.from(value.buffer, value.byteOffset, value.length).toString('hex')}`)
    .sort()
    .join('\n')
}
