/** Files on disk as boot files: read in place, by range. */
import { open, readFile, stat } from 'node:fs/promises'
import type { Extent } from '../formats/extents.ts'
import { sizeOf } from '../formats/extents.ts'
import type { BootFile, FilePiece } from '../services/boot/boot.ts'
import { OpenBlob, readExtents } from './blobs/read.ts'

/** @throws the system's error when there is no such file */
export async function fileAt(path: string): Promise<BootFile> {
  const { size } = await stat(path)
  return { sizeBytes: size, pieces: (from, to) => [{ kind: 'file', path, offset: from, length: to - from }] }
}

/** A small file that is held in memory, since many machines ask for it at once. Its bytes are shared with a thread that gets them. */
export async function heldFile(path: string): Promise<BootFile & { readonly bytes: Uint8Array }> {
  const read = await readFile(path)
  const bytes = new Uint8Array(new SharedArrayBuffer(read.length))
  bytes.set(read)
  return { bytes, ...heldBytes(bytes) }
}

/** Bytes that are nowhere on the disk. */
export function heldBytes(bytes: Uint8Array): BootFile {
  return {
    sizeBytes: bytes.length,
    pieces: (from, to) => [{ kind: 'bytes', bytes: Uint8Array.from(bytes.subarray(from, to)) }],
  }
}

/** Extents of blobs as pieces of the files that hold them. Their bytes are copies, which may be handed to another thread. */
export function piecesOf(extents: Iterable<Extent>, pathOf: (blob: string) => string): FilePiece[] {
  return Array.from(extents, (extent): FilePiece => {
    switch (extent.kind) {
      case 'bytes':
        return { kind: 'bytes', bytes: new Uint8Array(extent.bytes) }
      case 'blob':
        return { kind: 'file', path: pathOf(extent.blob), offset: extent.offset, length: extent.length }
      case 'zeros':
        return extent
    }
  })
}

/** The bytes that pieces stand for, up to 1 MiB at a time. @throws the system's errors; {AppError} internal where bytes are missing */
export function readPieces(pieces: readonly FilePiece[], signal?: AbortSignal): AsyncIterable<Uint8Array> {
  const extents = pieces.map(ofPath)
  return readExtents(openPath, extents, 0, sizeOf(extents), signal)
}

/** All of a file as extents whose blobs are paths. */
export async function contentOf(file: BootFile): Promise<Extent[]> {
  return (await file.pieces(0, file.sizeBytes)).map(ofPath)
}

/** The bytes of extents whose blobs are paths. @throws as readPieces */
export function readPaths(extents: readonly Extent[], signal: AbortSignal): AsyncIterable<Uint8Array> {
  return readExtents(openPath, extents, 0, sizeOf(extents), signal)
}

function ofPath(piece: FilePiece): Extent {
  return piece.kind === 'file' ? { kind: 'blob', blob: piece.path, offset: piece.offset, length: piece.length } : piece
}

async function openPath(path: string): Promise<OpenBlob> {
  const file = await open(path, 'r')
  return new OpenBlob(path, file, (await file.stat()).size)
}
