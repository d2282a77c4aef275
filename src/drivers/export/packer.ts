/** Packs a tar stream: gzip and zstd here, bzip2, lz4 and squashfs by their programs. */
import { createReadStream } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { constants, createGzip, createZstdCompress } from 'node:zlib'
import type { PackerPort, Packing } from '../../services/images/export/ports.ts'
import { setRootTime } from './squashfs-root.ts'
import { feedProgram, throughProgram } from '../stream-program.ts'

/** node:zlib is twice as fast with larger pieces. */
const CHUNK_BYTES = 256 << 10
/** Seconds since 1970 that squashfs can hold. */
const MAX_SECONDS = 0xffff_ffff

/** @param scratchDir where a squashfs lies while it is made: it is not written from the front to the end */
export function createPacker(scratchDir: string): PackerPort {
  return {
    pack(packing, input, signal) {
      switch (packing.kind) {
        case 'gzip':
          return through(createGzip({ chunkSize: CHUNK_BYTES }), input, signal)
        case 'bzip2':
          return throughProgram(
            { name: 'bzip2', args: ['-z', '-q', '-c'], doing: 'Cannot pack with bzip2' },
            input,
            signal,
          )
        case 'zstd':
          return through(zstd(), input, signal)
        case 'lz4':
          // The options of metal-stack's images: the best that lz4 can, independent blocks, a checksum over all.
          return throughProgram(
            { name: 'lz4', args: ['-9', '-z', '-q', '-c'], doing: 'Cannot pack with lz4' },
            input,
            signal,
          )
        case 'squashfs':
          return squashfs(packing, input, scratchDir, signal)
        default:
          return packing satisfies never
      }
    },
  }
}

function zstd(): Transform {
  return createZstdCompress({ chunkSize: CHUNK_BYTES, params: { [constants.ZSTD_c_checksumFlag]: 1 } })
}

async function* through(
  packer: Transform,
  input: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const fed = pipeline(input, packer, { signal })
  // Its failure destroys the packer, and so ends the reading below.
  fed.catch(() => {})
  try {
    yield* packer as AsyncIterable<Buffer>
    await fed
  } finally {
    packer.destroy()
    await fed.catch(() => {})
  }
}

/**
 * By sqfstar (squashfs-tools 4.5 or later). What the format cannot hold: fractions of seconds, times before 1970 and after 2106,
 * attributes other than `user.`, `trusted.` and `security.`, and those of the root directory.
 */
async function* squashfs(
  { root, madeAtSeconds }: Extract<Packing, { kind: 'squashfs' }>,
  input: AsyncIterable<Uint8Array>,
  scratchDir: string,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const own = await mkdtemp(join(scratchDir, 'squashfs-'))
  try {
    const path = join(own, 'image')
    const within = (seconds: number): number => Math.min(Math.max(seconds, 0), MAX_SECONDS)
    const args = ['-quiet', '-no-progress', '-exit-on-error', '-comp', 'zstd', '-noI', '-mem', '256M']
    const owner = ['-root-mode', root.mode.toString(8), '-root-uid', String(root.uid), '-root-gid', String(root.gid)]
    await feedProgram(
      {
        name: 'sqfstar',
        args: [...args, '-mkfs-time', String(within(madeAtSeconds)), ...owner, path],
        doing: 'Cannot make a squashfs',
      },
      input,
      signal,
    )
    await setRootTime(path, within(root.mtimeSeconds))
    yield* createReadStream(path, { highWaterMark: 1 << 20, signal }) as AsyncIterable<Buffer>
  } finally {
    await rm(own, { recursive: true, force: true })
  }
}
