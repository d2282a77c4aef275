/** What a container changed where its root has no upper layer: the live root against the tree of its image, path by path. */
import type { ByteString } from '../../../formats/tar/byte-string.ts'
import { NO_DATA } from '../../../formats/tar/layer-index.ts'
import type { LayerChange } from '../../../formats/tree/changes.ts'
import type { Tree, TreeEntry } from '../../../formats/tree/tree.ts'
import { differences, pairs } from '../diff.ts'
import type { BlobStore } from '../ports.ts'

/** Mounted in every container: what is seen there is not of the root, and what the image has there is hidden. */
const MOUNTED = ['proc', 'sys', 'dev']
/** Often mounted by an init: where they are empty, the image's content is hidden rather than removed. */
const OFTEN_MOUNTED = ['run', 'tmp']
/** Written for each machine anew, as docker does. */
const OURS: ReadonlySet<ByteString> = new Set(['etc/hostname', 'etc/hosts', 'etc/resolv.conf'])

/**
 * The changes that make `image` into `live`. Contents are compared byte by byte. Hard links that were made or broken come with all
 * names of their file.
 */
export async function* rootChanges(
  image: Tree,
  live: Tree,
  blobs: Pick<BlobStore, 'readExtents'>,
): AsyncGenerator<LayerChange> {
  const isPutOf = new Map<number, boolean>()
  const isPut = async (after: TreeEntry): Promise<boolean> => {
    const known = isPutOf.get(after.inode)
    if (known !== undefined) return known
    const decided = await isChanged(image, live, after, blobs)
    if (after.linkCount > 1 && after.kind !== 'directory') isPutOf.set(after.inode, decided)
    return decided
  }
  const hidden = [...MOUNTED, ...OFTEN_MOUNTED.filter((path) => live.children(path).length === 0)]
  // Below what was removed, or is a directory no more, nothing needs to be said.
  let gone = '\0'
  for (const { before, after } of pairs(image, live)) {
    const { path } = after ?? before!
    if (OURS.has(path) || MOUNTED.includes(path) || hidden.some((name) => path.startsWith(`${name}/`))) continue
    if (after === undefined) {
      if (path.startsWith(gone)) continue
      gone = `${path}/`
      yield { kind: 'remove', path }
    } else {
      if (before?.kind === 'directory' && after.kind !== 'directory') gone = `${path}/`
      if (await isPut(after)) yield put(live, after)
    }
  }
}

async function isChanged(
  image: Tree,
  live: Tree,
  after: TreeEntry,
  blobs: Pick<BlobStore, 'readExtents'>,
): Promise<boolean> {
  if (after.kind === 'directory') {
    const before = image.get(after.path)
    return before === undefined || (await differences(before, after, blobs)).length > 0
  }
  const names = after.linkCount > 1 ? live.names(after.inode) : [after]
  const before = image.get(after.path)
  if (before === undefined || (await differences(before, after, blobs)).length > 0) return true
  // The same names must be links of each other as before.
  if (names.some(({ path }) => image.get(path)?.inode !== before.inode)) return true
  if (before.linkCount === 1) return false
  return image.names(before.inode).some(({ path }) => {
    const there = live.get(path)
    return there !== undefined && there.inode !== after.inode
  })
}

function put(live: Tree, entry: TreeEntry): LayerChange {
  const first = entry.kind === 'directory' || entry.linkCount === 1 ? entry : live.firstName(entry.inode)!
  if (first.path === entry.path) return { kind: 'put', entry, blob: entry.blob }
  const link = { ...entry, kind: 'hardlink', target: first.path, size: 0, data: NO_DATA } as const
  return { kind: 'put', entry: link, blob: entry.blob }
}
