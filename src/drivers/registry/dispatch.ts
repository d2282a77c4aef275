/** Connections to registries: TLS as asked for, proxies, and which addresses are never connected to. */
import { lookup, type LookupAddress } from 'node:dns'
import { BlockList, isIP, type LookupFunction } from 'node:net'
import { Agent, EnvHttpProxyAgent, ProxyAgent, type Dispatcher } from 'undici'
import { AppError } from '../../base/errors.ts'
import { authorities } from '../authorities.ts'

export interface ProxyConfig {
  /** `http://host:port`; as the environment variables of the same names. */
  readonly httpProxy?: string
  readonly httpsProxy?: string
  /** Hosts that are reached directly, separated by commas; loopback always is. */
  readonly noProxy?: string
  /** A unix socket where an HTTP proxy listens (CONNECT), for a daemon whose network namespace has no route. */
  readonly egress?: string
}

export interface TlsOptions {
  readonly insecure: boolean
  /** Further authorities, PEM. */
  readonly ca: string | undefined
}

/** `named`: a person wrote this host. `peer`: another server sent us there (redirect, token realm). */
export type HostOrigin = 'named' | 'peer'

const CONNECT_TIMEOUT_MS = 10_000
/** How long the other side may say nothing. */
const SILENCE_TIMEOUT_MS = 30_000

const linkLocal = new BlockList()
linkLocal.addSubnet('169.254.0.0', 16)
linkLocal.addSubnet('fe80::', 10, 'ipv6')
const here = new BlockList()
here.addSubnet('127.0.0.0', 8)
here.addSubnet('0.0.0.0', 8)
here.addAddress('::1', 'ipv6')
here.addAddress('::', 'ipv6')

/** Opens connections and keeps them; one agent for each set of TLS options and origin of the name. */
export class Dispatchers implements AsyncDisposable {
  readonly #proxy: ProxyConfig
  readonly #agents = new Map<string, Dispatcher>()

  constructor(proxy: ProxyConfig) {
    this.#proxy = proxy
  }

  /**
   * The agent to use for a URL.
   * @param allowHere whether a name that a peer sent may lead to this machine itself
   * @throws {AppError} forbidden when the host is an address that is never connected to
   */
  for(url: URL, tls: TlsOptions, origin: HostOrigin, allowHere: boolean): Dispatcher {
    const mayBeHere = origin === 'named' || allowHere
    const host = url.hostname.replace(/^\[(.*)\]$/, '$1')
    const why = isIP(host) === 0 ? undefined : refusal(host, mayBeHere)
    if (why !== undefined || (!mayBeHere && isLoopbackName(host)))
      throw new AppError(
        'forbidden',
        `Cannot connect to "${url.host}": ${why ?? 'a redirect leads to this machine itself'}`,
      )
    const isTls = url.protocol === 'https:'
    const key = JSON.stringify([isTls, tls.insecure, tls.ca, mayBeHere])
    const known = this.#agents.get(key)
    if (known !== undefined) return known
    const made = this.#make(isTls ? tls : undefined, mayBeHere)
    this.#agents.set(key, made)
    return made
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#agents.values()].map((agent) => agent.destroy()))
    this.#agents.clear()
  }

  #make(tls: TlsOptions | undefined, mayBeHere: boolean): Dispatcher {
    // Authorities are read only where TLS is spoken: there are many.
    const requestTls = tls === undefined ? {} : { rejectUnauthorized: !tls.insecure, ca: authorities(tls.ca) }
    const common = {
      headersTimeout: SILENCE_TIMEOUT_MS,
      bodyTimeout: SILENCE_TIMEOUT_MS,
      maxHeaderSize: 32 << 10,
      connectTimeout: CONNECT_TIMEOUT_MS,
    }
    const { egress, httpProxy, httpsProxy, noProxy } = this.#proxy
    if (egress !== undefined)
      return new ProxyAgent({
        ...common,
        uri: 'http://egress.invalid',
        proxyTunnel: true,
        proxyTls: { socketPath: egress },
        requestTls,
      })
    const connect = { ...requestTls, timeout: CONNECT_TIMEOUT_MS, lookup: guardedLookup(mayBeHere) }
    if (!httpProxy && !httpsProxy) return new Agent({ ...common, connect })
    return new EnvHttpProxyAgent({
      ...common,
      httpProxy: httpProxy ?? '',
      httpsProxy: httpsProxy ?? '',
      noProxy: `${noProxy ?? ''},localhost,127.0.0.1,[::1]`,
      connect,
      requestTls,
    })
  }
}

/** The proxies that the environment names, as curl and docker read it. */
export function proxyFromEnvironment(environment: Readonly<Record<string, string | undefined>>): ProxyConfig {
  const value = (name: string) => environment[name] || environment[name.toUpperCase()] || undefined
  const [httpProxy, httpsProxy, noProxy] = [value('http_proxy'), value('https_proxy'), value('no_proxy')]
  return {
    ...(httpProxy === undefined ? {} : { httpProxy }),
    ...(httpsProxy === undefined ? {} : { httpsProxy }),
    ...(noProxy === undefined ? {} : { noProxy }),
  }
}

/** Whether a host is this machine by its very name. */
export function isLoopbackName(host: string): boolean {
  const bare = host.replace(/^\[(.*)\]$/, '$1').toLowerCase()
  return bare === 'localhost' || bare.endsWith('.localhost') || (isIP(bare) !== 0 && inList(here, bare))
}

function refusal(address: string, mayBeHere: boolean): string | undefined {
  if (inList(linkLocal, address))
    return `${address} is a link-local address, where only this machine's own services are`
  if (!mayBeHere && inList(here, address)) return `${address} is this machine itself, where another server sent us`
  return undefined
}

function inList(list: BlockList, address: string): boolean {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1]
  if (mapped !== undefined) return list.check(mapped)
  return list.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4')
}

/** Resolves once and connects to what was checked, so that a second answer of the name server changes nothing. */
function guardedLookup(mayBeHere: boolean): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, addresses: LookupAddress[]) => {
      if (error) return callback(error, [])
      const why = addresses.map(({ address }) => refusal(address, mayBeHere)).find((text) => text !== undefined)
      if (why !== undefined) return callback(new AppError('forbidden', `Cannot connect to "${hostname}": ${why}`), [])
      if (options.all) return callback(null, addresses)
      const first = addresses[0]
      if (first === undefined) return callback(new Error(`${hostname} has no address`), [])
      callback(null, first.address, first.family)
    })
  }
}
