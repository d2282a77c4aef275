/**
 * Asks many addresses at once whether they speak IPMI: an ASF presence ping (ASF 2.0 §3.2.4.2) and Get Channel Authentication
 * Capabilities (IPMI v2.0 §22.13), which every BMC answers without a session, then its cipher suites (§22.15). One socket asks them
 * all. Nothing that is asked changes anything or is part of a login.
 */
import { createSocket, type RemoteInfo } from 'node:dgram'
import { sleep } from '../../base/clock.ts'
import { WireError } from '../../base/errors.ts'
import type { IpmiSeen } from '../../model/discovery.ts'
import type { InventoryFinding } from '../../model/inventory.ts'
import type { Command } from '../../wire/ipmi/command.ts'
import { type ChannelAuthentication, COMMANDS } from '../../wire/ipmi/commands.ts'
import { type OfferedSuite, parseCipherSuiteRecords } from '../../wire/ipmi/cipher-suites.ts'
import { parseIpmiResponse, serializeIpmiRequest } from '../../wire/ipmi/message.ts'
import { parseSessionPacket, serializeV15 } from '../../wire/ipmi/session-packet.ts'
import { NO_ACK_SEQUENCE, parseRmcp, serializeRmcp } from '../../wire/rmcp/rmcp.ts'

export interface IpmiFound {
  readonly address: string
  readonly seen: IpmiSeen
  readonly findings: InventoryFinding[]
}

/** So many addresses are asked in one go, then a pause: neither our socket's buffer nor a switch's queue is flooded. */
const BURST = 64
const PAUSE_MS = 5
/** Datagrams get lost: each address is asked so often within its time. */
const ROUNDS = 3
const MAX_SUITE_CHUNKS = 8

interface Heard {
  enterprise?: number
  authentication?: ChannelAuthentication
  chunks: Uint8Array[]
  isComplete: boolean
}

/**
 * Yields each address that answered, once the time of its last round is over.
 * @param timeoutMs how long an address has after it was asked for the last time, milliseconds
 */
export async function* scanIpmi(
  addresses: readonly string[],
  { port, timeoutMs }: { port: number; timeoutMs: number },
  signal: AbortSignal,
): AsyncGenerator<IpmiFound, void, undefined> {
  const asked = new Set(addresses)
  const heard = new Map<string, Heard>()
  const socket = createSocket('udp4')
  const send = (bytes: Uint8Array, address: string) => socket.send(bytes, port, address, () => {})
  socket.on('error', () => {})
  socket.on('message', (bytes, from) => {
    // Only who was asked may answer, and from where it was asked.
    if (from.port !== port || !asked.has(from.address)) return
    const one = heard.get(from.address) ?? { chunks: [], isComplete: false }
    if (!hear(one, bytes)) return
    heard.set(from.address, one)
    if (one.authentication?.hasIpmi20 === true && !one.isComplete) askSuites(one, from)
  })
  const askSuites = (one: Heard, { address }: RemoteInfo): void => {
    if (one.chunks.length < MAX_SUITE_CHUNKS)
      send(request(COMMANDS.getChannelCipherSuites, { index: one.chunks.length }), address)
  }
  try {
    await new Promise<void>((resolve) => socket.bind(0, resolve))
    for (let round = 0; round < ROUNDS; round += 1) {
      let count = 0
      for (const address of addresses) {
        const one = heard.get(address)
        if (one?.isComplete === true) continue
        if (one?.enterprise === undefined)
          send(serializeRmcp({ kind: 'asf-ping', sequence: NO_ACK_SEQUENCE, tag: round }), address)
        if (one?.authentication === undefined)
          send(request(COMMANDS.getChannelAuthentication, { privilege: 'administrator' }), address)
        else askSuites(one, { address } as RemoteInfo)
        count += 1
        if (count % BURST === 0) await sleep(PAUSE_MS, signal)
      }
      await sleep(timeoutMs / ROUNDS, signal)
    }
  } finally {
    await new Promise<void>((resolve) => void socket.close(resolve))
  }
  for (const address of addresses) {
    const one = heard.get(address)
    if (one) yield { address, seen: seenOf(one, port), findings: findingsOf(one) }
  }
}

/** Takes one datagram in. @returns false for what is no answer to a question of ours */
function hear(one: Heard, bytes: Uint8Array): boolean {
  try {
    const message = parseRmcp(bytes)
    if (message.kind === 'asf-pong') {
      one.enterprise = message.enterprise
      return message.speaksIpmi
    }
    if (message.kind !== 'ipmi') return false
    const packet = parseSessionPacket(message.body)
    if (packet.format !== 'v1.5' || packet.sessionId !== 0) return false
    const response = parseIpmiResponse(packet.payload)
    if (isAnswer(response, COMMANDS.getChannelAuthentication)) {
      if (response.completion === 0) one.authentication = COMMANDS.getChannelAuthentication.answer.read(response.data)
      return true
    }
    if (!isAnswer(response, COMMANDS.getChannelCipherSuites)) return false
    if (response.completion !== 0) one.isComplete = true
    // The sequence number of the request was the chunk's.
    else if (response.sequence === one.chunks.length) {
      const { records } = COMMANDS.getChannelCipherSuites.answer.read(response.data)
      one.chunks.push(records)
      one.isComplete = records.length < 16 || one.chunks.length === MAX_SUITE_CHUNKS
    }
    return true
  } catch (error) {
    if (error instanceof WireError) return false
    throw error
  }
}

function isAnswer(response: { netFn: number; command: number }, command: { netFn: number; command: number }): boolean {
  return response.netFn === command.netFn && response.command === command.command
}

function request<Q>(command: Command<Q, unknown>, question: Q): Uint8Array {
  const sequence = typeof question === 'object' && question !== null && 'index' in question ? Number(question.index) : 0
  const message = { netFn: command.netFn, command: command.command, sequence, data: command.request.write(question) }
  return serializeRmcp({ kind: 'ipmi', sequence: NO_ACK_SEQUENCE, body: serializeV15(serializeIpmiRequest(message)) })
}

function seenOf({ enterprise, authentication }: Heard, port: number): IpmiSeen {
  return {
    port,
    version: authentication === undefined ? undefined : authentication.hasIpmi20 ? '2.0' : '1.5',
    enterprise,
  }
}

/** What an attacker could use, as the BMC tells everybody who asks. */
function findingsOf({ authentication, chunks }: Heard): InventoryFinding[] {
  const findings: InventoryFinding[] = []
  if (authentication?.allowsAnonymous === true || authentication?.hasNullUser === true)
    findings.push({ kind: 'null-user', what: 'IPMI has a user without a name enabled: disable it' })
  if (authentication?.allowsNoAuthentication === true)
    findings.push({ kind: 'no-authentication', what: 'IPMI takes sessions without authentication: allow it none' })
  if (suitesOf(chunks).some(({ id, oem }) => id === 0 && oem === undefined))
    findings.push({
      kind: 'cipher-zero',
      what: 'IPMI offers cipher suite 0, which checks no password (CVE-2013-4782): disable it',
    })
  if (authentication?.hasIpmi20 === false)
    findings.push({ kind: 'no-encryption', what: 'IPMI 1.5 only: nothing of a session is encrypted' })
  return findings
}

function suitesOf(chunks: readonly Uint8Array[]): OfferedSuite[] {
  try {
    return parseCipherSuiteRecords(Buffer.concat(chunks))
  } catch (error) {
    if (error instanceof WireError) return []
    throw error
  }
}
