/** Completion codes of IPMI responses in words (IPMI v2.0 rev 1.1 §5.2, table 5-2, and the command's own clause for 80h to BEh). */

export const COMPLETION = {
  ok: 0x00,
  /** 80h where a boot option parameter is not there (§28.12, §28.13). */
  noSuchParameter: 0x80,
  setInProgress: 0x81,
  readOnly: 0x82,
  /** 80h where another session has the payload (§24.1). */
  payloadTaken: 0x80,
  payloadDisabled: 0x81,
  /** 81h where a storage command finds the device in the middle of something (§31, §34.2). */
  storageBusy: 0x81,
  busy: 0xc0,
  unknownCommand: 0xc1,
  timeout: 0xc3,
  requestLength: 0xc7,
  reservationLost: 0xc5,
  fieldLength: 0xc8,
  parameterRange: 0xc9,
  tooManyBytes: 0xca,
  notPresent: 0xcb,
  invalidField: 0xcc,
  cannotAnswerNow: 0xce,
  updatingRecords: 0xd0,
  updatingFirmware: 0xd1,
  initializing: 0xd2,
  insufficientPrivilege: 0xd4,
  notInThisState: 0xd5,
  subFunctionOff: 0xd6,
  unspecified: 0xff,
} as const

const GENERIC: Readonly<Record<number, string>> = {
  0x00: 'completed normally',
  0xc0: 'busy',
  0xc1: 'does not know this command',
  0xc2: 'does not know this command for this unit',
  0xc3: 'timed out while processing',
  0xc4: 'out of space',
  0xc5: 'reservation cancelled or invalid',
  0xc6: 'request data truncated',
  0xc7: 'request data length invalid',
  0xc8: 'request data field length limit exceeded',
  0xc9: 'parameter out of range',
  0xca: 'cannot return that many bytes',
  0xcb: 'requested sensor, data or record not present',
  0xcc: 'invalid data field in the request',
  0xcd: 'command illegal for this sensor or record type',
  0xce: 'response could not be provided',
  0xcf: 'cannot execute a duplicated request',
  0xd0: 'sensor data repository is being updated',
  0xd1: 'device is in firmware update mode',
  0xd2: 'initialization in progress',
  0xd3: 'destination unavailable',
  0xd4: 'insufficient privilege level',
  0xd5: 'not supported in the present state',
  0xd6: 'sub-function disabled or unavailable',
  0xff: 'unspecified error',
}

/** 80h to BEh mean what the command says; keys are `netFn/command` in hexadecimal. */
const SPECIFIC: Readonly<Record<string, Readonly<Record<number, string>>>> = {
  '0/8': { 0x80: 'parameter not supported', 0x81: 'a set is already in progress', 0x82: 'parameter is read-only' },
  '0/9': { 0x80: 'parameter not supported' },
  'a/11': { 0x81: 'FRU device busy' },
  'a/40': { 0x81: 'an erase of the log is in progress' },
  'a/43': { 0x81: 'an erase of the log is in progress' },
  '6/47': { 0x80: 'password test failed', 0x81: 'password has the wrong length' },
  '6/3b': {
    0x80: 'level not available to this user',
    0x81: 'level exceeds the limit of the channel',
    0x82: 'user level authentication cannot be disabled',
  },
  '6/3c': { 0x87: 'invalid session id', 0x88: 'invalid session handle' },
  '6/48': {
    0x80: 'payload is already active in another session',
    0x81: 'payload type is disabled',
    0x82: 'activation limit reached',
    0x83: 'cannot be activated with encryption',
    0x84: 'cannot be activated without encryption',
  },
  '6/49': { 0x80: 'payload is already inactive', 0x81: 'payload type is disabled' },
}

/** What a completion code says, in words and with its number: `busy (C0h)`. */
export function describeCompletion(netFn: number, command: number, completion: number): string {
  const words =
    SPECIFIC[`${netFn.toString(16)}/${command.toString(16)}`]?.[completion] ??
    GENERIC[completion] ??
    'code of this maker or command'
  return `${words} (${completion.toString(16).toUpperCase().padStart(2, '0')}h)`
}
