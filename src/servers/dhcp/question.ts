/** Who asks, from where: what every answer to a DHCP packet needs to know first. */
import { WireError } from '../../base/errors.ts'
import { parseRelayAgent } from '../../wire/dhcp/encapsulated.ts'
import { hardwareAddress, type Packet } from '../../wire/dhcp/packet.ts'
import { bootClientOf, type BootClient, type BootDirectory } from './boot.ts'
import type { LeaseView } from './lease-book.ts'
import { subnetOf, type Subnet } from './subnet.ts'

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

/** One question, with what every answer to it needs. */
export interface Question {
  readonly packet: Packet
  readonly context: Context
  readonly subnet: Subnet
  readonly mac: string
  readonly clientKey: string
  readonly client: BootClient | undefined
  readonly fixed: string | undefined
}

/** Longest client identifier or relay information that we keep or echo. */
const MAX_ECHO_BYTES = 255
/** No address yet (RFC 2131 §2). */
export const NO_ADDRESS = '0.0.0.0'

/** @returns the question, or why there is none to answer */
export function ask(packet: Packet, context: Context): Question | string {
  const { clientId, relayAgent } = packet.options
  if ((clientId?.length ?? 0) > MAX_ECHO_BYTES) return `its client identifier has ${clientId!.length} bytes`
  if ((relayAgent?.length ?? 0) > MAX_ECHO_BYTES) return `its relay information has ${relayAgent!.length} bytes`
  const mac = hardwareAddress(packet)
  const clientKey = keyOf(packet)
  if (!clientKey) return 'it has neither a hardware address nor a client identifier'
  if (context.directory.isSilent?.(mac) === true) return 'the machine is disabled'
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
  if (giaddr === NO_ADDRESS) return { address: context.serverAddress }
  if (!context.relays.includes(giaddr) && !subnetOf(context.subnets, giaddr))
    return { address: NO_ADDRESS, why: `its relay ${giaddr} is not configured` }
  try {
    const selected = options.relayAgent && parseRelayAgent(options.relayAgent).linkSelection
    return { address: selected ?? options.subnetSelection ?? giaddr }
  } catch (error) {
    if (!(error instanceof WireError)) throw error
    return { address: NO_ADDRESS, why: error.message }
  }
}
