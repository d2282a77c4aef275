/** The tar of a root file system of 2 GB: a busybox and files that do not compress, each with a marker at its begin. */
import { createHash } from 'node:crypto'
import { closeSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { tarEntry, type TarField } from '../../src/formats/tar/tar-maker.ts'

const FILE_BYTES = 100 << 20
const PIECE_BYTES = 1 << 20
const APPLETS = 'sh cat md5sum du head ls true sleep'

interface LargeFile {
  readonly name: string
  readonly marker: string
  readonly md5: string
}

/** What is in `/big`, in the order of the names. */
export const LARGE_FILES: readonly LargeFile[] = Array.from({ length: 20 }, (_, at) => {
  const name = String(at + 1).padStart(2, '0')
  const hash = createHash('md5')
  for (const piece of pieces(name)) hash.update(piece)
  return { name, marker: markerOf(name), md5: hash.digest('hex') }
})

/** Writes the tar into a folder; it goes when disposed. */
export function largeRoot(directory: string): Disposable & { readonly path: string } {
  const path = join(directory, 'large-root.tar')
  const file = openSync(path, 'w')
  try {
    const fields: TarField[] = [
      { name: 'bin/', type: '5', mode: '0000755' },
      { name: 'bin/busybox', mode: '0000755', data: readFileSync('/bin/busybox') },
      ...APPLETS.split(' ').map((name) => ({ name: `bin/${name}`, type: '2', link: 'busybox' })),
      { name: 'big/', type: '5', mode: '0000755' },
    ]
    for (const field of fields) writeSync(file, tarEntry(field))
    for (const { name } of LARGE_FILES) {
      writeSync(file, tarEntry({ name: `big/${name}`, size: FILE_BYTES.toString(8).padStart(11, '0') }))
      for (const piece of pieces(name)) writeSync(file, piece)
    }
    writeSync(file, Buffer.alloc(1024))
  } finally {
    closeSync(file)
  }
  return { path, [Symbol.dispose]: () => rmSync(path) }
}

function markerOf(name: string): string {
  return `bareboat large file ${name}.`
}

/** A file's bytes: the same every time, and no two blocks alike. */
function* pieces(name: string): Generator<Buffer> {
  const piece = Buffer.alloc(PIECE_BYTES)
  for (let at = 0; at < PIECE_BYTES; at += 4)
    piece.writeUInt32LE(Math.imul(at + Number(name) + 1, 2_654_435_761) >>> 0, at)
  for (let number = 0; number < FILE_BYTES / PIECE_BYTES; number += 1) {
    for (let at = 0; at < PIECE_BYTES; at += 4096) piece.writeUInt32LE(number * 256 + at / 4096, at)
    if (number === 0) piece.write(markerOf(name), 8)
    yield piece
  }
}
