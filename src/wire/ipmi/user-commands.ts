/** Users of a BMC, and who may come in how (IPMI v2.0 rev 1.1 §22.26 to §22.30, §23.2). */
import { Reader, Writer } from '../../base/bytes.ts'
import { command, nothing, type Codec } from './command.ts'
import { MAX_USER_BYTES } from './keys.ts'
import { NET_FN } from './message.ts'

/** "The channel that this request came by" (§6.3). */
export const THIS_CHANNEL = 0x0e
/** A user's limit of privilege that is none: it may not come in by this channel. */
export const NO_ACCESS = 0x0f

export interface UserAccess {
  /** Highest user id of this BMC; ids count from 1, and 1 has the empty name by the standard. */
  readonly maxUserId: number
  /** So many users from id 1 on have names that cannot be changed. */
  readonly fixedNames: number
  /** What Set User Password "enable" and "disable" did; undefined where the BMC does not say. */
  readonly isEnabled?: boolean
  readonly hasIpmi: boolean
  /** Level by number (PRIVILEGE), or NO_ACCESS. */
  readonly privilege: number
}

export const PASSWORD_OPERATION = { disable: 0, enable: 1, set: 2, test: 3 } as const

export interface UserPassword {
  readonly userId: number
  readonly operation: keyof typeof PASSWORD_OPERATION
  /** At most 20 bytes; up to 16 are sent in the form of IPMI 1.5, which every BMC knows. None for enable and disable. */
  readonly password?: Uint8Array
}

const userId = (r: Reader) => r.u8('user id') & 0x3f

const accessRequest: Codec<{ channel?: number; userId: number }> = {
  read(bytes) {
    const r = new Reader(bytes, 'Get User Access')
    return { channel: r.u8('channel') & 0x0f, userId: userId(r) }
  },
  write: (q) => Uint8Array.of(q.channel ?? THIS_CHANNEL, q.userId),
}
const accessAnswer: Codec<UserAccess> = {
  read(bytes) {
    const r = new Reader(bytes, 'User Access')
    const maxUserId = r.u8('highest user id') & 0x3f
    const status = r.u8('enabled users') >> 6
    const fixedNames = r.u8('fixed names') & 0x3f
    const access = r.u8('access')
    return {
      maxUserId,
      fixedNames,
      ...(status === 1 || status === 2 ? { isEnabled: status === 1 } : {}),
      hasIpmi: (access & 0x10) !== 0,
      privilege: access & 0x0f,
    }
  },
  write: (v) =>
    Uint8Array.of(
      v.maxUserId,
      v.isEnabled === undefined ? 0 : v.isEnabled ? 0x40 : 0x80,
      v.fixedNames,
      (v.hasIpmi ? 0x10 : 0) | v.privilege,
    ),
}

/** Bit 7 of the first byte says that the bits for IPMI and link authentication are meant. */
const setAccessRequest: Codec<{ channel?: number; userId: number; hasIpmi: boolean; privilege: number }> = {
  read(bytes) {
    const r = new Reader(bytes, 'Set User Access')
    const first = r.u8('channel and access')
    return {
      channel: first & 0x0f,
      hasIpmi: (first & 0x10) !== 0,
      userId: userId(r),
      privilege: r.u8('privilege') & 0x0f,
    }
  },
  write: (q) => Uint8Array.of(0x80 | (q.hasIpmi ? 0x10 : 0) | (q.channel ?? THIS_CHANNEL), q.userId, q.privilege),
}

const nameRequest: Codec<number> = {
  read: (bytes) => userId(new Reader(bytes, 'Get User Name')),
  write: (id) => Uint8Array.of(id),
}
const nameAnswer: Codec<string> = {
  read: (bytes) => readName(new Reader(bytes, 'User Name')),
  write: (name) => new Writer().field(new TextEncoder().encode(name), MAX_USER_BYTES).done(),
}
const setNameRequest: Codec<{ userId: number; name: string }> = {
  read(bytes) {
    const r = new Reader(bytes, 'Set User Name')
    return { userId: userId(r), name: readName(r) }
  },
  write: (q) => new Writer().u8(q.userId).field(new TextEncoder().encode(q.name), MAX_USER_BYTES).done(),
}

const passwordRequest: Codec<UserPassword> = {
  read(bytes) {
    const r = new Reader(bytes, 'Set User Password')
    const first = r.u8('user id')
    const number = r.u8('operation') & 0x03
    const operation = (Object.keys(PASSWORD_OPERATION) as UserPassword['operation'][])[number]!
    if (number < PASSWORD_OPERATION.set) return { userId: first & 0x3f, operation }
    const padded = r.take((first & 0x80) !== 0 ? 20 : 16, 'password')
    const end = padded.indexOf(0)
    return { userId: first & 0x3f, operation, password: end < 0 ? padded : padded.subarray(0, end) }
  },
  write({ userId, operation, password = new Uint8Array() }) {
    const isLong = password.length > 16
    const w = new Writer().u8((isLong ? 0x80 : 0) | userId).u8(PASSWORD_OPERATION[operation])
    if (PASSWORD_OPERATION[operation] >= PASSWORD_OPERATION.set) w.field(password, isLong ? 20 : 16)
    return w.done()
  },
}

/** SOL among the standard payloads of table 24-10. */
const SOL_PAYLOAD = 0x02
/** Lets a user activate Serial over LAN on a channel; bits 7 and 6 of the second byte say that payloads are enabled. */
const payloadAccessRequest: Codec<{ channel: number; userId: number }> = {
  read(bytes) {
    const r = new Reader(bytes, 'Set User Payload Access')
    return { channel: r.u8('channel') & 0x0f, userId: userId(r) }
  },
  write: (q) => Uint8Array.of(q.channel, q.userId, SOL_PAYLOAD, 0, 0, 0),
}

function readName(r: Reader): string {
  const bytes = r.take(Math.min(r.left, MAX_USER_BYTES), 'user name')
  const end = bytes.indexOf(0)
  return Buffer.from(end < 0 ? bytes : bytes.subarray(0, end)).toString('latin1')
}

const { app } = NET_FN

export const USER_COMMANDS = {
  setUserAccess: command('Set User Access', app, 0x43, 'administrator', true, '§22.26', setAccessRequest, nothing),
  getUserAccess: command('Get User Access', app, 0x44, 'operator', true, '§22.27', accessRequest, accessAnswer),
  setUserName: command('Set User Name', app, 0x45, 'administrator', true, '§22.28', setNameRequest, nothing),
  getUserName: command('Get User Name', app, 0x46, 'operator', true, '§22.29', nameRequest, nameAnswer),
  setUserPassword: command('Set User Password', app, 0x47, 'administrator', true, '§22.30', passwordRequest, nothing),
  setUserPayloadAccess: command(
    'Set User Payload Access',
    app,
    0x4c,
    'administrator',
    true,
    '§24.6',
    payloadAccessRequest,
    nothing,
  ),
} as const
