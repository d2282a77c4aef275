/**
 * The superblock that `veritysetup` writes in front of a hash tree (cryptsetup, "DMVerity", Verity superblock format). The
 * kernel does not read it: a table says the same. It makes the device one that tools can verify by themselves.
 */
import { Reader, Writer } from '../../base/bytes.ts'
import { WireError } from '../../base/errors.ts'
import { BLOCK_BYTES } from './block.ts'

export interface VeritySuperblock {
  /** 16 bytes. */
  readonly uuid: Uint8Array
  readonly dataBlocks: number
}

export const VERITY_SUPERBLOCK_BYTES = 512
const WHAT = 'verity superblock'
const SIGNATURE = 'verity\0\0'
const VERSION = 1
/** Hash type 1: a digest is of salt, then data, and takes a power of two of bytes. */
const HASH_TYPE = 1
const ALGORITHM = 'sha256'

/** Version 1, SHA-256, no salt, blocks of 4096 bytes for data and hashes. */
export function serializeVeritySuperblock({ uuid, dataBlocks }: VeritySuperblock): Uint8Array {
  return new Writer(VERITY_SUPERBLOCK_BYTES)
    .utf8(SIGNATURE)
    .u32le(VERSION)
    .u32le(HASH_TYPE)
    .field(uuid, 16)
    .field(Buffer.from(ALGORITHM), 32)
    .u32le(BLOCK_BYTES)
    .u32le(BLOCK_BYTES)
    .u64le(BigInt(dataBlocks))
    .u16le(0) // bytes of salt
    .zeros(6 + 256 + 168)
    .done()
}

/** @throws {WireError} when it is none, or one of other parameters than ours */
export function parseVeritySuperblock(bytes: Uint8Array): VeritySuperblock {
  const reader = new Reader(bytes, WHAT)
  if (reader.latin1(8, 'signature') !== SIGNATURE) throw new WireError(WHAT, 'it has no signature')
  const versions = `${reader.u32le('version')}.${reader.u32le('hash type')}`
  if (versions !== `${VERSION}.${HASH_TYPE}`) throw new WireError(WHAT, `version and hash type ${versions}, not 1.1`)
  const uuid = Uint8Array.from(reader.take(16, 'uuid'))
  const algorithm = reader.latin1(32, 'algorithm').replace(/\0.*$/s, '')
  if (algorithm !== ALGORITHM) throw new WireError(WHAT, `hashes by ${JSON.stringify(algorithm)}, not ${ALGORITHM}`)
  for (const field of ['data block size', 'hash block size']) {
    const size = reader.u32le(field)
    if (size !== BLOCK_BYTES) throw new WireError(WHAT, `${field} ${size}, not ${BLOCK_BYTES}`)
  }
  const dataBlocks = Number(reader.u64le('data blocks'))
  if (dataBlocks === 0 || !Number.isSafeInteger(dataBlocks * BLOCK_BYTES))
    throw new WireError(WHAT, `${dataBlocks} data blocks`)
  const saltBytes = reader.u16le('salt size')
  if (saltBytes !== 0) throw new WireError(WHAT, `a salt of ${saltBytes} bytes, none is expected`)
  reader.skip(VERITY_SUPERBLOCK_BYTES - reader.at, 'salt')
  return { uuid, dataBlocks }
}
