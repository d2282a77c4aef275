/** What discovery needs of the outside. */
import type { RedfishGet } from '../../formats/redfish/walk.ts'
import type { BmcFru, BmcInfo, BmcSensor } from '../../model/bmc.ts'
import type { BmcTrust, DiscoveredBmc, IpmiSeen, RedfishSeen } from '../../model/discovery.ts'
import type { InventoryFinding } from '../../model/inventory.ts'

/** Asks addresses, without any credentials, whether a BMC is there. */
export interface ScanPort {
  /** What answers on this address as a Redfish service; undefined for nobody or something else. Never throws but by the signal. */
  redfish(address: string, options: RedfishProbe, signal: AbortSignal): Promise<RedfishSeen | undefined>
  /** One socket for all addresses; yields each BMC as its answers are in. */
  ipmi(
    addresses: readonly string[],
    options: { port: number; timeoutMs: number },
    signal: AbortSignal,
  ): AsyncIterable<{ address: string; seen: IpmiSeen; findings: InventoryFinding[] }>
  /** Asks the networks that this system is on, and yields who answers in this time. */
  ssdp(timeoutMs: number, signal: AbortSignal): AsyncIterable<SsdpFound>
}

/** Where somebody said that there is a Redfish service. */
export interface SsdpFound {
  readonly address: string
  readonly port: number
  readonly plainHttp: boolean
}

export interface RedfishProbe {
  readonly port: number
  readonly plainHttp: boolean
  readonly timeoutMs: number
}

export interface CrawlTarget {
  /** `https://host[:port]`, or `http://`. */
  readonly origin: string
  readonly user: string
  readonly password: string
  readonly trust: { readonly kind: BmcTrust; readonly fingerprint: string | undefined; readonly ca: string | undefined }
}

export interface IpmiCrawlTarget {
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password: string
}

/** What a BMC tells over IPMI. */
export interface IpmiFacts {
  readonly power: 'on' | 'off' | 'unknown'
  readonly info: BmcInfo
  readonly frus: readonly BmcFru[]
  readonly sensors: readonly BmcSensor[]
  /** What it declined to tell, in words. */
  readonly missing: readonly string[]
}

export interface CrawlPort {
  /**
   * Reads a BMC over IPMI, in a session of its own.
   * @throws {AppError} as BmcPort; invalid for a user or password that IPMI cannot carry
   */
  ipmi(target: IpmiCrawlTarget, signal: AbortSignal): Promise<IpmiFacts>
  /** A session with a BMC; nothing is sent before the first resource is asked for. @throws {AppError} invalid */
  open(target: CrawlTarget): CrawlSession
  /** SHA-256 of the certificate that a server shows now, hex; undefined without TLS. @throws {AppError} unreachable, timeout */
  fingerprint(origin: string, signal: AbortSignal): Promise<string | undefined>
}

export interface CrawlSession extends AsyncDisposable {
  readonly get: (path: string, signal: AbortSignal) => ReturnType<RedfishGet>
}

/** BMCs that were found. */
export interface DiscoveryStore {
  /** Puts a BMC in the place of what was known of this address. @param password sealed before it is stored; undefined keeps the one that is there */
  put(bmc: DiscoveredBmc, password?: string): Promise<void>
  list(): Promise<DiscoveredBmc[]>
  get(address: string): Promise<DiscoveredBmc | undefined>
  /** In the clear; only to hand it on to the machine that is made of it. */
  password(address: string): Promise<string | undefined>
  remove(address: string): Promise<boolean>
}
