/** Trees of ours and of programs that are not ours, in one form that can be compared. */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { sizeOf } from '../../src/formats/extents.ts'
import { displayPath } from '../../src/formats/tar/byte-string.ts'
import { fileExtents, type Tree, type TreeEntry } from '../../src/formats/tree/tree.ts'
import type { BlobStore } from '../../src/services/images/ports.ts'

/** One line for each path: kind, mode, owner, size, mtime, link target or content, attributes, and the group of hard links. */
export async function describeTree(tree: Tree, blobs: BlobStore): Promise<string[]> {
  const lines: string[] = []
  for (const entry of tree.entries()) lines.push(await describeEntry(tree, entry, blobs))
  return lines.sort()
}

async function describeEntry(tree: Tree, entry: TreeEntry, blobs: BlobStore): Promise<string> {
  const content =
    entry.kind === 'file' ? await contentHash(entry, blobs) : displayPath(entry.target).replace(/^\/$/, '')
  const names = entry.kind === 'directory' ? [entry] : tree.names(entry.inode)
  const xattrs = [...entry.xattrs].map(([name, value]) => `${name}=${Buffer.from(value).toString('hex')}`).sort()
  return [
    displayPath(entry.path),
    entry.kind,
    entry.kind === 'symlink' ? '' : entry.mode.toString(8),
    `${entry.uid}:${entry.gid}`,
    `${entry.deviceMajor}:${entry.deviceMinor}`,
    // The time of a directory changes when something is put into it; umoci restores it, but not through hard links.
    entry.path === '' ? '' : String(entry.mtimeSeconds),
    content,
    xattrs.join(','),
    names.map(({ path }) => displayPath(path)).sort()[0],
  ].join(' | ')
}

async function contentHash(entry: TreeEntry, blobs: BlobStore): Promise<string> {
  const hash = createHash('sha256')
  const extents = fileExtents(entry)
  for await (const piece of blobs.readExtents(extents, 0, sizeOf(extents))) hash.update(piece)
  return hash.digest('hex')
}

const WALK = `
import os, sys, stat, hashlib
root = os.fsencode(sys.argv[1]); first = {}
def shown(p):
    p = p[len(root):].lstrip(b'/')
    return p.decode('utf-8', 'backslashreplace') or '/'
paths = [root]
for d, ds, fs in os.walk(root): paths += [os.path.join(d, n) for n in ds + fs]
st = {p: os.lstat(p) for p in paths}
for p in sorted(paths, key=shown):
    s = st[p]
    if not stat.S_ISDIR(s.st_mode): first.setdefault(s.st_ino, shown(p))
KINDS = {stat.S_IFREG: 'file', stat.S_IFDIR: 'directory', stat.S_IFLNK: 'symlink', stat.S_IFCHR: 'character', stat.S_IFBLK: 'block', stat.S_IFIFO: 'fifo'}
for p in paths:
    s = st[p]; kind = KINDS[stat.S_IFMT(s.st_mode)]
    content = ''
    if kind == 'file':
        with open(p, 'rb') as f: content = hashlib.file_digest(f, 'sha256').hexdigest()
    if kind == 'symlink': content = os.readlink(p).decode('utf-8', 'backslashreplace')
    dev = '%d:%d' % (os.major(s.st_rdev), os.minor(s.st_rdev)) if kind in ('character', 'block') else '0:0'
    xs = sorted('%s=%s' % (x, os.getxattr(p, x, follow_symlinks=False).hex()) for x in os.listxattr(p, follow_symlinks=False))
    print(' | '.join([shown(p), kind, '' if kind == 'symlink' else '%o' % stat.S_IMODE(s.st_mode), '%d:%d' % (s.st_uid, s.st_gid), dev,
        '' if p == root else str(int(s.st_mtime_ns // 10**9)), content, ','.join(xs), shown(p) if kind == 'directory' else first[s.st_ino]]))
`

/** The same of a directory, by Python. */
export function describeDirectory(directory: string): string[] {
  const { status, stdout, stderr } = spawnSync('python3', ['-c', WALK, directory], {
    encoding: 'utf8',
    maxBuffer: 256 << 20,
  })
  if (status !== 0) throw new Error(stderr)
  return stdout.trimEnd().split('\n').sort()
}
