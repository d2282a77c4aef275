/** Inodes while layers are merged: where the metadata of each lies in the index of its layer. */
import { kindOf, type PassedRecord } from '../tar/index-record.ts'
import type { LayerEntryKind } from '../tar/layer-index.ts'
import type { PackedIndex } from '../tar/packed-index.ts'
import { IMPLIED, longer } from './nodes.ts'

export class Inodes {
  /** Layers by number; what inodes refer to. */
  readonly layers: { readonly digest: string; readonly index: PackedIndex }[] = []
  /** How many there are; IMPLIED is the first. */
  count: number = IMPLIED + 1
  layer = new Uint32Array(1024)
  at = new Uint32Array(1024)
  end = new Uint32Array(1024)
  tag = new Uint8Array(1024)

  reserve(more: number): void {
    const { length } = this.at
    if (this.count + more > length) this.#grow(Math.max(this.count + more, length + (length >> 2)))
  }

  /** The inode that an entry of the last layer makes. @param reuse one that nobody refers to any more */
  add({ tag, metadataAt, metadataEnd }: PassedRecord, reuse: number = IMPLIED): number {
    if (this.count === this.at.length) this.#grow(this.count * 2)
    const inode = reuse === IMPLIED ? this.count++ : reuse
    this.layer[inode] = this.layers.length - 1
    this.at[inode] = metadataAt
    this.end[inode] = metadataEnd
    this.tag[inode] = tag
    return inode
  }

  kindOf(inode: number): LayerEntryKind {
    return inode === IMPLIED ? 'directory' : kindOf(this.tag[inode]!)
  }

  #grow(length: number): void {
    this.layer = longer(this.layer, new Uint32Array(length))
    this.at = longer(this.at, new Uint32Array(length))
    this.end = longer(this.end, new Uint32Array(length))
    this.tag = longer(this.tag, new Uint8Array(length))
  }
}
