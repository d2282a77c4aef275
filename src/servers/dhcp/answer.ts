/** What a DHCP server says to a packet: RFC 2131 §4.3, as a pure function of the packet, the leases and the time. */
import type { Packet } from '../../wire/dhcp/packet.ts'
import { isTaken } from './lease-book.ts'
import type { Lease } from './lease.ts'
import { ask, NO_ADDRESS, type Context, type Question } from './question.ts'
import { ignore, nak, reply, type Answer, type DhcpEvent } from './reply.ts'
import { isInPool, subnetOf } from './subnet.ts'

/** How long an offered address is kept for the client that it was offered to. */
const OFFER_MS = 30_000
/** How long an address that a client found in use is given to nobody. */
const QUARANTINE_MS = 3600_000
/** Leases that one hardware address may hold under different client identifiers. */
const MAX_LEASES_OF_MAC = 16

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
  const hasCiaddr = packet.ciaddr !== NO_ADDRESS
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
  return reply(question, 'ack', NO_ADDRESS, { changes: [], events })
}
