/**
 * The transmission phase of the NBD protocol (proto.md of the NBD project, "Request message", "Simple reply message",
 * "Structured reply chunk message"). Heads are written into a buffer of the caller's, since a server writes a great many of
 * them right before the bytes that they announce. All numbers are big-endian.
 */
import { WireError } from '../../base/errors.ts'

const REQUEST_MAGIC = 0x25609513
const SIMPLE_MAGIC = 0x67446698
const CHUNK_MAGIC = 0x668e33ef
const REQUEST_WHAT = 'NBD request'
const REPLY_WHAT = 'NBD reply'

/** "Request types". */
export const NBD_CMD = {
  read: 0,
  write: 1,
  disconnect: 2,
  flush: 3,
  trim: 4,
  cache: 5,
  writeZeroes: 6,
  blockStatus: 7,
  resize: 8,
} as const

/** "Command flags". */
export const NBD_CMD_FLAG = { fua: 1 << 0, noHole: 1 << 1, df: 1 << 2, reqOne: 1 << 3, fastZero: 1 << 4 } as const

/** "Error values". */
export const NBD_ERROR = {
  none: 0,
  EPERM: 1,
  EIO: 5,
  ENOMEM: 12,
  EINVAL: 22,
  ENOSPC: 28,
  EOVERFLOW: 75,
  ENOTSUP: 95,
  ESHUTDOWN: 108,
} as const

/** "Structured reply types". Those with bit 15 are errors. */
export const NBD_CHUNK = { none: 0, offsetData: 1, offsetHole: 2, error: 0x8001, errorOffset: 0x8002 } as const
const DONE_FLAG = 1 << 0

export const REQUEST_BYTES = 28
export const SIMPLE_REPLY_BYTES = 16
export const CHUNK_HEAD_BYTES = 20
/** Head of a chunk of data, its offset included. */
export const DATA_CHUNK_BYTES = CHUNK_HEAD_BYTES + 8
export const HOLE_CHUNK_BYTES = CHUNK_HEAD_BYTES + 12
/** Payload of a request that a peer may send or ask for: what is below 2^25 "SHOULD NOT be considered a denial of service". */
export const MAX_PAYLOAD_BYTES = 1 << 25
const MAX_MESSAGE_BYTES = 4096

export interface NbdRequest {
  readonly flags: number
  /** One of NBD_CMD, or what a server answers with EINVAL. */
  readonly command: number
  /** Repeated in each reply. */
  readonly cookie: bigint
  /** Offsets of 2^53 and more read as 2^53 - 1: no export reaches that far. */
  readonly offset: number
  readonly length: number
}

/**
 * The request whose 28 bytes begin at `at`. The payload of a write follows it and is not part of it.
 * @throws {WireError} when there is no request there: nothing that follows can be read either
 */
export function parseRequest(bytes: Buffer, at = 0): NbdRequest {
  if (bytes.length - at < REQUEST_BYTES)
    throw new WireError(REQUEST_WHAT, `${REQUEST_BYTES} bytes needed, ${bytes.length - at} left`)
  const magic = bytes.readUInt32BE(at)
  if (magic !== REQUEST_MAGIC) throw new WireError(REQUEST_WHAT, `its magic is 0x${magic.toString(16)}`)
  const offset = bytes.readUInt32BE(at + 16) * 2 ** 32 + bytes.readUInt32BE(at + 20)
  return {
    flags: bytes.readUInt16BE(at + 4),
    command: bytes.readUInt16BE(at + 6),
    cookie: bytes.readBigUInt64BE(at + 8),
    offset: Math.min(offset, Number.MAX_SAFE_INTEGER),
    length: bytes.readUInt32BE(at + 24),
  }
}

export function serializeRequest({ flags, command, cookie, offset, length }: NbdRequest): Buffer {
  const bytes = Buffer.alloc(REQUEST_BYTES)
  bytes.writeUInt32BE(REQUEST_MAGIC, 0)
  bytes.writeUInt16BE(flags, 4)
  bytes.writeUInt16BE(command, 6)
  bytes.writeBigUInt64BE(cookie, 8)
  bytes.writeBigUInt64BE(BigInt(offset), 16)
  bytes.writeUInt32BE(length, 24)
  return bytes
}

/** Writes a simple reply at `at`; the data of a read follows. @returns where it ends */
export function writeSimpleReply(into: Buffer, at: number, cookie: bigint, error: number): number {
  into.writeUInt32BE(SIMPLE_MAGIC, at)
  into.writeUInt32BE(error, at + 4)
  into.writeBigUInt64BE(cookie, at + 8)
  return at + SIMPLE_REPLY_BYTES
}

/** Where in the export a chunk's bytes lie, and whether it is the last of its reply. */
export interface ChunkPlace {
  readonly offset: number
  readonly length: number
  readonly isLast: boolean
}

/** Writes the head of OFFSET_DATA at `at`; `length` bytes of data follow. @returns where it ends */
export function writeDataChunk(
  into: Buffer,
  at: number,
  cookie: bigint,
  { offset, length, isLast }: ChunkPlace,
): number {
  const data = writeChunkHead(into, at, { type: NBD_CHUNK.offsetData, cookie, length: 8 + length, isLast })
  return into.writeBigUInt64BE(BigInt(offset), data)
}

/** Writes OFFSET_HOLE at `at`: `length` zeros that need not be sent. @returns where it ends */
export function writeHoleChunk(
  into: Buffer,
  at: number,
  cookie: bigint,
  { offset, length, isLast }: ChunkPlace,
): number {
  const data = writeChunkHead(into, at, { type: NBD_CHUNK.offsetHole, cookie, length: 12, isLast })
  return into.writeUInt32BE(length, into.writeBigUInt64BE(BigInt(offset), data))
}

/** Writes NONE at `at`: a request without data is done. @returns where it ends */
export function writeDoneChunk(into: Buffer, at: number, cookie: bigint): number {
  return writeChunkHead(into, at, { type: NBD_CHUNK.none, cookie, length: 0, isLast: true })
}

/** Writes ERROR at `at`, the last chunk of its reply. @param message in ASCII, short @returns where it ends */
export function writeErrorChunk(into: Buffer, at: number, cookie: bigint, error: number, message: string): number {
  const length = 6 + message.length
  const data = writeChunkHead(into, at, { type: NBD_CHUNK.error, cookie, length, isLast: true })
  const text = into.writeUInt16BE(message.length, into.writeUInt32BE(error, data))
  return text + into.write(message, text, 'latin1')
}

interface ChunkHead {
  readonly type: number
  readonly cookie: bigint
  readonly length: number
  readonly isLast: boolean
}

function writeChunkHead(into: Buffer, at: number, { type, cookie, length, isLast }: ChunkHead): number {
  into.writeUInt32BE(CHUNK_MAGIC, at)
  into.writeUInt16BE(isLast ? DONE_FLAG : 0, at + 4)
  into.writeUInt16BE(type, at + 6)
  into.writeBigUInt64BE(cookie, at + 8)
  return into.writeUInt32BE(length, at + 16)
}

/** A reply as a client reads it. That of a read is followed by data which only the request tells the length of. */
export type NbdReply =
  | { readonly kind: 'simple'; readonly cookie: bigint; readonly error: number }
  | { readonly kind: 'none'; readonly cookie: bigint; readonly isLast: boolean }
  | ({ readonly kind: 'data' | 'hole'; readonly cookie: bigint; readonly offset: number; readonly length: number } & {
      readonly isLast: boolean
    })
  | { readonly kind: 'error'; readonly cookie: bigint; readonly error: number; readonly message: string }

/**
 * The head of the first reply of a stream, and how many bytes it takes (the bytes of `data` come behind); undefined while it
 * has not arrived whole.
 * @throws {WireError} when there is none there, or one that we never send
 */
export function parseReply(bytes: Buffer): { reply: NbdReply; bytes: number } | undefined {
  if (bytes.length < SIMPLE_REPLY_BYTES) return undefined
  const magic = bytes.readUInt32BE(0)
  const cookie = bytes.readBigUInt64BE(8)
  if (magic === SIMPLE_MAGIC)
    return { reply: { kind: 'simple', cookie, error: bytes.readUInt32BE(4) }, bytes: SIMPLE_REPLY_BYTES }
  if (magic !== CHUNK_MAGIC) throw new WireError(REPLY_WHAT, `its magic is 0x${magic.toString(16)}`)
  if (bytes.length < CHUNK_HEAD_BYTES) return undefined
  const isLast = (bytes.readUInt16BE(4) & DONE_FLAG) !== 0
  const type = bytes.readUInt16BE(6)
  const length = bytes.readUInt32BE(16)
  if (type === NBD_CHUNK.none && length === 0)
    return { reply: { kind: 'none', cookie, isLast }, bytes: CHUNK_HEAD_BYTES }
  const fixedBytes = FIXED_BYTES[type]
  if (fixedBytes === undefined || length < fixedBytes || length > fixedBytes + MAX_PAYLOAD_BYTES)
    throw new WireError(REPLY_WHAT, `a chunk of type ${type} with ${length} bytes`)
  if (bytes.length < CHUNK_HEAD_BYTES + fixedBytes) return undefined
  if (type === NBD_CHUNK.error) return readError(bytes, cookie, length)
  const offset = Number(bytes.readBigUInt64BE(CHUNK_HEAD_BYTES))
  if (!Number.isSafeInteger(offset)) throw new WireError(REPLY_WHAT, `a chunk at ${offset}`)
  if (type === NBD_CHUNK.offsetData)
    return { reply: { kind: 'data', cookie, offset, length: length - 8, isLast }, bytes: DATA_CHUNK_BYTES }
  if (length !== 12) throw new WireError(REPLY_WHAT, `a hole of ${length} bytes`)
  const holeBytes = bytes.readUInt32BE(CHUNK_HEAD_BYTES + 8)
  return { reply: { kind: 'hole', cookie, offset, length: holeBytes, isLast }, bytes: HOLE_CHUNK_BYTES }
}

/** Bytes of a chunk's data that are always there, by type. */
const FIXED_BYTES: Readonly<Record<number, number>> = {
  [NBD_CHUNK.offsetData]: 8,
  [NBD_CHUNK.offsetHole]: 12,
  [NBD_CHUNK.error]: 6,
}

function readError(bytes: Buffer, cookie: bigint, length: number): { reply: NbdReply; bytes: number } | undefined {
  const messageBytes = bytes.readUInt16BE(CHUNK_HEAD_BYTES + 4)
  if (messageBytes > MAX_MESSAGE_BYTES || length !== 6 + messageBytes)
    throw new WireError(REPLY_WHAT, `a message of ${messageBytes} bytes in a chunk of ${length}`)
  const end = CHUNK_HEAD_BYTES + length
  if (bytes.length < end) return undefined
  const message = bytes.toString('latin1', end - messageBytes, end)
  return { reply: { kind: 'error', cookie, error: bytes.readUInt32BE(CHUNK_HEAD_BYTES), message }, bytes: end }
}

/** One line for logs. */
export function describeRequest({ command, flags, offset, length }: NbdRequest): string {
  const name = Object.entries(NBD_CMD).find(([, code]) => code === command)?.[0] ?? `command ${command}`
  return `${name} of ${length} bytes at ${offset}${flags === 0 ? '' : `, flags 0x${flags.toString(16)}`}`
}
