/**
 * The fixed newstyle handshake of the NBD protocol (proto.md of the NBD project, "Fixed newstyle negotiation", "Option types",
 * "Option reply types"): greeting, client flags, options, replies to options. All numbers are big-endian.
 */
import { Reader, Writer } from '../../base/bytes.ts'
import { WireError } from '../../base/errors.ts'

/** Port that IANA has for NBD. */
export const NBD_PORT = 10809

const NBDMAGIC = 0x4e42444d41474943n
const IHAVEOPT = 0x49484156454f5054n
const REPLY_MAGIC = 0x0003e889045565a9n
const GREETING_WHAT = 'NBD greeting'
const FLAGS_WHAT = 'NBD client flags'
const OPTION_WHAT = 'NBD option'
const REPLY_WHAT = 'NBD option reply'

export const NBD_LIMITS = {
  /** "MUST be no longer than 4096 bytes" */
  stringBytes: 4096,
  /** Data of one option: a name and its requests for information. */
  optionBytes: 8192,
  infoRequests: 64,
} as const

/** Of the server and of the client alike: "Handshake flags", "Client flags". */
const HANDSHAKE_FLAG = { fixedNewstyle: 1 << 0, noZeroes: 1 << 1 } as const

/** "Option types". */
export const NBD_OPTION = {
  exportName: 1,
  abort: 2,
  list: 3,
  startTls: 5,
  info: 6,
  go: 7,
  structuredReply: 8,
} as const

/** "Option reply types": errors have the highest bit. */
export const NBD_REP = { ack: 1, server: 2, info: 3 } as const
export const NBD_REP_ERR = {
  unsupported: 0x80000001,
  policy: 0x80000002,
  invalid: 0x80000003,
  platform: 0x80000004,
  tlsRequired: 0x80000005,
  unknown: 0x80000006,
  shutdown: 0x80000007,
  blockSizeRequired: 0x80000008,
  tooBig: 0x80000009,
} as const
export type NbdOptionError = keyof typeof NBD_REP_ERR

export const NBD_INFO = { export: 0, name: 1, description: 2, blockSize: 3 } as const

/** "Transmission flags". */
export const NBD_FLAG = {
  hasFlags: 1 << 0,
  readOnly: 1 << 1,
  sendFlush: 1 << 2,
  sendFua: 1 << 3,
  rotational: 1 << 4,
  sendTrim: 1 << 5,
  sendWriteZeroes: 1 << 6,
  sendDf: 1 << 7,
  canMultiConn: 1 << 8,
  sendResize: 1 << 9,
  sendCache: 1 << 10,
  sendFastZero: 1 << 11,
} as const

export interface ClientFlags {
  readonly isFixedNewstyle: boolean
  /** No 124 zeros after the answer to EXPORT_NAME. */
  readonly hasNoZeroes: boolean
}

/** What a client asks for. `malformed` is a whole frame whose data breaks its form: it is answered and the handshake goes on. */
export type NbdOption =
  | { readonly option: 'exportName'; readonly name: string }
  | { readonly option: 'abort' | 'list' | 'startTls' | 'structuredReply' }
  | { readonly option: 'info' | 'go'; readonly name: string; readonly requests: readonly number[] }
  | { readonly option: 'other'; readonly code: number; readonly data: Uint8Array }
  | { readonly option: 'malformed'; readonly code: number; readonly why: string }

export type NbdInfo =
  | { readonly info: 'export'; readonly sizeBytes: number; readonly flags: number }
  | { readonly info: 'name' | 'description'; readonly text: string }
  | {
      readonly info: 'blockSize'
      readonly minBytes: number
      readonly preferredBytes: number
      readonly maxBytes: number
    }

export type NbdOptionReply =
  | { readonly reply: 'ack' }
  | { readonly reply: 'server'; readonly name: string }
  | { readonly reply: 'info'; readonly info: NbdInfo }
  | { readonly reply: 'error'; readonly error: NbdOptionError; readonly message: string }
  /** Of extensions that we do not speak. */
  | { readonly reply: 'other'; readonly type: number; readonly data: Uint8Array }

/** What the server says first, 18 bytes. */
export function serializeGreeting(): Uint8Array {
  const flags = HANDSHAKE_FLAG.fixedNewstyle | HANDSHAKE_FLAG.noZeroes
  return new Writer(18).u64(NBDMAGIC).u64(IHAVEOPT).u16(flags).done()
}

/** @throws {WireError} when it is not the greeting of a newstyle server */
export function parseGreeting(bytes: Uint8Array): ClientFlags {
  const reader = new Reader(bytes, GREETING_WHAT)
  if (reader.u64('magic') !== NBDMAGIC) throw new WireError(GREETING_WHAT, 'it does not begin with NBDMAGIC')
  if (reader.u64('magic') !== IHAVEOPT) throw new WireError(GREETING_WHAT, 'it is not newstyle')
  return flagsIn(reader.u16('handshake flags'))
}

export const CLIENT_FLAGS_BYTES = 4

export function serializeClientFlags({ isFixedNewstyle, hasNoZeroes }: ClientFlags): Uint8Array {
  const fixed = isFixedNewstyle ? HANDSHAKE_FLAG.fixedNewstyle : 0
  return new Writer(CLIENT_FLAGS_BYTES).u32(fixed | (hasNoZeroes ? HANDSHAKE_FLAG.noZeroes : 0)).done()
}

/**
 * The client's answer to the greeting.
 * @throws {WireError} when it has a flag that the server did not offer: "the server MUST drop the TCP connection"
 */
export function parseClientFlags(bytes: Uint8Array): ClientFlags {
  const flags = new Reader(bytes, FLAGS_WHAT).u32('flags')
  if ((flags & ~(HANDSHAKE_FLAG.fixedNewstyle | HANDSHAKE_FLAG.noZeroes)) !== 0)
    throw new WireError(FLAGS_WHAT, `0x${flags.toString(16)} has flags that were not offered`)
  return flagsIn(flags)
}

function flagsIn(flags: number): ClientFlags {
  return {
    isFixedNewstyle: (flags & HANDSHAKE_FLAG.fixedNewstyle) !== 0,
    hasNoZeroes: (flags & HANDSHAKE_FLAG.noZeroes) !== 0,
  }
}

const OPTION_HEAD_BYTES = 16

/**
 * The first option of a stream, and how many bytes it takes; undefined while it has not arrived whole.
 * @throws {WireError} when there is no option there, or one of over 8 KiB: nothing that follows can be read either
 */
export function parseOption(bytes: Uint8Array): { option: NbdOption; bytes: number } | undefined {
  if (bytes.length < OPTION_HEAD_BYTES) return undefined
  const reader = new Reader(bytes, OPTION_WHAT)
  if (reader.u64('magic') !== IHAVEOPT) throw new WireError(OPTION_WHAT, 'it does not begin with IHAVEOPT')
  const code = reader.u32('option')
  const length = bounded(OPTION_WHAT, reader.u32('length'), NBD_LIMITS.optionBytes)
  if (reader.left < length) return undefined
  return { option: readOption(code, reader.take(length)), bytes: OPTION_HEAD_BYTES + length }
}

function readOption(code: number, data: Uint8Array): NbdOption {
  try {
    switch (code) {
      case NBD_OPTION.exportName:
        return { option: 'exportName', name: text(OPTION_WHAT, data) }
      case NBD_OPTION.abort:
        // "a server SHOULD ignore any data sent by the client"
        return { option: 'abort' }
      case NBD_OPTION.list:
      case NBD_OPTION.startTls:
      case NBD_OPTION.structuredReply:
        if (data.length > 0) throw new WireError(OPTION_WHAT, `${data.length} bytes of data where none may be`)
        return { option: BARE[code] }
      case NBD_OPTION.info:
      case NBD_OPTION.go:
        return { option: code === NBD_OPTION.go ? 'go' : 'info', ...readQuestion(data) }
      default:
        return { option: 'other', code, data: new Uint8Array(data) }
    }
  } catch (error) {
    if (!(error instanceof WireError)) throw error
    return { option: 'malformed', code, why: error.message }
  }
}

const BARE = {
  [NBD_OPTION.list]: 'list',
  [NBD_OPTION.startTls]: 'startTls',
  [NBD_OPTION.structuredReply]: 'structuredReply',
} as const

function readQuestion(data: Uint8Array): { name: string; requests: number[] } {
  const reader = new Reader(data, OPTION_WHAT)
  const name = text(OPTION_WHAT, reader.take(bounded(OPTION_WHAT, reader.u32('name length'), NBD_LIMITS.stringBytes)))
  const count = bounded(OPTION_WHAT, reader.u16('number of requests'), NBD_LIMITS.infoRequests)
  const requests = Array.from({ length: count }, () => reader.u16('request'))
  if (reader.left > 0) throw new WireError(OPTION_WHAT, `${reader.left} bytes are left over`)
  return { name, requests }
}

/** What a client sends; `malformed` has no bytes of its own. */
export function serializeOption(option: Exclude<NbdOption, { option: 'malformed' }>): Uint8Array {
  const data = new Writer()
  switch (option.option) {
    case 'exportName':
      data.utf8(option.name)
      break
    case 'info':
    case 'go': {
      const name = Buffer.from(option.name)
      data.u32(name.length).bytes(name).u16(option.requests.length)
      for (const request of option.requests) data.u16(request)
      break
    }
    case 'other':
      data.bytes(option.data)
  }
  const code = option.option === 'other' ? option.code : NBD_OPTION[option.option]
  return new Writer().u64(IHAVEOPT).u32(code).u32(data.length).bytes(data.done()).done()
}

/** One line for logs. An export's name is a secret and is not in it. */
export function describeOption(option: NbdOption): string {
  switch (option.option) {
    case 'info':
    case 'go':
      return `${option.option} with ${option.requests.length} requests`
    case 'other':
      return `option ${option.code} (${option.data.length} bytes)`
    case 'malformed':
      return `option ${option.code}: ${option.why}`
    default:
      return option.option
  }
}

/** The number of an option, as replies repeat it. */
export function optionCode(option: NbdOption): number {
  return option.option === 'other' || option.option === 'malformed' ? option.code : NBD_OPTION[option.option]
}

/** The answer to EXPORT_NAME; there is no answer that refuses. */
export function serializeExportNameReply(sizeBytes: number, flags: number, { hasNoZeroes }: ClientFlags): Uint8Array {
  return new Writer(134)
    .u64(BigInt(sizeBytes))
    .u16(flags)
    .zeros(hasNoZeroes ? 0 : 124)
    .done()
}

/** A reply to the option with this code. */
export function serializeOptionReply(code: number, reply: NbdOptionReply): Uint8Array {
  const data = new Writer()
  switch (reply.reply) {
    case 'ack':
      break
    case 'server': {
      const name = Buffer.from(reply.name)
      data.u32(name.length).bytes(name)
      break
    }
    case 'info':
      writeInfo(data, reply.info)
      break
    case 'error':
      data.utf8(reply.message)
      break
    case 'other':
      data.bytes(reply.data)
      break
    default:
      reply satisfies never
  }
  const type = replyType(reply)
  return new Writer().u64(REPLY_MAGIC).u32(code).u32(type).u32(data.length).bytes(data.done()).done()
}

function replyType(reply: NbdOptionReply): number {
  if (reply.reply === 'error') return NBD_REP_ERR[reply.error]
  return reply.reply === 'other' ? reply.type : NBD_REP[reply.reply]
}

function writeInfo(data: Writer, info: NbdInfo): void {
  data.u16(NBD_INFO[info.info])
  switch (info.info) {
    case 'export':
      data.u64(BigInt(info.sizeBytes)).u16(info.flags)
      return
    case 'name':
    case 'description':
      data.utf8(info.text)
      return
    case 'blockSize':
      data.u32(info.minBytes).u32(info.preferredBytes).u32(info.maxBytes)
      return
    default:
      info satisfies never
  }
}

const REPLY_HEAD_BYTES = 20
const ERROR_OF: ReadonlyMap<number, NbdOptionError> = new Map(
  Object.entries(NBD_REP_ERR).map(([error, code]) => [code, error as NbdOptionError]),
)

/**
 * The first reply of a stream, as a client reads it; undefined while it has not arrived whole.
 * @throws {WireError} when there is none there, or one whose data breaks its form
 */
export function parseOptionReply(
  bytes: Uint8Array,
): { code: number; reply: NbdOptionReply; bytes: number } | undefined {
  if (bytes.length < REPLY_HEAD_BYTES) return undefined
  const reader = new Reader(bytes, REPLY_WHAT)
  if (reader.u64('magic') !== REPLY_MAGIC) throw new WireError(REPLY_WHAT, 'its magic is not that of a reply')
  const code = reader.u32('option')
  const type = reader.u32('type')
  const length = bounded(REPLY_WHAT, reader.u32('length'), NBD_LIMITS.optionBytes)
  if (reader.left < length) return undefined
  const data = new Reader(reader.take(length), REPLY_WHAT)
  return { code, reply: readReply(type, data), bytes: REPLY_HEAD_BYTES + length }
}

function readReply(type: number, data: Reader): NbdOptionReply {
  switch (type) {
    case NBD_REP.ack:
      if (data.left > 0) throw new WireError(REPLY_WHAT, 'an acknowledgement with data')
      return { reply: 'ack' }
    case NBD_REP.server: {
      const name = data.take(data.u32('name length'), 'name')
      if (data.left > 0) throw new WireError(REPLY_WHAT, `${data.left} bytes are left over`)
      return { reply: 'server', name: text(REPLY_WHAT, name) }
    }
    case NBD_REP.info:
      return { reply: 'info', info: readInfo(data) }
  }
  const error = ERROR_OF.get(type)
  if (error === undefined) return { reply: 'other', type, data: new Uint8Array(data.rest()) }
  return { reply: 'error', error, message: text(REPLY_WHAT, data.rest()) }
}

function readInfo(data: Reader): NbdInfo {
  const type = data.u16('information')
  const info = ((): NbdInfo => {
    switch (type) {
      case NBD_INFO.export:
        return { info: 'export', sizeBytes: safe(data.u64('size')), flags: data.u16('flags') }
      case NBD_INFO.name:
      case NBD_INFO.description:
        return { info: type === NBD_INFO.name ? 'name' : 'description', text: text(REPLY_WHAT, data.rest()) }
      case NBD_INFO.blockSize: {
        const [minBytes, preferredBytes, maxBytes] = [data.u32('minimum'), data.u32('preferred'), data.u32('maximum')]
        return { info: 'blockSize', minBytes, preferredBytes, maxBytes }
      }
      default:
        throw new WireError(REPLY_WHAT, `information ${type} is not one of 0 to 3`)
    }
  })()
  if (data.left > 0) throw new WireError(REPLY_WHAT, `${data.left} bytes are left over`)
  return info
}

function safe(value: bigint): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new WireError(REPLY_WHAT, `a size of ${value} bytes`)
  return Number(value)
}

function bounded(what: string, value: number, most: number): number {
  if (value > most) throw new WireError(what, `a length of ${value}, at most ${most}`)
  return value
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** A string of the protocol: UTF-8 without NUL, at most 4096 bytes. */
function text(what: string, bytes: Uint8Array): string {
  bounded(what, bytes.length, NBD_LIMITS.stringBytes)
  if (bytes.includes(0)) throw new WireError(what, 'a string with a NUL in it')
  try {
    return decoder.decode(bytes)
  } catch {
    throw new WireError(what, 'a string that is not UTF-8')
  }
}
