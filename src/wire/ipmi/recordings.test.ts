/** Whole sessions as ipmitool and freeipmi held them (test/packets/ipmi): every code is computed again, every packet opened. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fromHex, toHex } from '../../base/bytes.ts'
import { parseRmcp } from '../rmcp/rmcp.ts'
import { suiteOf } from './cipher-suites.ts'
import type { Command } from './command.ts'
import { COMMANDS } from './commands.ts'
import { deriveKeys, rakp2Code, rakp3Code, rakp4Code, type KeyExchange, type SessionKeys } from './keys.ts'
import { parseIpmiRequest, parseIpmiResponse, serializeIpmiRequest, serializeIpmiResponse } from './message.ts'
import {
  parseOpenSessionRequest,
  parseOpenSessionResponse,
  parseRakp1,
  parseRakp2,
  parseRakp3,
  parseRakp4,
  serializeOpenSessionRequest,
  serializeOpenSessionResponse,
  serializeRakp1,
  serializeRakp2,
} from './rakp.ts'
import { openPacket, parseSessionPacket, PAYLOAD, sealPacket, type RmcpPlusPacket } from './session-packet.ts'
import { describeSol, parseSol, serializeSol } from './sol.ts'

const RECORDINGS: { file: string; says: RegExp[] }[] = [
  {
    file: 'ipmitool-suite-3-power-on.txt',
    says: [
      /^> Set Session Privilege Level "administrator"$/,
      /^> Chassis Control "on"$/,
      /^< Chassis Control 0$/,
      /^> Close Session \d+$/,
    ],
  },
  {
    file: 'ipmitool-suite-3-bootdev.txt',
    says: [/^> Set System Boot Options .*"parameter":5/, /^< Set System Boot Options 204$/],
  },
  {
    file: 'ipmitool-suite-3-bootparam.txt',
    says: [/^> Get System Boot Options .*5/, /^< Get System Boot Options 0 .*"parameter":5/],
  },
  {
    file: 'ipmitool-suite-3-sol.txt',
    says: [/^> Activate Payload/, /^> SOL 1, \d+ characters/, /^< SOL \d+, \d+ characters/, /^> Deactivate/],
  },
  {
    file: 'ipmitool-suite-3-sdr.txt',
    says: [/^> Reserve SDR Repository$/, /^> Get SDR /, /^< Get Sensor Reading 0 .*"raw":138,.*"states":8/],
  },
  {
    file: 'ipmitool-suite-3-fru.txt',
    says: [/^< Get FRU Inventory Area Info 0 {"sizeBytes":\d+,"isInWords":false}$/, /^> Read FRU Data {"fruId":0,/],
  },
  { file: 'ipmitool-suite-3-sel.txt', says: [/^< Get SEL Info 0 {"entryCount":3,/, /^< Get SEL Entry 0 .*65535/] },
  { file: 'ipmitool-suite-3-users.txt', says: [/^> Get User Access /, /^< Get User Access 0 {"maxUserId":63,/] },
  {
    file: 'ipmitool-suite-3-password.txt',
    says: [/^> Set User Password {"userId":3,"operation":"set",/, /^< Set User Password 0$/],
  },
  { file: 'ipmitool-suite-17-status.txt', says: [/^> Get Chassis Status/, /^< Get Chassis Status 0 .*"isOn":false/] },
  {
    file: 'ipmitool-suite-3-pyghmi.txt',
    says: [
      /^< Get Device ID 0 {"deviceId":0,"firmware":"1.00",.*"manufacturerId":0,"productId":0}$/,
      /^> Set System Boot Options {"parameter":5,.*"data":\[224,4,0,0,0\]/,
      /^< Set System Boot Options 0$/,
      /^< Get System Boot Options 0 {"parameter":5,.*"data":\[128,4,0,0,0\]/,
      /^> Chassis Control "cycle"$/,
      /^< Chassis Control 204$/,
    ],
  },
  { file: 'ipmipower-suite-17-on.txt', says: [/^> Chassis Control "on"$/, /^< Chassis Control 0$/] },
]

for (const { file, says } of RECORDINGS)
  test(`a recorded session is read whole, and written again byte for byte: ${file}`, () => {
    const said = replay(recording(file))
    for (const line of says)
      assert.ok(
        said.some((s) => line.test(s)),
        `${line} is in:\n${said.join('\n')}`,
      )
  })

test('ipmi_sim refuses cipher suite 17 by two bytes', () => {
  const last = recording('ipmitool-suite-17-refused.txt').at(-1)!
  assert.deepEqual(parseOpenSessionResponse(last.packet.payload), { tag: 0, status: 4 })
})

interface Line {
  direction: string
  packet: RmcpPlusPacket
  body: Uint8Array
}

/** The v2.0 packets of a recording. */
function recording(file: string): Line[] {
  const text = readFileSync(join(import.meta.dirname, '../../../test/packets/ipmi', file), 'utf8')
  return text.split('\n').flatMap((line) => {
    const [, direction, hex] = /^([<>]) ([0-9a-f]+)$/.exec(line) ?? []
    if (!hex) return []
    const message = parseRmcp(fromHex(hex))
    assert.equal(message.kind, 'ipmi')
    const packet = parseSessionPacket(message.body)
    return packet.format === 'v2.0' ? [{ direction: direction!, packet, body: message.body }] : []
  })
}

/** Follows a session: checks each code of the handshake, opens each packet after it, and yields a line for each message. */
function replay(lines: Line[]): string[] {
  const said: string[] = []
  let x: Partial<KeyExchange> = { user: '', password: new TextEncoder().encode('secret') }
  let keys: SessionKeys | undefined
  for (const { direction, packet, body } of lines) {
    const { payload } = packet
    const same = (again: Uint8Array) => assert.equal(toHex(again), toHex(payload))
    switch (packet.payloadType) {
      case PAYLOAD.openSessionRequest:
        same(serializeOpenSessionRequest(parseOpenSessionRequest(payload)))
        break
      case PAYLOAD.openSessionResponse: {
        const m = parseOpenSessionResponse(payload)
        assert.ok(m.accepted)
        const { bmcSessionId } = m.accepted
        x = { ...x, consoleSessionId: m.consoleSessionId, bmcSessionId, suite: suiteOf(m.accepted)! }
        // freeipmi asks for "the highest" and ipmi_sim answers so: the byte is the same both ways.
        same(serializeOpenSessionResponse(m))
        break
      }
      case PAYLOAD.rakp1: {
        const m = parseRakp1(payload)
        same(serializeRakp1(m))
        x = { ...x, consoleRandom: m.consoleRandom, role: m.role, user: m.user }
        break
      }
      case PAYLOAD.rakp2: {
        const m = parseRakp2(payload)
        same(serializeRakp2(m))
        x = { ...x, bmcRandom: m.proof!.bmcRandom, bmcGuid: m.proof!.bmcGuid }
        assert.equal(toHex(m.proof!.code), toHex(rakp2Code(x as KeyExchange)))
        break
      }
      case PAYLOAD.rakp3:
        assert.equal(toHex(parseRakp3(payload).code), toHex(rakp3Code(x as KeyExchange)))
        break
      case PAYLOAD.rakp4: {
        keys = deriveKeys(x as KeyExchange)
        const code = rakp4Code(x as KeyExchange, keys)
        assert.equal(toHex(parseRakp4(payload).code.subarray(0, code.length)), toHex(code))
        break
      }
      default:
        if (packet.sessionId !== 0) said.push(inSession(keys!, direction, packet, body))
    }
  }
  return said
}

function inSession(keys: SessionKeys, direction: string, packet: RmcpPlusPacket, body: Uint8Array): string {
  const payload = openPacket(keys, packet)
  const { sessionId, sequence } = packet
  const payloadType = packet.payloadType === PAYLOAD.sol ? 'sol' : 'ipmi'
  const again = sealPacket(keys, { payloadType, sessionId, sequence, payload, iv: packet.payload.subarray(0, 16) })
  assert.equal(toHex(again), toHex(body))
  if (payloadType === 'sol') {
    assert.equal(toHex(serializeSol(parseSol(payload))), toHex(payload))
    return `${direction} ${describeSol(parseSol(payload))}`
  }
  if (direction === '>') {
    const request = parseIpmiRequest(payload)
    assert.equal(toHex(serializeIpmiRequest(request)), toHex(payload))
    const command = known(request)
    if (!command) return '> another command'
    const question = JSON.stringify(command.request.read(request.data))
    return ['>', command.name, question].filter((part) => part !== undefined).join(' ')
  }
  const response = parseIpmiResponse(payload)
  assert.equal(toHex(serializeIpmiResponse(response)), toHex(payload))
  const command = known(response)
  if (!command) return '< another answer'
  const value = response.completion === 0 ? JSON.stringify(command.answer.read(response.data)) : undefined
  return ['<', command.name, response.completion, value].filter((part) => part !== undefined).join(' ')
}

function known({ netFn, command }: { netFn: number; command: number }): Command<unknown, unknown> | undefined {
  return Object.values(COMMANDS as unknown as Record<string, Command<unknown, unknown>>).find(
    (c) => c.netFn === netFn && c.command === command,
  )
}
