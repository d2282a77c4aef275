/**
 * A small IPMI 2.0 BMC for tests: RMCP+ with cipher suites 17 and 3, chassis power, boot options, a serial console that echoes, and
 * the ways in which real BMCs go wrong, each an option. It shares the codecs with the driver, so what it proves about packets is proved
 * by ipmitool and freeipmi talking to it (test/peers/ipmi.test.ts).
 */
import { createHash, randomBytes } from 'node:crypto'
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { WireError } from '../../src/base/errors.ts'
import {
  CIPHER_SUITES,
  serializeCipherSuiteRecords,
  suiteOf,
  type CipherSuiteId,
} from '../../src/wire/ipmi/cipher-suites.ts'
import { COMMANDS, type ChassisAction, type DeviceId } from '../../src/wire/ipmi/commands.ts'
import { BOOT_PARAMETER, SET_PROGRESS, type BootParameter } from '../../src/wire/ipmi/boot-options.ts'
import { COMPLETION } from '../../src/wire/ipmi/completion.ts'
import {
  deriveKeys,
  rakp2Code,
  rakp3Code,
  rakp4Code,
  sameCode,
  type KeyExchange,
  type SessionKeys,
} from '../../src/wire/ipmi/keys.ts'
import { parseIpmiRequest, serializeIpmiResponse, type IpmiRequest } from '../../src/wire/ipmi/message.ts'
import {
  parseOpenSessionRequest,
  parseRakp1,
  parseRakp3,
  PRIVILEGE,
  serializeOpenSessionResponse,
  serializeRakp2,
  serializeRakp4,
  STATUS,
  type Privilege,
} from '../../src/wire/ipmi/rakp.ts'
import {
  openPacket,
  parseSessionPacket,
  PAYLOAD,
  sealPacket,
  serializePlain,
  serializeV15,
  type PayloadName,
  type RmcpPlusPacket,
} from '../../src/wire/ipmi/session-packet.ts'
import {
  nextSolSequence,
  parseSol,
  serializeSol,
  SOL_OPERATION,
  SOL_STATUS,
  type SolPacket,
} from '../../src/wire/ipmi/sol.ts'
import { NO_ACK_SEQUENCE, parseRmcp, serializeRmcp } from '../../src/wire/rmcp/rmcp.ts'

/** What it measures; DCMI. */
export const SIM_POWER = {
  currentWatts: 182,
  minimumWatts: 11,
  maximumWatts: 301,
  averageWatts: 155,
  atSeconds: 0x65e1c3c0,
  periodMs: 2000,
  isActive: true,
}

/** What the BMC does wrong. All off by default. */
export interface Misbehaviour {
  /** Share of packets that are lost, each way, 0 to 1. */
  readonly loss?: number
  /** Every answer comes twice. */
  readonly duplicates?: boolean
  /** Before every true answer comes one with another request number. */
  readonly wrongSequence?: boolean
  /** Confirms a session without authentication, integrity and encryption, whatever was proposed: cipher suite 0. */
  readonly downgrades?: boolean
  /** Answers Open Session after this, milliseconds. */
  readonly opensLateMs?: number
  /** Answers of the handshake that are lost; the BMC has done its part. */
  readonly losesProof?: 'rakp2' | 'rakp4'
  /** The last proof of the handshake is wrong. */
  readonly wrongRakp4?: boolean
  /** Says OK to power commands and does nothing; a number is the share of them. */
  readonly ignoresPower?: boolean | number
  /** Share of power commands that are declined as impossible in the present state (D5h), as while the machine is in POST. */
  readonly declinesPower?: number
  /** Refuses the first so many sessions for want of a free one. */
  readonly noSessionAnswers?: number
  /** Power changes show this long after the answer, milliseconds. */
  readonly powerDelayMs?: number
  /** Answers of power commands are lost (the command is done); a number is the share of them. */
  readonly losesPowerAnswers?: boolean | number
  /** Most sessions at once; default 8. */
  readonly maxSessions?: number
  /** Does not answer Close Session, and keeps the session. */
  readonly ignoresClose?: boolean
  /** Says OK to boot options and keeps what it had. */
  readonly ignoresBootOptions?: boolean
  /** Says nothing to an Open Session request with a suite that it lacks, instead of refusing. */
  readonly silentOnSuites?: boolean
  /** Does not tell a session that another one has taken its console. */
  readonly takesSilently?: boolean
  /** Cannot say which session has the console. */
  readonly tellsNoHolder?: boolean
  /** Answers the first so many requests of each session with "busy". */
  readonly busyAnswers?: number
  /** Power commands that it does not have (CCh). */
  readonly lacks?: readonly ChassisAction[]
  /** Power commands that it takes and does nothing about. */
  readonly ignores?: readonly ChassisAction[]
  /** Shows what it was told for so long after a power command, whatever is true, milliseconds. */
  readonly echoesPowerMs?: number
  /** Declines to say the power state (FFh) for so long after a power command, milliseconds. */
  readonly cannotSayMs?: number
  /** The boot flags are gone once the machine is off. */
  readonly dropsBootFlags?: boolean
  /** Keeps boot flags only when they are committed (parameter 0, value 2). */
  readonly wantsCommit?: boolean
  /** Keeps boot flags only when nothing was said about progress before. */
  readonly hatesProgress?: boolean
}

export interface BmcSimOptions extends Misbehaviour {
  readonly host?: string
  /** 0, the default, takes a free one. */
  readonly port?: number
  readonly user?: string
  readonly password?: string
  readonly cipherSuites?: readonly CipherSuiteId[]
  /** Highest level of the user. */
  readonly level?: Privilege
  readonly isOn?: boolean
  /** Seed of what is random: losses. */
  readonly seed?: number
  /** What it says it is; parts of Get Device ID. */
  readonly make?: Partial<DeviceId>
  /** How long its own cycle keeps the machine off, milliseconds; default 0. */
  readonly cycleOffMs?: number
}

interface Session {
  readonly id: number
  readonly peer: RemoteInfo
  exchange: KeyExchange
  keys?: SessionKeys
  level: Privilege
  sequence: number
  busyLeft: number
}

interface Sol {
  readonly session: Session
  sequence: number
  lastSeen: number
  timer: NodeJS.Timeout | undefined
  queue: Uint8Array[]
}

export class BmcSim implements AsyncDisposable {
  readonly #options: BmcSimOptions
  readonly #socket: Socket
  readonly #sessions = new Map<number, Session>()
  readonly #guid: Uint8Array
  readonly #boot = new Map<number, Uint8Array>([[5, new Uint8Array(5)]])
  readonly #timers = new Set<NodeJS.Timeout>()
  #random: () => number
  #nextSession = 1
  #sol: Sol | undefined
  isOn: boolean
  #refusals: number
  /** When the power changed, and to what; `performance.now()`. */
  readonly changes: { readonly atMs: number; readonly isOn: boolean }[] = []
  /** Power commands that were taken, in order: what a test compares with what it asked for. */
  readonly trace: ChassisAction[] = []
  /** What was written to the boot options, in order: parameter and data. */
  readonly bootWrites: string[] = []
  #lastPower = { atMs: -Infinity, isOn: false }
  #isInProgress = false
  #uncommitted: Uint8Array | undefined
  /** What was made of the password, and the keys of sessions, hexadecimal: nobody else may ever have them. */
  readonly secrets: string[] = []
  /** How many sessions were opened. */
  opened = 0
  /** How many proofs of the password (RAKP 3) came. */
  proofs = 0
  /** How many serial breaks came. */
  breaks = 0
  port = 0

  constructor(options: BmcSimOptions, socket: Socket) {
    this.#options = options
    this.#socket = socket
    this.isOn = options.isOn ?? false
    this.#refusals = options.noSessionAnswers ?? 0
    this.#random = mulberry32(options.seed ?? 1)
    this.#guid = createHash('md5').update(`${options.host}:${options.port}`).digest()
    socket.on('message', (bytes, peer) => this.#onDatagram(bytes, peer))
  }

  /** How many sessions are open. */
  get sessions(): number {
    return this.#sessions.size
  }

  /** Boot option 5 as it was set. */
  get bootFlags(): Uint8Array {
    return this.#boot.get(5)!
  }

  /** Forgets every session, as after a restart of its firmware. */
  forgetSessions(): void {
    this.#sessions.clear()
    this.#sol = undefined
  }

  /** Ends the serial console without a word, as some do when the machine is reset; the session goes on. */
  forgetConsole(): void {
    this.#endSol()
  }

  /** Says something on the serial console. */
  say(text: string): void {
    if (this.#sol) this.#solSend(this.#sol, Buffer.from(text))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer)
    if (this.#sol) clearTimeout(this.#sol.timer)
    await new Promise<void>((resolve) => this.#socket.close(resolve))
  }

  #onDatagram(bytes: Uint8Array, peer: RemoteInfo): void {
    if (this.#isLost()) return
    try {
      const message = parseRmcp(bytes)
      if (message.kind === 'asf-ping')
        this.#send(
          serializeRmcp({
            kind: 'asf-pong',
            sequence: message.sequence,
            tag: message.tag,
            enterprise: 4542,
            speaksIpmi: true,
          }),
          peer,
        )
      if (message.kind !== 'ipmi') return
      const packet = parseSessionPacket(message.body)
      if (packet.format === 'v2.0') return this.#onPacket(packet, peer)
      const answer = this.#outsideSession(parseIpmiRequest(packet.payload))
      this.#send(rmcp(serializeV15(answer)), peer)
    } catch (error) {
      if (!(error instanceof WireError)) throw error
    }
  }

  #onPacket(packet: RmcpPlusPacket, peer: RemoteInfo): void {
    switch (packet.payloadType) {
      case PAYLOAD.openSessionRequest:
        return this.#onOpen(packet.payload, peer)
      case PAYLOAD.rakp1:
        return this.#onRakp1(packet.payload, peer)
      case PAYLOAD.rakp3:
        return this.#onRakp3(packet.payload, peer)
      case PAYLOAD.ipmi: {
        if (packet.sessionId === 0)
          return this.#plain('ipmi', this.#outsideSession(parseIpmiRequest(packet.payload)), peer)
        const session = this.#sessions.get(packet.sessionId)
        if (session?.keys) this.#onRequest(session, parseIpmiRequest(openPacket(session.keys, packet)))
        return
      }
      case PAYLOAD.sol: {
        const session = this.#sessions.get(packet.sessionId)
        if (session?.keys && this.#sol?.session === session)
          this.#onSol(this.#sol, parseSol(openPacket(session.keys, packet)))
      }
    }
  }

  #onOpen(payload: Uint8Array, peer: RemoteInfo): void {
    const m = parseOpenSessionRequest(payload)
    const suite = suiteOf(m)
    const { tag, consoleSessionId } = m
    const refuse = (status: number) =>
      this.#plain('openSessionResponse', serializeOpenSessionResponse({ tag, status, consoleSessionId }), peer)
    if (!suite || !(this.#options.cipherSuites ?? [17, 3]).includes(suite.id as CipherSuiteId))
      return this.#options.silentOnSuites ? undefined : refuse(STATUS.noSuite)
    if (this.#refusals > 0) {
      this.#refusals--
      return refuse(STATUS.noSession)
    }
    if (this.#sessions.size >= (this.#options.maxSessions ?? 8)) return refuse(STATUS.noSession)
    const id = this.#nextSession++
    const password = new TextEncoder().encode(this.#options.password ?? 'secret')
    const [consoleRandom, bmcRandom] = [new Uint8Array(16), randomBytes(16)]
    const exchange = {
      suite,
      consoleSessionId,
      bmcSessionId: id,
      consoleRandom,
      bmcRandom,
      bmcGuid: this.#guid,
      role: 0,
      user: '',
      password,
    }
    const busyLeft = this.#options.busyAnswers ?? 0
    this.#sessions.set(id, { id, peer, exchange, level: 'user', sequence: 0, busyLeft })
    const highest = PRIVILEGE[this.#options.level ?? 'administrator']
    const none = { authentication: 0, integrity: 0, confidentiality: 0 }
    const algorithms = this.#options.downgrades ? none : suite
    const accepted = { ...algorithms, privilege: m.privilege === 0 ? highest : m.privilege, bmcSessionId: id }
    const response = serializeOpenSessionResponse({ tag, status: 0, consoleSessionId, accepted })
    this.opened++
    const { opensLateMs } = this.#options
    if (opensLateMs === undefined) return this.#plain('openSessionResponse', response, peer)
    this.#timers.add(setTimeout(() => this.#plain('openSessionResponse', response, peer), opensLateMs))
  }

  #onRakp1(payload: Uint8Array, peer: RemoteInfo): void {
    const m = parseRakp1(payload)
    const session = this.#sessions.get(m.bmcSessionId)
    if (!session) return
    const { consoleSessionId } = session.exchange
    const refuse = (status: number) => {
      this.#sessions.delete(session.id)
      this.#plain('rakp2', serializeRakp2({ tag: m.tag, status, consoleSessionId }), peer)
    }
    if (m.user !== (this.#options.user ?? 'admin')) return refuse(STATUS.unauthorizedName)
    if ((m.role & 0x0f) > PRIVILEGE[this.#options.level ?? 'administrator']) return refuse(STATUS.unauthorizedRole)
    const { consoleRandom, role, user } = { ...m, consoleRandom: m.consoleRandom.slice() }
    session.exchange = { ...session.exchange, consoleRandom, role, user }
    const { bmcRandom, bmcGuid } = session.exchange
    const proof = { bmcRandom, bmcGuid, code: rakp2Code(session.exchange) }
    if (this.#options.losesProof === 'rakp2') return
    this.#plain('rakp2', serializeRakp2({ tag: m.tag, status: 0, consoleSessionId, proof }), peer)
  }

  #onRakp3(payload: Uint8Array, peer: RemoteInfo): void {
    const m = parseRakp3(payload)
    const session = this.#sessions.get(m.bmcSessionId)
    if (!session) return
    const { consoleSessionId } = session.exchange
    // Once the keys are proved, only Close Session ends it.
    if (m.status !== 0) return session.keys ? undefined : void this.#sessions.delete(session.id)
    this.proofs++
    if (!sameCode(m.code, rakp3Code(session.exchange))) {
      this.#sessions.delete(session.id)
      return this.#plain(
        'rakp4',
        serializeRakp4({ tag: m.tag, status: STATUS.badIntegrity, consoleSessionId, code: new Uint8Array() }),
        peer,
      )
    }
    session.keys ??= deriveKeys(session.exchange)
    const { sik, k1, k2 } = session.keys
    const { bmcRandom, consoleRandom } = session.exchange
    const codes = [rakp2Code(session.exchange), rakp3Code(session.exchange), rakp4Code(session.exchange, session.keys)]
    this.secrets.push(...[sik, k1, k2, bmcRandom, consoleRandom, ...codes].map((bytes) => bytes.toHex()))
    const code = rakp4Code(session.exchange, session.keys).slice()
    if (this.#options.wrongRakp4) code[0]! ^= 1
    if (this.#options.losesProof === 'rakp4') return
    this.#plain('rakp4', serializeRakp4({ tag: m.tag, status: 0, consoleSessionId, code }), peer)
  }

  #outsideSession(request: IpmiRequest): Uint8Array {
    const { netFn, command, sequence } = request
    const is = (c: { netFn: number; command: number }) => c.netFn === netFn && c.command === command
    if (is(COMMANDS.getChannelAuthentication)) {
      const data = COMMANDS.getChannelAuthentication.answer.write({
        channel: 1,
        hasIpmi20: true,
        hasIpmi15: false,
        wantsKg: false,
        allowsAnonymous: false,
        hasNullUser: false,
        allowsNoAuthentication: false,
      })
      return serializeIpmiResponse({ netFn, command, sequence, completion: 0, data })
    }
    if (is(COMMANDS.getChannelCipherSuites)) {
      const { index } = COMMANDS.getChannelCipherSuites.request.read(request.data)
      const suites = (this.#options.cipherSuites ?? [17, 3]).map((id) => CIPHER_SUITES[id])
      const records = serializeCipherSuiteRecords(
        suites.map((s) => ({
          id: s.id,
          authentication: s.authentication,
          integrity: [s.integrity],
          confidentiality: [s.confidentiality],
        })),
      ).subarray(index * 16, index * 16 + 16)
      return serializeIpmiResponse({
        netFn,
        command,
        sequence,
        completion: 0,
        data: COMMANDS.getChannelCipherSuites.answer.write({ channel: 1, records }),
      })
    }
    return serializeIpmiResponse({
      netFn,
      command,
      sequence,
      completion: COMPLETION.insufficientPrivilege,
      data: new Uint8Array(),
    })
  }

  #onRequest(session: Session, request: IpmiRequest): void {
    const { netFn, command, sequence } = request
    if (session.busyLeft > 0) {
      session.busyLeft--
      return this.#answer(session, { netFn, command, sequence, completion: COMPLETION.busy, data: new Uint8Array() })
    }
    const known = Object.values(COMMANDS).find((c) => c.netFn === netFn && c.command === command)
    const isAllowed = known && PRIVILEGE[known.privilege] <= PRIVILEGE[session.level]
    const outcome = !known
      ? COMPLETION.unknownCommand
      : isAllowed
        ? this.#execute(session, request)
        : COMPLETION.insufficientPrivilege
    if (outcome === 'silence') return
    const [completion, data] = typeof outcome === 'number' ? [outcome, new Uint8Array()] : [0, outcome]
    this.#answer(session, { netFn, command, sequence, completion, data })
  }

  /** @returns the answer's data, a completion code, or `silence` */
  #execute(session: Session, { netFn, command, data }: IpmiRequest): Uint8Array | number | 'silence' {
    const is = (c: { netFn: number; command: number }) => c.netFn === netFn && c.command === command
    const c = COMMANDS
    if (is(c.getDeviceId))
      return c.getDeviceId.answer.write({
        deviceId: 1,
        firmware: '1.00',
        ipmiVersion: '2.0',
        manufacturerId: 0,
        productId: 1,
        ...this.#options.make,
      })
    if (is(c.getDeviceGuid) || is(c.getSystemGuid)) return this.#guid
    if (is(c.getPowerReading)) return c.getPowerReading.answer.write(SIM_POWER)
    if (is(c.setSessionPrivilege)) {
      const wanted = c.setSessionPrivilege.request.read(data)
      if (PRIVILEGE[wanted] > PRIVILEGE[this.#options.level ?? 'administrator']) return 0x80
      session.level = wanted
      return Uint8Array.of(PRIVILEGE[wanted])
    }
    if (is(c.closeSession)) return this.#close(session)
    const sincePowerMs = performance.now() - this.#lastPower.atMs
    if (is(c.getChassisStatus) && sincePowerMs < (this.#options.cannotSayMs ?? 0)) return COMPLETION.unspecified
    if (is(c.getChassisStatus))
      return c.getChassisStatus.answer.write({
        isOn: sincePowerMs < (this.#options.echoesPowerMs ?? 0) ? this.#lastPower.isOn : this.isOn,
        hasPowerFault: false,
        hasInterlock: false,
        restorePolicy: 0,
        lastEvent: 0,
      })
    if (is(c.chassisControl)) return this.#power(c.chassisControl.request.read(data))
    if (is(c.setBootOption)) {
      const option = c.setBootOption.request.read(data)
      this.#setBootOption(option)
      return new Uint8Array()
    }
    if (is(c.getBootOption)) {
      const { parameter } = c.getBootOption.request.read(data)
      const value = this.#boot.get(parameter)
      return value ? c.getBootOption.answer.write({ parameter, data: value }) : COMPLETION.noSuchParameter
    }
    if (is(c.activatePayload)) {
      if (this.#sol) return COMPLETION.payloadTaken
      this.#sol = { session, sequence: 0, lastSeen: 0, timer: undefined, queue: [] }
      return c.activatePayload.answer.write({ inboundBytes: 64, outboundBytes: 64, port: this.port })
    }
    if (is(c.deactivatePayload)) {
      if (!this.#sol) return 0x80
      if (this.#sol.session !== session && !this.#options.takesSilently)
        this.#solPacket(this.#sol, { sequence: 0, flags: SOL_STATUS.deactivated })
      this.#endSol()
      return new Uint8Array()
    }
    if (is(c.getPayloadInstanceInfo) && !this.#options.tellsNoHolder)
      return c.getPayloadInstanceInfo.answer.write({ sessionId: this.#sol?.session.id ?? 0 })
    if (is(c.getPayloadActivationStatus))
      return c.getPayloadActivationStatus.answer.write({ instanceCount: 1, activeInstances: this.#sol ? 1 : 0 })
    return COMPLETION.unknownCommand
  }

  #close(session: Session): Uint8Array | 'silence' {
    if (this.#options.ignoresClose) return 'silence'
    // The answer still goes out with the session's keys.
    queueMicrotask(() => this.#sessions.delete(session.id))
    if (this.#sol?.session === session) this.#endSol()
    return new Uint8Array()
  }

  #setBootOption({ parameter, data }: BootParameter): void {
    this.bootWrites.push(`${parameter}:${data.toHex()}`)
    const { ignoresBootOptions, wantsCommit, hatesProgress } = this.#options
    if (parameter === BOOT_PARAMETER.setInProgress) {
      const isCommit = data[0] === SET_PROGRESS.commit
      if (isCommit && this.#uncommitted) this.#boot.set(BOOT_PARAMETER.flags, this.#uncommitted)
      if (!isCommit) this.#isInProgress = data[0] === SET_PROGRESS.inProgress
      this.#uncommitted = undefined
      return
    }
    if (ignoresBootOptions || (hatesProgress && this.#isInProgress)) return
    if (parameter === BOOT_PARAMETER.flags && wantsCommit) this.#uncommitted = data.slice()
    else this.#boot.set(parameter, data.slice())
  }

  #power(action: ChassisAction): Uint8Array | number | 'silence' {
    if (this.#options.lacks?.includes(action)) return COMPLETION.invalidField
    if (this.#happens(this.#options.declinesPower)) return COMPLETION.notInThisState
    this.trace.push(action)
    const { ignoresPower, powerDelayMs, losesPowerAnswers } = this.#options
    const isOn = action === 'on' || action === 'cycle' || action === 'reset'
    this.#lastPower = { atMs: performance.now(), isOn }
    const become = (now: boolean) => {
      this.isOn = now
      if (!now && this.#options.dropsBootFlags) this.#boot.set(BOOT_PARAMETER.flags, new Uint8Array(5))
      this.changes.push({ atMs: performance.now(), isOn: now })
    }
    const apply = () => {
      const { cycleOffMs } = this.#options
      if (action !== 'cycle' || !cycleOffMs) return become(isOn)
      become(false)
      this.#timers.add(setTimeout(() => become(true), cycleOffMs))
    }
    if (this.#happens(ignoresPower) || this.#options.ignores?.includes(action)) {
      // Nothing happens, now or later.
    } else if (powerDelayMs) this.#timers.add(setTimeout(apply, powerDelayMs))
    else apply()
    return this.#happens(losesPowerAnswers) ? 'silence' : new Uint8Array()
  }

  #onSol(sol: Sol, packet: SolPacket): void {
    if (packet.flags & SOL_OPERATION.break && packet.sequence !== sol.lastSeen) this.breaks++
    if (packet.acknowledges !== 0 && packet.acknowledges === sol.sequence) {
      clearTimeout(sol.timer)
      sol.timer = undefined
      sol.queue.shift()
      this.#solNext(sol)
    }
    if (packet.sequence === 0) return
    const isNew = packet.sequence !== sol.lastSeen
    sol.lastSeen = packet.sequence
    this.#solPacket(sol, { sequence: 0, acknowledges: packet.sequence, accepted: packet.characters.length })
    if (isNew && packet.characters.length > 0) this.#solSend(sol, packet.characters.slice())
  }

  #solSend(sol: Sol, characters: Uint8Array): void {
    for (let at = 0; at < characters.length; at += 60) sol.queue.push(characters.subarray(at, at + 60))
    if (!sol.timer) this.#solNext(sol)
  }

  #solNext(sol: Sol): void {
    const characters = sol.queue[0]
    if (!characters) return
    sol.sequence = nextSolSequence(sol.sequence)
    const send = () => {
      this.#solPacket(sol, { sequence: sol.sequence, characters })
      sol.timer = setTimeout(send, 100)
    }
    send()
  }

  #solPacket(sol: Sol, part: Partial<SolPacket>): void {
    const packet = { sequence: 0, acknowledges: 0, accepted: 0, flags: 0, characters: new Uint8Array(), ...part }
    this.#secured(sol.session, 'sol', serializeSol(packet))
  }

  #endSol(): void {
    clearTimeout(this.#sol?.timer)
    this.#sol = undefined
  }

  #answer(session: Session, response: Parameters<typeof serializeIpmiResponse>[0]): void {
    if (this.#options.wrongSequence)
      this.#secured(
        session,
        'ipmi',
        serializeIpmiResponse({
          ...response,
          sequence: (response.sequence + 7) & 0x3f,
          data: Uint8Array.of(0xff, 0xff, 0xff),
        }),
      )
    this.#secured(session, 'ipmi', serializeIpmiResponse(response))
  }

  #secured(session: Session, payloadType: PayloadName, payload: Uint8Array): void {
    const sequence = ++session.sequence
    const sessionId = session.exchange.consoleSessionId
    this.#send(
      rmcp(sealPacket(session.keys!, { payloadType, sessionId, sequence, payload, iv: randomBytes(16) })),
      session.peer,
    )
  }

  #plain(type: PayloadName, payload: Uint8Array, peer: RemoteInfo): void {
    this.#send(rmcp(serializePlain(type, payload)), peer)
  }

  #send(bytes: Uint8Array, peer: RemoteInfo): void {
    for (let copies = this.#options.duplicates ? 2 : 1; copies > 0; copies--)
      if (!this.#isLost()) this.#socket.send(bytes, peer.port, peer.address)
  }

  #happens(share: boolean | number | undefined): boolean {
    return typeof share === 'number' ? this.#random() < share : share === true
  }

  #isLost(): boolean {
    return this.#options.loss !== undefined && this.#random() < this.#options.loss
  }
}

/** Opens a simulated BMC on a UDP port of its own. */
export async function startBmcSim(options: BmcSimOptions = {}): Promise<BmcSim> {
  const socket = createSocket('udp4')
  const sim = new BmcSim(options, socket)
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject)
    socket.bind(options.port ?? 0, options.host ?? '127.0.0.1', resolve)
  })
  sim.port = socket.address().port
  return sim
}

function rmcp(body: Uint8Array): Uint8Array {
  return serializeRmcp({ kind: 'ipmi', sequence: NO_ACK_SEQUENCE, body })
}

/** Numbers from 0 to 1 that are the same for the same seed. */
function mulberry32(seed: number): () => number {
  let a = seed
  return () => {
    a = (a + 0x6d2b79f5) | 0
    let t = Math.imul(a ^ (a >>> 15), 1 | a)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}
