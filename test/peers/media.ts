/** Media as files for programs that are not ours. */
import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs'
import { extentLength, type Extent } from '../../src/formats/extents.ts'
import type { NamedFile } from '../../src/formats/folders.ts'

/** Writes an image; zeros are holes. @param blob the bytes of every blob, or where a range of it lies */
export function writeImage(path: string, extents: Iterable<Extent>, blob?: Uint8Array): void {
  const file = openSync(path, 'w')
  let at = 0
  for (const extent of extents) {
    if (extent.kind === 'bytes') writeSync(file, extent.bytes, 0, extent.bytes.length, at)
    else if (extent.kind === 'blob' && blob !== undefined) writeSync(file, blob, extent.offset, extent.length, at)
    at += extentLength(extent)
  }
  ftruncateSync(file, at)
  closeSync(file)
}

/** Numbers that look random and are the same every time. */
export function noiseBytes(length: number, seed: number): Buffer {
  const bytes = Buffer.alloc(length)
  let state = seed >>> 0 || 1
  for (let at = 0; at < length; at += 1) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    bytes[at] = state & 0xff
  }
  return bytes
}

/** Files of many kinds: deep, empty, long, foreign, larger than a cluster, many in a folder. */
export function sampleFiles(count: number): { readonly files: NamedFile[]; readonly bytesOf: Map<string, Buffer> } {
  const bytesOf = new Map<string, Buffer>([
    ['EFI/BOOT/BOOTX64.EFI', noiseBytes(300_001, 1)],
    ['EFI/BOOT/autoexec.ipxe', Buffer.from('#!ipxe\n')],
    ['a long name with ünïcode.text', Buffer.from('x')],
    ['README', Buffer.from('read me')],
    ['empty', Buffer.alloc(0)],
    ['one/two/three/four/five/six/seven/eight/nine', noiseBytes(512, 2)],
    ...Array.from(
      { length: count },
      (_, index) => [`many/sub folder/longfilename-${index}.data`, noiseBytes(index, 3)] as const,
    ),
  ])
  const files = [...bytesOf].map(([path, bytes]) => ({ path, content: [{ kind: 'bytes', bytes } as const] }))
  return { files, bytesOf }
}
