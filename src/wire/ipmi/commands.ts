/**
 * The commands that we speak, as one table: number, needed privilege, clause, and the codecs of request and answer for both ends.
 * Answers are parsed only when the completion code was 0; a command whose answer says nothing has the codec `nothing`.
 */
import { Reader, Writer } from '../../base/bytes.ts'
import { WireError } from '../../base/errors.ts'
import { type BootParameter, parseBootParameter, serializeBootParameter } from './boot-options.ts'
import { command, nothing, oneByte, type Codec } from './command.ts'
import { DCMI_COMMANDS } from './dcmi.ts'
import { LAN_COMMANDS } from './lan-commands.ts'
import { NET_FN } from './message.ts'
import { PRIVILEGE, type Privilege } from './rakp.ts'
import { SENSOR_COMMANDS } from './sensor-commands.ts'
import { STORAGE_COMMANDS } from './storage-commands.ts'
import { THIS_CHANNEL, USER_COMMANDS } from './user-commands.ts'

/** Chassis Control (table 28-4). */
export const CHASSIS_CONTROL = { off: 0, on: 1, cycle: 2, reset: 3, diagnostic: 4, 'soft-off': 5 } as const
export type ChassisAction = keyof typeof CHASSIS_CONTROL

/** Payload types of Activate Payload; SOL is all that we activate. */
export const PAYLOAD_SOL = 1

export interface DeviceId {
  readonly deviceId: number
  readonly firmware: string
  readonly ipmiVersion: string
  /** IANA enterprise number; quirks hang on it. */
  readonly manufacturerId: number
  readonly productId: number
}
export interface ChannelAuthentication {
  readonly channel: number
  readonly hasIpmi20: boolean
  /** Sessions of IPMI 1.5 are open as well: not encrypted, and signed at best with MD5. */
  readonly hasIpmi15: boolean
  /** The BMC wants K_G, the second secret, to be set (bit 5 of the status). */
  readonly wantsKg: boolean
  readonly allowsAnonymous: boolean
  readonly hasNullUser: boolean
  readonly allowsNoAuthentication: boolean
}
export interface ChassisStatus {
  readonly isOn: boolean
  readonly hasPowerFault: boolean
  readonly hasInterlock: boolean
  /** Power restore policy bits: 0 stays off, 1 as before, 2 always on, 3 unknown. */
  readonly restorePolicy: number
  readonly lastEvent: number
  /** The identify light; undefined where the BMC does not say. */
  readonly identify?: (typeof IDENTIFY_STATES)[number]
}

const IDENTIFY_STATES = ['off', 'timed', 'on'] as const
const SAYS_IDENTIFY = 0x40
export interface PayloadActivation {
  readonly inboundBytes: number
  readonly outboundBytes: number
  readonly port: number
}

const guid: Codec<Uint8Array> = { read: (bytes) => new Reader(bytes, 'GUID').take(16, 'GUID'), write: (value) => value }
const bootParameter: Codec<BootParameter> = { read: parseBootParameter, write: serializeBootParameter }

const deviceId: Codec<DeviceId> = {
  read(bytes) {
    const r = new Reader(bytes, 'Device ID')
    const id = r.u8('device id')
    r.skip(1, 'revision')
    const firmware = `${r.u8('firmware') & 0x7f}.${r.u8('firmware').toString(16).padStart(2, '0')}`
    const version = r.u8('IPMI version')
    r.skip(1, 'support')
    const manufacturerId = r.u8('manufacturer') | (r.u8('manufacturer') << 8) | ((r.u8('manufacturer') & 0x0f) << 16)
    return {
      deviceId: id,
      firmware,
      ipmiVersion: `${version & 0x0f}.${version >> 4}`,
      manufacturerId,
      productId: r.u16le('product'),
    }
  },
  write(v) {
    const [major, minor] = v.firmware.split('.')
    const [high, low] = v.ipmiVersion.split('.')
    const w = new Writer().u8(v.deviceId).u8(0).u8(Number(major)).u8(Number.parseInt(minor!, 16))
    w.u8((Number(low) << 4) | Number(high)).u8(0)
    return w
      .u8(v.manufacturerId & 0xff)
      .u8((v.manufacturerId >> 8) & 0xff)
      .u8(v.manufacturerId >> 16)
      .u16le(v.productId)
      .done()
  },
}

const channelAuthentication: Codec<ChannelAuthentication> = {
  read(bytes) {
    const r = new Reader(bytes, 'Channel Authentication Capabilities')
    const channel = r.u8('channel') & 0x0f
    const types = r.u8('authentication types')
    const status = r.u8('status')
    const extended = r.u8('extended capabilities')
    return {
      channel,
      hasIpmi20: (types & 0x80) !== 0 && (extended & 0x02) !== 0,
      hasIpmi15: (types & 0x80) === 0 || (extended & 0x01) !== 0,
      wantsKg: (status & 0x20) !== 0,
      allowsAnonymous: (status & 0x01) !== 0,
      hasNullUser: (status & 0x02) !== 0,
      allowsNoAuthentication: (types & 0x01) !== 0,
    }
  },
  write(v) {
    const status = (v.wantsKg ? 0x20 : 0) | (v.hasNullUser ? 2 : 0) | (v.allowsAnonymous ? 1 : 0) | 0x04
    const types = (v.hasIpmi20 ? 0x80 : 0) | (v.allowsNoAuthentication ? 0x01 : 0)
    return new Writer()
      .u8(v.channel)
      .u8(types)
      .u8(status)
      .u8((v.hasIpmi20 ? 0x02 : 0) | (v.hasIpmi15 ? 0x01 : 0))
      .zeros(4)
      .done()
  },
}

const chassisStatus: Codec<ChassisStatus> = {
  read(bytes) {
    const r = new Reader(bytes, 'Chassis Status')
    const power = r.u8('power state')
    const lastEvent = r.u8('last power event')
    const misc = r.u8('misc state')
    const identify = (misc & SAYS_IDENTIFY) !== 0 ? IDENTIFY_STATES[(misc >> 4) & 0x03] : undefined
    return {
      isOn: (power & 0x01) !== 0,
      hasPowerFault: (power & 0x18) !== 0,
      hasInterlock: (power & 0x04) !== 0,
      restorePolicy: (power >> 5) & 0x03,
      lastEvent,
      ...(identify ? { identify } : {}),
    }
  },
  write(v) {
    const power = (v.isOn ? 1 : 0) | (v.hasInterlock ? 4 : 0) | (v.hasPowerFault ? 8 : 0) | (v.restorePolicy << 5)
    const misc = v.identify ? SAYS_IDENTIFY | (IDENTIFY_STATES.indexOf(v.identify) << 4) : 0
    return Uint8Array.of(power, v.lastEvent, misc)
  },
}

const chassisAction: Codec<ChassisAction> = {
  read(bytes) {
    const value = new Reader(bytes, 'Chassis Control').u8('action') & 0x0f
    const found = Object.entries(CHASSIS_CONTROL).find(([, number]) => number === value)
    if (!found) throw new WireError('Chassis Control', `action ${value} is reserved`)
    return found[0] as ChassisAction
  },
  write: (action) => Uint8Array.of(CHASSIS_CONTROL[action]),
}

const privilegeLevel: Codec<Privilege> = {
  read(bytes) {
    const value = new Reader(bytes, 'privilege level').u8('level') & 0x0f
    const found = Object.entries(PRIVILEGE).find(([, number]) => number === value)
    if (!found) throw new WireError('privilege level', `level ${value} is reserved`)
    return found[0] as Privilege
  },
  write: (level) => Uint8Array.of(PRIVILEGE[level]),
}

const sessionId: Codec<number> = {
  read: (bytes) => new Reader(bytes, 'Close Session').u32le('session id'),
  write: (id) => new Writer().u32le(id).done(),
}

/** Asked without a session; the high bit wants the RMCP+ answer. */
const authenticationRequest: Codec<{ channel?: number; privilege: Privilege }> = {
  read(bytes) {
    const r = new Reader(bytes, 'Get Channel Authentication Capabilities')
    return { channel: r.u8('channel') & 0x0f, privilege: privilegeLevel.read(r.rest()) }
  },
  write: (q) => Uint8Array.of(0x80 | (q.channel ?? THIS_CHANNEL), PRIVILEGE[q.privilege]),
}

/** Records come 16 bytes at a time; `index` counts the chunks. A chunk shorter than 16 bytes is the last. */
const suitesRequest: Codec<{ index: number }> = {
  read(bytes) {
    const r = new Reader(bytes, 'Get Channel Cipher Suites')
    r.skip(2, 'channel and payload type')
    return { index: r.u8('index') & 0x3f }
  },
  write: (q) => Uint8Array.of(THIS_CHANNEL, 0, 0x80 | q.index),
}
const suitesChunk: Codec<{ channel: number; records: Uint8Array }> = {
  read(bytes) {
    const r = new Reader(bytes, 'Get Channel Cipher Suites')
    return { channel: r.u8('channel'), records: r.take(Math.min(r.left, 16)) }
  },
  write: (a) => Uint8Array.of(a.channel, ...a.records),
}

const optionRequest: Codec<{ parameter: number }> = {
  read: (bytes) => ({ parameter: new Reader(bytes, 'Get System Boot Options').u8('parameter') & 0x7f }),
  write: (q) => Uint8Array.of(q.parameter, 0, 0),
}
const optionAnswer: Codec<BootParameter> = {
  read(bytes) {
    const r = new Reader(bytes, 'Get System Boot Options')
    r.skip(1, 'version')
    return parseBootParameter(r.rest())
  },
  write: (a) => Uint8Array.of(1, ...serializeBootParameter(a)),
}

/** `seconds` 0 turns the light off; `isForced` keeps it on until it is turned off, whatever the seconds (table 28-6). */
const identifyRequest: Codec<{ seconds: number; isForced: boolean }> = {
  read(bytes) {
    const r = new Reader(bytes, 'Chassis Identify')
    return { seconds: r.left > 0 ? r.u8() : 15, isForced: r.left > 0 && (r.u8() & 0x01) !== 0 }
  },
  // The second byte is optional and unknown to IPMI 1.5: sent only where it says something.
  write: (q) => (q.isForced ? Uint8Array.of(q.seconds, 1) : Uint8Array.of(q.seconds)),
}

/** Signed and encrypted SOL packets; alerts wait; CTS and DCD asserted at once (§24.1, table 24-2). */
const activateRequest: Codec<{ instance: number }> = {
  read(bytes) {
    const r = new Reader(bytes, 'Activate Payload')
    if ((r.u8('payload type') & 0x3f) !== PAYLOAD_SOL) throw new WireError('Activate Payload', 'its payload is not SOL')
    return { instance: r.u8('instance') & 0x0f }
  },
  write: (q) => Uint8Array.of(PAYLOAD_SOL, q.instance, 0xc0, 0, 0, 0),
}
const activation: Codec<PayloadActivation> = {
  read(bytes) {
    const r = new Reader(bytes, 'Activate Payload')
    r.skip(4, 'auxiliary data')
    return { inboundBytes: r.u16le('inbound size'), outboundBytes: r.u16le('outbound size'), port: r.u16le('port') }
  },
  write: (a) => new Writer().zeros(4).u16le(a.inboundBytes).u16le(a.outboundBytes).u16le(a.port).u16le(0xffff).done(),
}
const deactivateRequest: Codec<{ instance: number }> = {
  read: (bytes) => ({ instance: new Reader(bytes, 'Deactivate Payload').take(2)[1]! & 0x0f }),
  write: (q) => Uint8Array.of(PAYLOAD_SOL, q.instance, 0, 0, 0, 0),
}
const activationStatus: Codec<{ instanceCount: number; activeInstances: number }> = {
  read(bytes) {
    const r = new Reader(bytes, 'Get Payload Activation Status')
    return { instanceCount: r.u8('capacity') & 0x0f, activeInstances: r.u16le('active instances') }
  },
  write: (a) => new Writer().u8(a.instanceCount).u16le(a.activeInstances).done(),
}

const instanceRequest: Codec<{ payloadType: number; instance: number }> = {
  read(bytes) {
    const r = new Reader(bytes, 'Get Payload Instance Info')
    return { payloadType: r.u8('payload type'), instance: r.u8('instance') }
  },
  write: (q) => new Writer().u8(q.payloadType).u8(q.instance).done(),
}
/** The session that an instance is active on, 0 when on none; what follows depends on the payload. */
const instanceInfo: Codec<{ sessionId: number }> = {
  read: (bytes) => ({ sessionId: new Reader(bytes, 'Get Payload Instance Info').u32le('session id') }),
  write: (a) => new Writer().u32le(a.sessionId).bytes(new Uint8Array(8)).done(),
}

const { app, chassis } = NET_FN

export const COMMANDS = {
  getDeviceId: command('Get Device ID', app, 0x01, 'user', true, '§20.1', nothing, deviceId),
  getDeviceGuid: command('Get Device GUID', app, 0x08, 'user', true, '§20.8', nothing, guid),
  getSystemGuid: command('Get System GUID', app, 0x37, 'user', true, '§22.14', nothing, guid),
  getChannelAuthentication: command(
    'Get Channel Authentication Capabilities',
    app,
    0x38,
    'callback',
    true,
    '§22.13',
    authenticationRequest,
    channelAuthentication,
  ),
  setSessionPrivilege: command(
    'Set Session Privilege Level',
    app,
    0x3b,
    'user',
    true,
    '§22.18',
    privilegeLevel,
    oneByte('level'),
  ),
  closeSession: command('Close Session', app, 0x3c, 'callback', true, '§22.19', sessionId, nothing),
  activatePayload: command('Activate Payload', app, 0x48, 'user', false, '§24.1', activateRequest, activation),
  deactivatePayload: command('Deactivate Payload', app, 0x49, 'user', true, '§24.2', deactivateRequest, nothing),
  getPayloadActivationStatus: command(
    'Get Payload Activation Status',
    app,
    0x4a,
    'user',
    true,
    '§24.4',
    oneByte('payload type'),
    activationStatus,
  ),
  getPayloadInstanceInfo: command(
    'Get Payload Instance Info',
    app,
    0x4b,
    'user',
    true,
    '§24.5',
    instanceRequest,
    instanceInfo,
  ),
  getChannelCipherSuites: command(
    'Get Channel Cipher Suites',
    app,
    0x54,
    'callback',
    true,
    '§22.15',
    suitesRequest,
    suitesChunk,
  ),
  getChassisStatus: command('Get Chassis Status', chassis, 0x01, 'user', true, '§28.2', nothing, chassisStatus),
  chassisControl: command('Chassis Control', chassis, 0x02, 'operator', false, '§28.3', chassisAction, nothing),
  setBootOption: command('Set System Boot Options', chassis, 0x08, 'operator', true, '§28.12', bootParameter, nothing),
  getBootOption: command(
    'Get System Boot Options',
    chassis,
    0x09,
    'operator',
    true,
    '§28.13',
    optionRequest,
    optionAnswer,
  ),
  chassisIdentify: command('Chassis Identify', chassis, 0x04, 'operator', true, '§28.5', identifyRequest, nothing),
  ...STORAGE_COMMANDS,
  ...SENSOR_COMMANDS,
  ...USER_COMMANDS,
  ...LAN_COMMANDS,
  ...DCMI_COMMANDS,
} as const
