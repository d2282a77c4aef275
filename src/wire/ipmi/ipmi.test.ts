import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fromHex, toHex } from '../../base/bytes.ts'
import { WireError } from '../../base/errors.ts'
import { BOOT_DEVICE, bootDeviceName, parseBootFlags, serializeBootFlags } from './boot-options.ts'
import { CIPHER_SUITES, parseCipherSuiteRecords, serializeCipherSuiteRecords, suiteOf } from './cipher-suites.ts'
import { COMMANDS } from './commands.ts'
import { describeCompletion } from './completion.ts'
import {
  decryptPayload,
  deriveKeys,
  encryptPayload,
  integrityCode,
  MAX_PASSWORD_BYTES,
  type KeyExchange,
} from './keys.ts'
import { checksum, parseIpmiRequest, parseIpmiResponse, serializeIpmiRequest } from './message.ts'
import {
  openPacket,
  parseSessionPacket,
  sealPacket,
  serializePlain,
  serializeV15,
  type RmcpPlusPacket,
} from './session-packet.ts'
import { nextSolSequence } from './sol.ts'

test('the checksum and the bytes add up to 0', () => {
  assert.equal(checksum(fromHex('2018')), 0xc8)
  assert.equal(checksum(fromHex('')), 0)
})

test('a request is what ipmitool sends, and each wrong byte is found', () => {
  const hex = '2018c88100388e04b5'
  const request = { netFn: 6, command: 0x38, sequence: 0, data: fromHex('8e04') }
  assert.deepEqual(parseIpmiRequest(fromHex(hex)), request)
  assert.equal(toHex(serializeIpmiRequest(request)), hex)
  for (let at = 0; at < hex.length / 2; at++) {
    const bytes = fromHex(hex)
    bytes[at]! ^= 0x10
    assert.throws(() => parseIpmiRequest(bytes), WireError, `byte ${at}`)
  }
  assert.throws(() => parseIpmiResponse(fromHex(hex)), /network function 6 is a request's/)
  assert.throws(() => parseIpmiRequest(new Uint8Array(2000)), /2000 bytes, more than 1024/)
})

const exchange: KeyExchange = {
  suite: CIPHER_SUITES[17],
  consoleSessionId: 1,
  bmcSessionId: 2,
  consoleRandom: new Uint8Array(16).fill(1),
  bmcRandom: new Uint8Array(16).fill(2),
  bmcGuid: new Uint8Array(16).fill(3),
  role: 0x14,
  user: 'admin',
  password: new TextEncoder().encode('secret'),
}

for (const suite of [CIPHER_SUITES[3], CIPHER_SUITES[17]])
  test(`suite ${suite.id}: a payload of any length comes back; a changed bit anywhere does not`, () => {
    const keys = deriveKeys({ ...exchange, suite })
    for (let length = 0; length < 50; length++) {
      const payload = new Uint8Array(length).map((_, i) => i)
      const body = sealPacket(keys, {
        payloadType: 'ipmi',
        sessionId: 7,
        sequence: 9,
        payload,
        iv: new Uint8Array(16).fill(5),
      })
      assert.equal((body.length - suite.integrityBytes) % 4, 0)
      const packet = parseSessionPacket(body) as RmcpPlusPacket
      assert.deepEqual([packet.sessionId, packet.sequence, packet.payloadType], [7, 9, 0])
      assert.equal(toHex(openPacket(keys, packet)), toHex(payload))
      for (let at = 0; at < body.length; at++) {
        const changed = body.slice()
        changed[at]! ^= 0x01
        assert.throws(
          () => openPacket(keys, parseSessionPacket(changed) as RmcpPlusPacket),
          WireError,
          `length ${length}, byte ${at}`,
        )
      }
    }
  })

test('what is not signed and encrypted is not opened, whatever it says', () => {
  const keys = deriveKeys(exchange)
  const packet = parseSessionPacket(serializePlain('ipmi', fromHex('2018c88100388e04b5'))) as RmcpPlusPacket
  assert.throws(() => openPacket(keys, packet), /not both signed and encrypted/)
})

test('a wrong pad inside a rightly signed packet is refused', () => {
  const keys = deriveKeys(exchange)
  const whole = encryptPayload(keys, new Uint8Array(31).fill(0x20), new Uint8Array(16))
  assert.throws(() => decryptPayload(keys, whole.subarray(0, 32)), /pad of 32 bytes is longer than a block/)
  const other = encryptPayload(keys, new Uint8Array(31).fill(3), new Uint8Array(16))
  assert.throws(() => decryptPayload(keys, other.subarray(0, 32)), /byte 0 of the pad is 3, not 1/)
  assert.throws(() => decryptPayload(keys, whole.subarray(0, 40)), /whole blocks/)
  assert.throws(() => decryptPayload(keys, whole.subarray(0, 16)), /whole blocks/)
})

test('a password of 20 bytes and the same padded with zeros give the same keys, as HMAC pads', () => {
  const padded = new Uint8Array(MAX_PASSWORD_BYTES)
  padded.set(exchange.password)
  assert.deepEqual(deriveKeys({ ...exchange, password: padded }), deriveKeys(exchange))
  assert.equal(integrityCode(deriveKeys(exchange), fromHex('00')).length, 16)
})

test('v1.5 packets outside a session come back', () => {
  const packet = parseSessionPacket(serializeV15(fromHex('aabbcc')))
  assert.deepEqual(packet, { format: 'v1.5', authType: 0, sequence: 0, sessionId: 0, payload: fromHex('aabbcc') })
  assert.throws(() => parseSessionPacket(fromHex('0602' + '00'.repeat(20))), /type of a maker/)
  assert.throws(() => parseSessionPacket(fromHex('0600' + '00'.repeat(8) + 'ffff')), /payload of 65535 bytes/)
})

test('only the suites that authenticate, sign and encrypt are known; 0 and its like are not', () => {
  assert.equal(suiteOf({ authentication: 1, integrity: 1, confidentiality: 1 })?.id, 3)
  assert.equal(suiteOf({ authentication: 3, integrity: 4, confidentiality: 1 })?.id, 17)
  const weak = [
    [0, 0, 0],
    [1, 0, 0],
    [1, 1, 0],
    [1, 1, 2],
    [2, 2, 1],
    [3, 0, 0],
    [3, 4, 0],
  ] as const
  for (const [authentication, integrity, confidentiality] of weak)
    assert.equal(suiteOf({ authentication, integrity, confidentiality }), undefined)
})

test("cipher suite records, a maker's own among them, come back", () => {
  const hex = 'c003014181' + 'c0110344' + '81'
  const suites = [
    { id: 3, authentication: 1, integrity: [1], confidentiality: [1] },
    { id: 17, authentication: 3, integrity: [4], confidentiality: [1] },
  ]
  assert.deepEqual(parseCipherSuiteRecords(fromHex(hex)), suites)
  assert.equal(toHex(serializeCipherSuiteRecords(suites)), hex)
  const own = [{ id: 0x80, oem: 674, authentication: 1, integrity: [1, 4], confidentiality: [] }]
  assert.deepEqual(parseCipherSuiteRecords(serializeCipherSuiteRecords(own)), own)
  assert.throws(() => parseCipherSuiteRecords(fromHex('05')), /starts with 0x5/)
})

test('boot flags: what ipmitool sends for PXE on UEFI, once', () => {
  const flags = { isValid: true, isPersistent: false, isUefi: true, device: BOOT_DEVICE.pxe }
  assert.equal(toHex(serializeBootFlags(flags)), 'a004000000')
  assert.deepEqual(parseBootFlags(fromHex('a004000000')), flags)
  assert.equal(bootDeviceName(1), 'pxe')
  assert.equal(bootDeviceName(9), 'device 9')
  assert.throws(() => parseBootFlags(fromHex('a0')), WireError)
})

const answers = [
  {
    command: COMMANDS.getChassisStatus,
    hex: '610000',
    value: { isOn: true, hasPowerFault: false, hasInterlock: false, restorePolicy: 3, lastEvent: 0 },
  },
  {
    command: COMMANDS.getDeviceId,
    hex: '20000908' + '0200' + '911200' + '020f',
    value: { deviceId: 32, firmware: '9.08', ipmiVersion: '2.0', manufacturerId: 0x1291, productId: 0xf02 },
  },
  {
    command: COMMANDS.activatePayload,
    hex: '00000000' + '4000' + '4000' + '6f02' + 'ffff',
    value: { inboundBytes: 64, outboundBytes: 64, port: 623 },
  },
  {
    command: COMMANDS.getPayloadInstanceInfo,
    hex: '820000000000000000000000',
    value: { sessionId: 0x82 },
  },
  { command: COMMANDS.getPayloadActivationStatus, hex: '010100', value: { instanceCount: 1, activeInstances: 1 } },
  {
    command: COMMANDS.getBootOption,
    hex: '01' + '05' + 'a004000000',
    value: { parameter: 5, data: fromHex('a004000000') },
  },
] as const
for (const { command, hex, value } of answers)
  test(`${command.name}: the answer comes back`, () => {
    assert.deepEqual(command.answer.read(fromHex(hex)), value)
    assert.equal(toHex((command.answer.write as (v: unknown) => Uint8Array)(value)), hex)
    assert.throws(() => command.answer.read(new Uint8Array()), WireError)
  })

test("completion codes have words, the command's own first", () => {
  assert.equal(describeCompletion(0, 8, 0x80), 'parameter not supported (80h)')
  assert.equal(describeCompletion(6, 0x48, 0x80), 'payload is already active in another session (80h)')
  assert.equal(describeCompletion(0, 2, 0xd5), 'not supported in the present state (D5h)')
  assert.equal(describeCompletion(0, 2, 0x01), 'code of this maker or command (01h)')
})

test('SOL sequence numbers go from 1 to 15 and never to 0', () => {
  const seen = [0]
  for (let i = 0; i < 16; i++) seen.push(nextSolSequence(seen.at(-1)!))
  assert.deepEqual(seen, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 1])
})
