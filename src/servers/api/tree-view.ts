import { displayPath } from '../../formats/tar/byte-string.ts'
import type { TreeEntry } from '../../formats/tree/tree.ts'
import type { TreeEntryView } from '../../model/api.ts'

const TYPES = {
  character: 'char',
  block: 'block',
  file: 'file',
  directory: 'directory',
  symlink: 'symlink',
  fifo: 'fifo',
} as const

/** An entry of a tree as people read it. @param layers digests of the layers, lowest first */
export function entryView(entry: TreeEntry, layers: readonly string[]): TreeEntryView {
  const isDevice = entry.kind === 'character' || entry.kind === 'block'
  return {
    path: entry.path === '' ? '/' : `/${displayPath(entry.path)}`,
    type: TYPES[entry.kind],
    mode: entry.mode,
    uid: entry.uid,
    gid: entry.gid,
    sizeBytes: entry.size,
    mtime: entry.mtimeSeconds + entry.mtimeNanoseconds / 1e9,
    ...(entry.kind === 'symlink' ? { target: displayPath(entry.target) } : {}),
    links: entry.linkCount,
    ...(isDevice ? { device: `${entry.deviceMajor}:${entry.deviceMinor}` } : {}),
    xattrs: [...entry.xattrs.keys()].map(displayPath),
    layer: layers.indexOf(entry.blob),
  }
}
