/** SSDP as far as a Redfish service is looked for with it (DSP0266 §12; UPnP Device Architecture 1.1 §1.3). */
import { WireError } from '../../base/errors.ts'

/** The group and port of every search over IPv4. */
export const SSDP_GROUP = '239.255.255.250'
export const SSDP_PORT = 1900
/** What Redfish services answer to; a service may answer with a minor version behind it. */
export const REDFISH_TARGET = 'urn:dmtf-org:service:redfish-rest:1'

/** An answer fits one packet of Ethernet. */
const MAX_BYTES = 1500
const MAX_HEADERS = 64
const MAX_URL = 1024

/** What answers a search. */
export interface SsdpAnswer {
  readonly target: string
  /** Of the service, where its name has one in the form of a UUID. */
  readonly uuid: string | undefined
  /** Where it is: AL, as DSP0266 has it, else LOCATION, as UPnP. Undefined where neither is a URL of HTTP. */
  readonly url: string | undefined
}

/** @param maxWaitSeconds within which answers are to come, 1 to 5 */
export function serializeSearch(target: string, maxWaitSeconds: number): Uint8Array {
  const lines = [
    'M-SEARCH * HTTP/1.1',
    `HOST: ${SSDP_GROUP}:${SSDP_PORT}`,
    'MAN: "ssdp:discover"',
    `MX: ${maxWaitSeconds}`,
    `ST: ${target}`,
  ]
  return new TextEncoder().encode(`${lines.join('\r\n')}\r\n\r\n`)
}

/** @throws {WireError} for what is no answer to a search */
export function parseSsdpAnswer(bytes: Uint8Array): SsdpAnswer {
  const wrong = (why: string) => new WireError('SSDP answer', why)
  if (bytes.length > MAX_BYTES) throw wrong(`${bytes.length} bytes, more than ${MAX_BYTES}`)
  const [status = '', ...lines] = new TextDecoder('latin1').decode(bytes).split(/\r?\n/)
  if (!/^HTTP\/1\.[01] 200\b/.test(status)) throw wrong('it does not begin with HTTP/1.1 200')
  if (lines.length > MAX_HEADERS) throw wrong(`more than ${MAX_HEADERS} headers`)
  const headers = new Map<string, string>()
  for (const line of lines) {
    const [, name, value] = /^([!#-'*+.^-z|~0-9A-Z-]{1,64}):[ \t]*(.*?)[ \t]*$/.exec(line) ?? []
    // The first of a name counts.
    if (name !== undefined && !headers.has(name.toLowerCase())) headers.set(name.toLowerCase(), value!)
  }
  const target = headers.get('st')
  if (target === undefined) throw wrong('it has no ST')
  const uuid = /^uuid:([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?:::|$)/i.exec(headers.get('usn') ?? '')?.[1]
  return {
    target,
    uuid: uuid?.toLowerCase(),
    url: urlOf(headers.get('al')) ?? urlOf(headers.get('location')),
  }
}

/** Whether an answer is of a Redfish service of major version 1. */
export function isRedfish({ target }: SsdpAnswer): boolean {
  return target === REDFISH_TARGET || /^urn:dmtf-org:service:redfish-rest:1:\d{1,5}$/.test(target)
}

/** The specification writes `AL:<URL>`, and some take its angle brackets for a part of it. */
function urlOf(text: string | undefined): string | undefined {
  const url = text?.replace(/^<(.*?)>.*$/, '$1')
  if (url === undefined || url.length > MAX_URL || !URL.canParse(url)) return undefined
  const { protocol, href } = new URL(url)
  return protocol === 'https:' || protocol === 'http:' ? href : undefined
}
