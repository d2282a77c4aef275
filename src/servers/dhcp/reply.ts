/** The building of DHCP replies: which options, to which address, how long (RFC 2131 §4.1 and table 3). */
import { OPTIONS, type OptionName, type Options } from '../../wire/dhcp/options.ts'
import { DEFAULT_MAX_BYTES, type Packet } from '../../wire/dhcp/packet.ts'
import { bootFields, type BootChoice, type BootClient } from './boot.ts'
import type { LeaseChange } from './lease.ts'
import { NO_ADDRESS, type Question } from './question.ts'
import { subnetOf, toAddress, type Subnet } from './subnet.ts'

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

const EVERYONE = '255.255.255.255'

/** An OFFER or ACK of `address`, with what the client is to boot. */
export function reply(
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
      ciaddr: type === 'ack' ? packet.ciaddr : NO_ADDRESS,
      yiaddr: address,
      siaddr: boot?.siaddr ?? NO_ADDRESS,
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
export function nak(question: Question, why: string): Answer {
  const { packet, context, mac, client } = question
  const { relayAgent, clientId } = packet.options
  return {
    send: {
      ...echo(packet),
      // A relay must broadcast it as well (RFC 2131 §4.1).
      broadcast: true,
      ciaddr: NO_ADDRESS,
      yiaddr: NO_ADDRESS,
      siaddr: NO_ADDRESS,
      file: '',
      options: {
        messageType: 'nak',
        serverId: context.serverAddress,
        message: why,
        ...(clientId && { clientId }),
        ...(relayAgent && { relayAgent }),
      },
    },
    to: packet.giaddr === NO_ADDRESS ? { address: EVERYONE, port: 68 } : { address: packet.giaddr, port: 67 },
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
  if (giaddr !== NO_ADDRESS) return { address: giaddr, port: 67 }
  // Not to any ciaddr that a stranger writes: we would be his reflector.
  const isReachable = ciaddr !== NO_ADDRESS && subnetOf([subnet], ciaddr) !== undefined
  return { address: isReachable ? ciaddr : EVERYONE, port: 68 }
}

/** Option 57 counts the IP and UDP headers. More than one Ethernet frame is never sent. */
function maxBytes({ options: { maxMessageSize } }: Packet): number {
  return Math.min(Math.max((maxMessageSize ?? 0) - 28, DEFAULT_MAX_BYTES), 1472)
}

/** Silence, for a reason; what was seen may still change leases and count as events. */
export function ignore(
  why: string,
  { changes = [], events = [] }: Partial<Pick<Answer, 'changes' | 'events'>> = {},
): Answer {
  return { ignore: why, changes, events }
}
