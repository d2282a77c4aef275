/** Which servers are asked for a repository, and how. */
import type { RegistryAccess } from '../../services/images/ports.ts'
import { isLoopbackName, type TlsOptions } from './dispatch.ts'

export interface EndpointConfig {
  /** Base URLs by registry, tried in this order before the registry itself. */
  readonly mirrors?: ReadonlyMap<string, readonly string[]>
  /** How registries are reached, by host (and port); what a person asks for in a pull comes before it. */
  readonly access?: ReadonlyMap<string, RegistryAccess>
  /** Certificates of further authorities for all registries, PEM. */
  readonly ca?: string
}

/** One server that may have the repository: the registry itself, or a mirror of it. */
export interface Endpoint {
  readonly base: URL
  readonly registry: string
  readonly tls: TlsOptions
  readonly credentials: RegistryAccess['credentials']
  /** Loopback registries may speak plain http without being told so, as with docker. */
  readonly plainIfNoTls: boolean
}

/** Docker Hub is asked under another name than its images carry. */
const HOSTS: Readonly<Record<string, string>> = { 'docker.io': 'registry-1.docker.io' }

/**
 * Mirrors in their order, last the registry itself. What a person gives for a pull (credentials, TLS) is for the registry;
 * a mirror has its own configuration, under its own host.
 * @param isPlain whether the registry was found to speak plain http
 */
export function endpointsOf(
  config: EndpointConfig,
  registry: string,
  asked: RegistryAccess,
  isPlain: boolean,
): [...Endpoint[], Endpoint] {
  const own = { ...config.access?.get(registry), ...asked }
  const plain = own.plainHttp ?? isPlain
  const host = Object.hasOwn(HOSTS, registry) ? HOSTS[registry]! : registry
  return [
    ...(config.mirrors?.get(registry) ?? []).map((text) => mirrorOf(config, text)),
    {
      base: new URL(`${plain ? 'http' : 'https'}://${host}/`),
      registry,
      tls: tlsOf(config, own),
      credentials: own.credentials,
      plainIfNoTls: own.plainHttp === undefined && !plain && isLoopbackName(registry.replace(/:\d+$/, '')),
    },
  ]
}

function mirrorOf(config: EndpointConfig, text: string): Endpoint {
  const base = new URL(text.endsWith('/') ? text : `${text}/`)
  const own = config.access?.get(base.host) ?? {}
  return { base, registry: base.host, tls: tlsOf(config, own), credentials: own.credentials, plainIfNoTls: false }
}

function tlsOf(config: EndpointConfig, { insecure = false, ca }: RegistryAccess): TlsOptions {
  const all = [config.ca, ca].filter((text) => text !== undefined)
  return { insecure, ca: all.length === 0 ? undefined : all.join('\n') }
}
