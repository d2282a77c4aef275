/** What a DHCP server says to a packet: RFC 2131 §4.3, as a pure function of the packet, the leases and the time. */
import { parseRelayAgent } from '../../wire/dhcp/encapsulated.ts'
import { hardwareAddress, DEFAULT_MAX_BYTES, type Packet } from '../../wire/dhcp/packet.ts'
import { OPTIONS, type OptionName, type Options } from '../../wire/dhcp/options.ts'
import { WireError } from '../../base/errors.ts'
import { bootClientOf, bootFields, type BootChoice, type BootClient, type BootDirectory } from './boot.ts'
import { isTaken, type LeaseView } from './lease-book.ts'
import type { Lease, LeaseChange } from './lease.ts'
import { isInPool, subnetOf, toAddress, type Subnet } from './subnet.ts'

export interface Context {
  /** Our address on the interface: server identifier, TFTP server. */
  readonly serverAddress: string
  readonly subnets: readonly Subnet[]
  /** Relays with an address outside of `subnets` (they name the subnet in option 82.5). Others are not answered. */
  readonly relays: readonly string[]
  readonly leases: LeaseView
  readonly directory: BootDirectory
  /** Steady clock, milliseconds. */
  readonly nowMs: number
  /** We alone know this network: clients with an address that we do not know of are refused, not met with silence. */
  readonly isAuthoritative: boolean
  /** Whether machines that nobody registered get an address. */
  readonly servesUnknown: boolean
}

/** What happened to one machine, for its boot timeline and for people who count. */
export interface DhcpEvent {
  readonly kind:
    | 'dhcp-discover'
    | 'dhcp-offer'
    | 'dhcp-ack'
    | 'dhcp-nak'
    | 'dhcp-decline'
    | 'dhcp-release'
    | 'dhcp-inform'
    | 'dhcp-exhausted'
    | 'dhcp-conflict'
  readonly mac: string
  /** Undefined when an operating system asks, not a boot client. */
  readonly client: BootClient | undefined
  readonly address?: string
  readonly boot?: BootChoice
  readonly why?: string
}

/** `changes` are to be made durable before `send` goes out; an answer with offers only needs no store. */
export type Answer =
  | {
      readonly send: Packet
      readonly to: Destination
      /** The largest UDP payload that the client takes. */
      readonly maxBytes: number
      readonly changes: readonly LeaseChange[]
      readonly events: readonly DhcpEvent[]
    }
  | { readonly ignore: string; readonly changes: readonly LeaseChange[]; readonly events: readonly DhcpEvent[] }

export interface Destination {
  readonly address: string
  readonly port: 67 | 68
}

/** How long an offered address is kept for the client that it was offered to. */
const OFFER_MS = 30_000
/** How long an address that a client found in use is given to nobody. */
const QUARANTINE_MS = 3600_000
/** Leases that one hardware address may hold under different client identifiers. */
const MAX_LEASES_OF_MAC = 16
/** Longest client identifier or relay information that we keep or echo. */
const MAX_ECHO_BYTES = 255
const NONE = '0.0.0.0'
const EVERYONE = '255.255.255.255'

/** One question, with what every answer to it needs. */
interface Question {
  readonly packet: Packet
  readonly context: Context
  readonly subnet: Subnet
  readonly mac: string
  readonly clientKey: string
  readonly client: BootClient | undefined
  readonly fixed: string | undefined
}

/** Decides on one packet. Never throws for what a client sent. */
export function answer(packet: Packet, context: Context): Answer {
  if (packet.op !== 'request') return ignore('it is a reply')
  const type = packet.options.messageType
  if (!type) return ignore('it is BOOTP, not DHCP')
  const question = ask(packet, context)
  if (typeof question === 'string') return ignore(question)
  switch (type) {
    case 'discover':
      return offer(question)
    case 'request':
      return onRequest(question)
    case 'decline':
      return onDecline(question)
    case 'release':
      return onRelease(question)
    case 'inform':
      return onInform(question)
    default:
      return ignore(`message type ${type} is not for a server like this`)
  }
}

/** @returns the question, or why there is none to answer */
function ask(packet: Packet, context: Context): Question | string {
  const { clientId, relayAgent } = packet.options
  if ((clientId?.length ?? 0) > MAX_ECHO_BYTES) return `its client identifier has ${clientId!.length} bytes`
  if ((relayAgent?.length ?? 0) > MAX_ECHO_BYTES) return `its relay information has ${relayAgent!.length} bytes`
  const mac = hardwareAddress(packet)
  const clientKey = keyOf(packet)
  if (!clientKey) return 'it has neither a hardware address nor a client identifier'
  const link = linkOf(packet, context)
  if (link.why) return link.why
  const subnet = subnetOf(context.subnets, link.address)
  if (!subnet) return `no subnet is configured for ${link.address}`
  if (!context.servesUnknown && !context.directory.isKnown(mac)) return 'its hardware address is not registered'
  const fixed = mac === '' ? undefined : context.directory.addressFor(mac)
  const isHere = fixed !== undefined && subnetOf(context.subnets, fixed) === subnet
  return { packet, context, subnet, mac, clientKey, client: bootClientOf(packet), fixed: isHere ? fixed : undefined }
}

/**
 * Who the client is: its identifier, else its hardware address (RFC 2131 §4.2). The identifier that is only type 1 and the MAC is the
 * MAC, so that firmware which sends it and a system which does not are one client.
 */
function keyOf({ htype, chaddr, options: { clientId } }: Packet): string | undefined {
  const hardware = chaddr.length > 0 && chaddr.some((byte) => byte !== 0) ? `${chaddr.toHex()}` : undefined
  if (clientId && clientId.length > 1) {
    const id = clientId.toHex()
    if (hardware && htype === 1 && id === `01${hardware}`) return `hw:${hardware}`
    return `id:${id}`
  }
  return hardware && `hw:${hardware}`
}

/**
 * An address of the link that the client sits on: what its relay says (RFC 3527 §3, RFC 3011 §2, giaddr), else our own interface. A client
 * without a relay is not believed: it could draw from the pools of all other subnets.
 */
function linkOf({ giaddr, options }: Packet, context: Context): { address: string; why?: string } {
  if (giaddr === NONE) return { address: context.serverAddress }
  if (!context.relays.includes(giaddr) && !subnetOf(context.subnets, giaddr))
    return { address: NONE, why: `its relay ${giaddr} is not configured` }
  try {
    const selected = options.relayAgent && parseRelayAgent(options.relayAgent).linkSelection
    return { address: selected ?? options.subnetSelection ?? giaddr }
  } catch (error) {
    if (!(error instanceof WireError)) throw error
    return { address: NONE, why: error.message }
  }
}

function offer(question: Question): Answer {
  const { mac, client, context } = question
  const seen: DhcpEvent = { kind: 'dhcp-discover', mac, client }
  const chosen = chooseAddress(question)
  if (!chosen.address) {
    const why = chosen.why ?? `no address is free in ${question.subnet.cidr}`
    return ignore(why, { events: [seen, { kind: 'dhcp-exhausted', mac, client, why }] })
  }
  const held = context.leases.at(chosen.address)
  // A lease that runs stays as it is: an offer, which anybody can ask for, must not shorten it to the seconds of an offer.
  const isHeld = held?.state === 'bound' && isTaken(held, context.nowMs)
  const lease = leaseFor(question, chosen.address, 'offered', OFFER_MS)
  return reply(question, 'offer', chosen.address, {
    changes: isHeld ? [] : [{ kind: 'put', lease }],
    events: [seen, ...chosen.events],
  })
}

function chooseAddress(question: Question): { address?: string; events: DhcpEvent[]; why?: string } {
  const { context, subnet, mac, clientKey, client, fixed, packet } = question
  const { leases, nowMs, directory } = context
  const events: DhcpEvent[] = []
  if (fixed !== undefined) {
    const why = obstacle(question, fixed)
    if (why === undefined) return { address: fixed, events }
    events.push({ kind: 'dhcp-conflict', mac, client, address: fixed, why })
  }
  const candidates = [
    leases.ofClient(clientKey, subnet)?.address,
    mac === '' ? undefined : leases.ofNetboot(mac, subnet)?.address,
    packet.options.requestedAddress,
  ]
  for (const address of candidates)
    if (address !== undefined && address !== fixed && obstacle(question, address) === undefined)
      return { address, events }
  const ofMac = mac === '' ? [] : leases.ofMac(mac)
  if (ofMac.length >= MAX_LEASES_OF_MAC) {
    const ended = ofMac.find((lease) => obstacle(question, lease.address) === undefined)
    return ended ? { address: ended.address, events } : { events, why: `it holds ${ofMac.length} leases already` }
  }
  const isReserved = (candidate: string) => directory.ownerOf(candidate) !== undefined || isOurs(question, candidate)
  const address = leases.freeAddress(subnet, nowMs, isReserved)
  return address === undefined ? { events } : { address, events }
}

/** Why this client may not have this address; undefined when it may. */
function obstacle(question: Question, address: string): string | undefined {
  const { context, subnet, mac, clientKey, fixed } = question
  if (subnetOf([subnet], address) === undefined) return `${address} is not in ${subnet.cidr}`
  if (isOurs(question, address)) return `${address} is a server's or router's`
  const lease = context.leases.at(address)
  if (lease?.state === 'declined' && isTaken(lease, context.nowMs)) return `${address} was found in use by someone else`
  const owner = context.directory.ownerOf(address)
  if (owner !== undefined && owner !== mac) return `${address} is kept for ${owner}`
  if (address !== fixed && !isInPool(subnet, address)) return `${address} is in no pool`
  if (!lease || !isTaken(lease, context.nowMs) || lease.clientKey === clientKey) return undefined
  const isSameMachine = mac !== '' && lease.mac === mac && (lease.isNetboot || address === fixed)
  return isSameMachine ? undefined : `${address} is leased to ${lease.mac}`
}

function isOurs({ context, subnet }: Question, address: string): boolean {
  return address === context.serverAddress || subnet.routers.includes(address)
}

/** RFC 2131 §4.3.2: what is filled in tells which state the client is in. */
function onRequest(question: Question): Answer {
  const { packet, context } = question
  const { serverId, requestedAddress } = packet.options
  const hasCiaddr = packet.ciaddr !== NONE
  if (serverId !== undefined) {
    if (serverId !== context.serverAddress) return ignore(`the client took the offer of ${serverId}`)
    const wanted = requestedAddress ?? (hasCiaddr ? packet.ciaddr : undefined)
    return wanted === undefined ? ignore('it selects an offer but names no address') : bind(question, wanted)
  }
  const wanted = hasCiaddr ? packet.ciaddr : requestedAddress
  if (wanted === undefined) return ignore('it requests no address')
  return verify(question, wanted)
}

/** INIT-REBOOT, RENEWING, REBINDING: the client believes that it has this address. */
function verify(question: Question, address: string): Answer {
  const { context, subnet, clientKey, mac } = question
  const own = context.leases.ofClient(clientKey, subnet) ?? context.leases.ofNetboot(mac, subnet)
  if (subnetOf([subnet], address) === undefined) return nak(question, `${address} is not in ${subnet.cidr}`)
  if (own && own.address !== address && isTaken(own, context.nowMs) && !isHolder(question, address))
    return nak(question, `its address is ${own.address}`)
  if (own || question.fixed !== undefined || context.isAuthoritative) return bind(question, address)
  return ignore(`nothing is known of its lease on ${address}`)
}

function isHolder({ context, clientKey }: Question, address: string): boolean {
  return context.leases.at(address)?.clientKey === clientKey
}

function bind(question: Question, address: string): Answer {
  const { subnet, mac, fixed, context } = question
  const why =
    fixed !== undefined && fixed !== address && obstacle(question, fixed) === undefined
      ? `its address is ${fixed}`
      : obstacle(question, address)
  if (why !== undefined) return nak(question, why)
  if (
    !isHolder(question, address) &&
    mac !== '' &&
    address !== fixed &&
    context.leases.ofMac(mac).length > MAX_LEASES_OF_MAC
  )
    return ignore(`it holds more than ${MAX_LEASES_OF_MAC} leases`)
  const lease = leaseFor(question, address, 'bound', subnet.leaseSeconds * 1000)
  return reply(question, 'ack', address, { changes: [{ kind: 'put', lease }], events: [] })
}

function leaseFor(question: Question, address: string, state: Lease['state'], forMs: number): Lease {
  const { packet, context, client, mac, clientKey } = question
  const before = context.leases.at(address)
  return {
    address,
    clientKey,
    mac,
    state,
    expiresAtMs: context.nowMs + forMs,
    isNetboot: client !== undefined || (before !== undefined && before.mac === mac && before.isNetboot),
    hostName: (packet.options.hostName ?? '').replace(/[^\w.-]/g, '').slice(0, 63),
  }
}

/** The client found the address in use (RFC 2131 §4.3.3). Only who was given an address can have it quarantined. */
function onDecline(question: Question): Answer {
  const { packet, context, mac, client, clientKey } = question
  const { requestedAddress: address, serverId } = packet.options
  if (serverId !== context.serverAddress) return ignore('it declines the address of another server')
  const lease = address === undefined ? undefined : context.leases.at(address)
  if (!address || lease?.clientKey !== clientKey) return ignore('it declines an address that it was not given')
  const declined: Lease = { ...lease, state: 'declined', expiresAtMs: context.nowMs + QUARANTINE_MS }
  const events: DhcpEvent[] = [{ kind: 'dhcp-decline', mac, client, address }]
  return ignore('declined; nothing is to be said', { changes: [{ kind: 'put', lease: declined }], events })
}

function onRelease(question: Question): Answer {
  const { packet, context, mac, client, clientKey } = question
  const lease = context.leases.at(packet.ciaddr)
  if (packet.options.serverId !== context.serverAddress) return ignore('it releases to another server')
  if (lease?.clientKey !== clientKey || lease.state !== 'bound') return ignore('it releases what it does not hold')
  const released: Lease = { ...lease, state: 'released', expiresAtMs: context.nowMs }
  const events: DhcpEvent[] = [{ kind: 'dhcp-release', mac, client, address: lease.address }]
  return ignore('released; nothing is to be said', { changes: [{ kind: 'put', lease: released }], events })
}

/** RFC 2131 §4.3.5: options for a client that has its address from elsewhere. */
function onInform(question: Question): Answer {
  const { packet, subnet, mac, client } = question
  if (!subnetOf([subnet], packet.ciaddr)) return ignore(`it informs of ${packet.ciaddr}, not in ${subnet.cidr}`)
  const events: DhcpEvent[] = [{ kind: 'dhcp-inform', mac, client, address: packet.ciaddr }]
  return reply(question, 'ack', NONE, { changes: [], events })
}

function reply(
  question: Question,
  type: 'offer' | 'ack',
  address: string,
  { changes, events }: { changes: readonly LeaseChange[]; events: readonly DhcpEvent[] },
): Answer {
  const { packet, context, client, mac } = question
  const choice = client && context.directory.bootFor(client)
  const boot = client && choice && bootFields(client, choice, context.serverAddress)
  const isInform = packet.options.messageType === 'inform'
  const said: DhcpEvent = { kind: `dhcp-${type}`, mac, client, address, ...(choice && { boot: choice }) }
  return {
    send: {
      ...echo(packet),
      ciaddr: type === 'ack' ? packet.ciaddr : NONE,
      yiaddr: address,
      siaddr: boot?.siaddr ?? NONE,
      file: boot?.file ?? '',
      options: {
        messageType: type,
        serverId: context.serverAddress,
        ...(isInform ? {} : leaseTimes(question.subnet)),
        ...networkOptions(question),
        ...echoedOptions(packet.options),
        ...boot?.options,
      },
    },
    to: destination(packet, question.subnet),
    maxBytes: maxBytes(packet),
    changes,
    events: isInform ? events : [...events, said],
  }
}

/** RFC 2131 §4.3.2 and table 3: no address in it, and broadcast, since the client's address may be wrong. */
function nak(question: Question, why: string): Answer {
  const { packet, context, mac, client } = question
  const { relayAgent, clientId } = packet.options
  return {
    send: {
      ...echo(packet),
      // A relay must broadcast it as well (RFC 2131 §4.1).
      broadcast: true,
      ciaddr: NONE,
      yiaddr: NONE,
      siaddr: NONE,
      file: '',
      options: {
        messageType: 'nak',
        serverId: context.serverAddress,
        message: why,
        ...(clientId && { clientId }),
        ...(relayAgent && { relayAgent }),
      },
    },
    to: packet.giaddr === NONE ? { address: EVERYONE, port: 68 } : { address: packet.giaddr, port: 67 },
    maxBytes: maxBytes(packet),
    changes: [],
    events: [{ kind: 'dhcp-nak', mac, client, why }],
  }
}

function echo(packet: Packet) {
  const { htype, chaddr, xid, broadcast, giaddr } = packet
  return { op: 'reply', htype, chaddr, hops: 0, xid, secs: 0, broadcast, giaddr, sname: '' } as const
}

function leaseTimes({ leaseSeconds }: Subnet): Options {
  const [renewalTime, rebindingTime] = [Math.floor(leaseSeconds / 2), Math.floor((leaseSeconds * 7) / 8)]
  return { leaseTime: leaseSeconds, renewalTime, rebindingTime }
}

/** Only what was asked for (option 55), or all to a client that does not say: PXE firmware is brittle. */
function networkOptions({ packet, subnet, context, mac }: Question): Options {
  const asked = packet.options.parameterList
  const wants = (name: OptionName) => !asked || asked.includes(OPTIONS[name].code)
  const hostName = context.directory.hostNameFor?.(mac)
  return {
    subnetMask: toAddress(subnet.mask),
    ...(subnet.routers.length > 0 && wants('router') && { router: [...subnet.routers] }),
    ...(subnet.nameServers.length > 0 && wants('nameServer') && { nameServer: [...subnet.nameServers] }),
    ...(subnet.ntpServers.length > 0 && wants('ntpServer') && { ntpServer: [...subnet.ntpServers] }),
    ...(subnet.domainName !== '' && wants('domainName') && { domainName: subnet.domainName }),
    ...(wants('broadcastAddress') && { broadcastAddress: toAddress((subnet.network | ~subnet.mask) >>> 0) }),
    ...(hostName !== undefined && wants('hostName') && { hostName }),
  }
}

/** RFC 6842 (61), RFC 3046 §2.2 (82), RFC 4578 §2.3 (97). */
function echoedOptions({ clientId, relayAgent, clientUuid }: Options): Options {
  return { ...(clientId && { clientId }), ...(relayAgent && { relayAgent }), ...(clientUuid && { clientUuid }) }
}

/** RFC 2131 §4.1. A client that has no address cannot answer ARP: what is for it alone is broadcast too. */
function destination({ giaddr, ciaddr }: Packet, subnet: Subnet): Destination {
  if (giaddr !== NONE) return { address: giaddr, port: 67 }
  // Not to any ciaddr that a stranger writes: we would be his reflector.
  const isReachable = ciaddr !== NONE && subnetOf([subnet], ciaddr) !== undefined
  return { address: isReachable ? ciaddr : EVERYONE, port: 68 }
}

/** Option 57 counts the IP and UDP headers. More than one Ethernet frame is never sent. */
function maxBytes({ options: { maxMessageSize } }: Packet): number {
  return Math.min(Math.max((maxMessageSize ?? 0) - 28, DEFAULT_MAX_BYTES), 1472)
}

function ignore(why: string, { changes = [], events = [] }: Partial<Pick<Answer, 'changes' | 'events'>> = {}): Answer {
  return { ignore: why, changes, events }
}
