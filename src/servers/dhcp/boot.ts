/** What a boot client is, the port that decides what it boots, and the options that make firmware accept the answer. */
import { archName, CLIENT_ARCHS } from '../../wire/dhcp/client-arch.ts'
import { IPXE_NO_PROXY, PXE_TAKE_BOOT_FILE } from '../../wire/dhcp/encapsulated.ts'
import { hardwareAddress, type Packet } from '../../wire/dhcp/packet.ts'
import type { Options } from '../../wire/dhcp/options.ts'

export interface BootClient {
  /** `52:54:00:12:34:56` */
  readonly mac: string
  /** SMBIOS UUID of option 97. Firmware fills it badly: evidence, not identity. */
  readonly uuid?: string
  /** Option 93; absent from iPXE builds and boot loaders that do not send it. */
  readonly arch?: number
  readonly isIpxe: boolean
  /** UEFI HTTP boot: takes a URL, not a TFTP name. */
  readonly isHttpClient: boolean
}

export type BootChoice =
  /** A name that our TFTP server knows. */
  | { readonly kind: 'file'; readonly name: string }
  | { readonly kind: 'url'; readonly url: string }
  /** An address but nothing to boot; `why` is logged. */
  | { readonly kind: 'none'; readonly why: string }

/** What the DHCP server asks of the product. All of it is answered from memory, at once. */
export interface BootDirectory {
  bootFor(client: BootClient): BootChoice
  /** The fixed address of a known machine. */
  addressFor(mac: string): string | undefined
  /** The MAC of the known machine whose fixed address this is: nobody else gets it. */
  ownerOf(address: string): string | undefined
  isKnown(mac: string): boolean
  /** Whether it is disabled, so that nothing is said to it. */
  isSilent?(mac: string): boolean
  /** Host name to hand out (option 12). */
  hostNameFor?(mac: string): string | undefined
}

/**
 * Boot loaders by client architecture, as Debian's packages name them; how each is fetched follows from the firmware. iPXE but for 32-bit x86
 * UEFI (6), for which Debian has none: GRUB there, which looks for its configuration and modules in the folder that it names `/grub`.
 */
export const LOADERS: Readonly<Record<number, string>> = {
  0: 'undionly.kpxe',
  6: 'grub/grubnetia32.efi',
  7: 'snponly.efi',
  9: 'snponly.efi',
  11: 'ipxe-arm64.efi',
  16: 'ipxe-amd64.efi',
  19: 'ipxe-arm64.efi',
}

/** The first boot file for firmware that is not yet iPXE: by TFTP, or by `baseUrl` for UEFI HTTP boot. */
export function loaderFor(client: BootClient, baseUrl: string): BootChoice {
  if (client.arch === undefined) return { kind: 'none', why: 'it does not say its architecture (option 93)' }
  const name = LOADERS[client.arch]
  if (!name) return { kind: 'none', why: `there is no boot loader for ${archName(client.arch)}` }
  if (!client.isHttpClient) return { kind: 'file', name }
  return { kind: 'url', url: `${baseUrl.replace(/\/$/, '')}/${name}` }
}

/** The boot client that sent this packet; undefined when it is not one (an operating system asking for its address). */
export function bootClientOf(packet: Packet): BootClient | undefined {
  const o = packet.options
  // iPXE is known by its own option, not by user class: a script's `set user-class` is sent by the next iPXE as well.
  const isIpxe = o.ipxe !== undefined
  const isHttpClient = !isIpxe && (o.vendorClass?.startsWith('HTTPClient') ?? false)
  const isPxe = o.vendorClass?.startsWith('PXEClient') ?? false
  if (!isIpxe && !isHttpClient && !isPxe && !o.clientArch) return undefined
  const arch = o.clientArch?.findLast((code) => CLIENT_ARCHS[code]) ?? o.clientArch?.[0]
  return {
    mac: hardwareAddress(packet),
    isIpxe,
    isHttpClient,
    ...(o.clientUuid !== undefined && { uuid: o.clientUuid }),
    ...(arch !== undefined && { arch }),
  }
}

/** What a reply to a boot client carries besides the lease. */
export interface BootFields {
  readonly siaddr: string
  readonly file: string
  readonly options: Options
}

/** Bytes of text that the header's `file` field holds. */
const FILE_TEXT_BYTES = 127

/**
 * Boot fields for one client. siaddr is set with each boot file: iPXE ignores a boot file without it.
 * @param serverAddress of our TFTP server
 */
export function bootFields(client: BootClient, choice: BootChoice, serverAddress: string): BootFields {
  const none = choice.kind === 'none'
  const target = none ? '' : choice.kind === 'file' ? choice.name : choice.url
  const named = none ? {} : { bootFileName: target }
  const file = target.length <= FILE_TEXT_BYTES ? target : ''
  if (client.isIpxe) return { siaddr: serverAddress, file, options: { ...named, ipxe: IPXE_NO_PROXY } }
  if (none) return { siaddr: '0.0.0.0', file: '', options: {} }
  if (client.isHttpClient) return { siaddr: serverAddress, file, options: { ...named, vendorClass: 'HTTPClient' } }
  return {
    siaddr: serverAddress,
    file,
    options: {
      ...named,
      tftpServerName: serverAddress,
      vendorClass: 'PXEClient',
      vendorSpecific: PXE_TAKE_BOOT_FILE,
    },
  }
}
