/** Power readings of the Data Center Manageability Interface (DCMI v1.5 rev 1.0 §6.6.1), a group extension of IPMI. */
import { Reader, Writer } from '../../base/bytes.ts'
import { WireError } from '../../base/errors.ts'
import { command, type Codec } from './command.ts'
import { NET_FN } from './message.ts'

/** The group's number: the first byte of each request and answer. */
const DCMI = 0xdc
const SYSTEM_POWER = 0x01
const IS_ACTIVE = 0x40

/** All but the times in watts, over `periodMs`. */
export interface PowerReading {
  readonly currentWatts: number
  readonly minimumWatts: number
  readonly maximumWatts: number
  readonly averageWatts: number
  /** Seconds of the BMC's clock. */
  readonly atSeconds: number
  readonly periodMs: number
  /** Off: the numbers are old, or none. */
  readonly isActive: boolean
}

const request: Codec<void> = {
  read(bytes) {
    checkGroup(new Reader(bytes, 'Get Power Reading').u8('group'))
  },
  write: () => Uint8Array.of(DCMI, SYSTEM_POWER, 0, 0),
}

const answer: Codec<PowerReading> = {
  read(bytes) {
    const r = new Reader(bytes, 'Power Reading')
    checkGroup(r.u8('group'))
    return {
      currentWatts: r.u16le('current power'),
      minimumWatts: r.u16le('minimum power'),
      maximumWatts: r.u16le('maximum power'),
      averageWatts: r.u16le('average power'),
      atSeconds: r.u32le('time'),
      periodMs: r.u32le('period'),
      isActive: (r.u8('state') & IS_ACTIVE) !== 0,
    }
  },
  write: (v) =>
    new Writer()
      .u8(DCMI)
      .u16le(v.currentWatts)
      .u16le(v.minimumWatts)
      .u16le(v.maximumWatts)
      .u16le(v.averageWatts)
      .u32le(v.atSeconds)
      .u32le(v.periodMs)
      .u8(v.isActive ? IS_ACTIVE : 0)
      .done(),
}

function checkGroup(group: number): void {
  if (group !== DCMI) throw new WireError('DCMI message', `group 0x${group.toString(16)} is not DCMI`)
}

export const DCMI_COMMANDS = {
  getPowerReading: command(
    'Get Power Reading (DCMI)',
    NET_FN.group,
    0x02,
    'user',
    true,
    'DCMI §6.6.1',
    request,
    answer,
  ),
} as const
