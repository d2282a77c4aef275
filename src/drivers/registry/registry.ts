/** A client of docker v2 / OCI distribution registries (distribution-spec v1.1, pull side). */
import { createHash } from 'node:crypto'
import type { Dispatcher } from 'undici'
import { AppError } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import { isDigest, parseDigest, type Digest } from '../../formats/oci/digest.ts'
import { DOCUMENT_BYTES } from '../../formats/oci/document.ts'
import { MANIFEST_ACCEPT } from '../../formats/oci/media-types.ts'
import type { FetchedManifest, RegistryAccess, RegistryPort, RepositoryName } from '../../services/images/ports.ts'
import { MIN_PROGRESS_BYTES, bodyFrom } from './body.ts'
import { parseChallenges } from '../../wire/http/challenge.ts'
import { findCredential, type Credential } from './credentials.ts'
import { backOff, bodyOf, isConnectionFailure, isPassing, isPlainHttpAnswer } from '../http-answers.ts'
import { Dispatchers, isLoopbackName, proxyFromEnvironment, type ProxyConfig } from './dispatch.ts'
import { endpointsOf, type Endpoint, type EndpointConfig } from './endpoints.ts'
import { download } from './download.ts'
import { registryFailure } from './failure.ts'
import { connectionError, originOf, sender } from './request.ts'
import { authorize, type Authorization } from './tokens.ts'

export interface RegistryConfig extends EndpointConfig {
  readonly log: Log
  readonly now: () => number
  /** Path of docker's config.json; none is read where it is left out. */
  readonly credentialsPath?: string
  /** Default: what the environment says. */
  readonly proxy?: ProxyConfig
  /** Tries of a request that fails without progress. Default 5. */
  readonly attempts?: number
  /** First pause between two tries, milliseconds. Default 250. */
  readonly backOffMs?: number
  /** Whether `download` may fetch from this machine's own addresses. Default: no. */
  readonly allowLoopbackDownloads?: boolean
}

export interface RegistryClient extends RegistryPort, AsyncDisposable {
  /** The bytes of a plain URL from `offset` on, for imports. @throws {AppError} as `stream` */
  readonly download: (url: URL, offset: number, signal: AbortSignal) => AsyncIterable<Uint8Array>
}

/** Manifests up to this size must be accepted (distribution-spec, "Pushing Manifests"); ours ends there. */
const MAX_MANIFEST_BYTES = 4 << 20
const MAX_SMALL_BLOB_BYTES = DOCUMENT_BYTES
const MAX_AUTHORIZATIONS = 1000
const SMALL_DEADLINE_MS = 120_000
interface Asked {
  readonly name: RepositoryName
  /** Path below `/v2/NAME/`. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  /** Begins every error: `Cannot pull "…"`. */
  readonly doing: string
  readonly signal: AbortSignal
}

/** Opens a client. Connections are kept until it is disposed. */
export function createRegistry(config: RegistryConfig): RegistryClient {
  return new Registry(config)
}

class Registry implements RegistryClient {
  readonly #config: RegistryConfig
  readonly #dispatchers: Dispatchers
  /** By origin, scope and credential set. */
  readonly #authorizations = new Map<string, Authorization>()
  readonly #plain = new Set<string>()

  constructor(config: RegistryConfig) {
    this.#config = config
    this.#dispatchers = new Dispatchers(config.proxy ?? proxyFromEnvironment(process.env))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#authorizations.clear()
    await this.#dispatchers[Symbol.asyncDispose]()
  }

  readonly download = (url: URL, offset: number, signal: AbortSignal): AsyncIterable<Uint8Array> =>
    download(
      this.#dispatchers,
      {
        attempts: this.#attempts,
        backOffMs: this.#backOffMs,
        allowLoopback: this.#config.allowLoopbackDownloads ?? false,
      },
      url,
      offset,
      signal,
    )

  async manifest(
    name: RepositoryName,
    reference: string,
    access: RegistryAccess,
    signal: AbortSignal,
  ): Promise<FetchedManifest> {
    const doing = `Cannot fetch manifest of "${shownName(name, reference)}"`
    const asked = { name, path: `manifests/${reference}`, headers: { accept: MANIFEST_ACCEPT }, doing, signal }
    return this.#small(asked, access, MAX_MANIFEST_BYTES, (answer, bytes) => {
      const claimed = answer.headers['docker-content-digest']
      const digest = isDigest(reference) ? reference : parseDigest(`sha256:${hashHex('sha256', bytes)}`)
      verify(bytes, digest, doing)
      if (
        typeof claimed === 'string' &&
        claimed !== '' &&
        claimed.split(':')[0] === digest.split(':')[0] &&
        claimed !== digest
      )
        throw new AppError(
          'invalid',
          `${doing}: the registry calls it ${claimed.slice(0, 80)}, but its digest is ${digest}`,
        )
      return { mediaType: typeOf(answer), digest, bytes }
    })
  }

  async blob(
    name: RepositoryName,
    blob: { readonly digest: Digest; readonly size: number },
    access: RegistryAccess,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    const doing = `Cannot fetch blob ${blob.digest} of "${shownName(name)}"`
    if (blob.size > MAX_SMALL_BLOB_BYTES)
      throw new AppError(
        'invalid',
        `${doing}: its manifest gives it ${blob.size} bytes; at most ${MAX_SMALL_BLOB_BYTES} are read`,
      )
    const asked = { name, path: `blobs/${blob.digest}`, headers: {}, doing, signal }
    return this.#small(asked, access, blob.size, (_answer, bytes) => {
      if (bytes.length !== blob.size)
        throw new AppError('invalid', `${doing}: ${bytes.length} bytes came, its manifest says ${blob.size}`)
      verify(bytes, blob.digest, doing)
      return bytes
    })
  }

  async *stream(
    name: RepositoryName,
    blob: { readonly digest: Digest; readonly size: number },
    offset: number,
    access: RegistryAccess,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    const doing = `Cannot fetch layer ${blob.digest} of "${shownName(name)}"`
    let at = offset
    for (let failures = 0; at < blob.size;) {
      const asked = {
        name,
        path: `blobs/${blob.digest}`,
        headers: at === 0 ? {} : { range: `bytes=${at}-` },
        doing,
        signal,
      }
      const { answer, url } = await this.#anyEndpoint(asked, access, async (endpoint) => ({
        answer: await this.#exchange(endpoint, asked, (answer) => Promise.resolve(answer)),
        url: endpoint.base,
      }))
      const before = at
      try {
        for await (const part of bodyFrom(answer, at, blob.size, doing)) {
          at += part.length
          yield part
        }
        if (at < blob.size)
          throw new AppError('invalid', `${doing}: it ends after ${at} bytes, its manifest says ${blob.size}`)
      } catch (error) {
        if (!isConnectionFailure(error) || signal.aborted) throw connectionError(doing, url, error, signal)
        failures = at - before >= MIN_PROGRESS_BYTES ? 1 : failures + 1
        if (failures >= this.#attempts) throw connectionError(doing, url, error, signal)
        this.#config.log.debug('layer transfer broke off', { digest: blob.digest, atBytes: at, failures })
        await backOff(failures, undefined, signal, this.#backOffMs)
      }
    }
  }

  get #attempts(): number {
    return this.#config.attempts ?? 5
  }

  get #backOffMs(): number {
    return this.#config.backOffMs ?? 250
  }

  /** A document that fits into memory, whole, by a deadline. */
  async #small<T>(
    asked: Asked,
    access: RegistryAccess,
    maxBytes: number,
    use: (answer: Dispatcher.ResponseData, bytes: Uint8Array) => T,
  ): Promise<T> {
    const deadline = AbortSignal.timeout(SMALL_DEADLINE_MS)
    const bounded = { ...asked, signal: AbortSignal.any([asked.signal, deadline]) }
    const read = (answer: Dispatcher.ResponseData) =>
      bodyOf(answer, maxBytes, asked.doing).then((bytes) => ({ answer, bytes }))
    try {
      return await this.#anyEndpoint(bounded, access, async (endpoint) => {
        const { answer, bytes } = await this.#exchange(endpoint, bounded, read)
        return use(answer, bytes)
      })
    } catch (cause) {
      if (!deadline.aborted || asked.signal.aborted) throw cause
      throw new AppError('timeout', `${asked.doing}: it was not there after ${SMALL_DEADLINE_MS / 1000} s`, { cause })
    }
  }

  /** Mirrors in their order, then the registry; the error told is the registry's own. */
  async #anyEndpoint<T>(asked: Asked, access: RegistryAccess, use: (endpoint: Endpoint) => Promise<T>): Promise<T> {
    const { registry } = asked.name
    const endpoints = endpointsOf(this.#config, registry, access, this.#plain.has(registry))
    for (const endpoint of endpoints.slice(0, -1)) {
      try {
        return await use(endpoint)
      } catch (error) {
        if (asked.signal.aborted) throw error
        this.#config.log.debug('mirror not used', { mirror: endpoint.base.host, why: String(error) })
      }
    }
    return use(endpoints.at(-1)!)
  }

  /** Asks one endpoint until it answers 200 or 206, or says that it will not. */
  async #exchange<T>(
    endpoint: Endpoint,
    asked: Asked,
    read: (answer: Dispatcher.ResponseData) => Promise<T>,
  ): Promise<T> {
    let { base } = endpoint
    for (let attempt = 1; ; attempt++) {
      let answer: Dispatcher.ResponseData
      try {
        answer = await this.#authorized({ ...endpoint, base }, asked)
        if (answer.statusCode === 200 || answer.statusCode === 206) return await read(answer)
      } catch (error) {
        if (endpoint.plainIfNoTls && base.protocol === 'https:' && isPlainHttpAnswer(error)) {
          base = new URL(`http://${base.host}${base.pathname}`)
          this.#plain.add(endpoint.registry)
          continue
        }
        if (asked.signal.aborted || !isConnectionFailure(error) || attempt >= this.#attempts)
          throw connectionError(asked.doing, base, error, asked.signal)
        await backOff(attempt, undefined, asked.signal, this.#backOffMs)
        continue
      }
      const failure = await registryFailure(answer, asked.doing, base)
      if (!isPassing(answer.statusCode) || attempt >= this.#attempts) throw failure
      await backOff(attempt, answer.headers['retry-after'], asked.signal, this.#backOffMs)
    }
  }

  /** One request; once more with an authorization when the registry asks for one. */
  async #authorized(endpoint: Endpoint, asked: Asked): Promise<Dispatcher.ResponseData> {
    const scope = `repository:${asked.name.repository}:pull`
    const key = JSON.stringify([
      originOf(endpoint.base),
      scope,
      endpoint.credentials?.username,
      endpoint.credentials?.password,
    ])
    const allowHere = isLoopbackName(endpoint.base.hostname)
    const send = sender(this.#dispatchers, endpoint.tls, { allowHere, signal: asked.signal })
    const url = new URL(`v2/${asked.name.repository}/${asked.path}`, endpoint.base)
    const ask = (authorization: Authorization | undefined) =>
      send({
        url,
        method: 'GET',
        headers: { ...asked.headers, ...(authorization === undefined ? {} : { authorization: authorization.header }) },
      })
    const known = this.#authorizations.get(key)
    const usable = known !== undefined && known.expiresAtMs > this.#config.now() ? known : undefined
    const first = await ask(usable)
    const challenge = first.headers['www-authenticate']
    if (first.statusCode !== 401 || challenge === undefined) return first
    await first.body.dump().catch(() => {})
    const challenges = parseChallenges(Array.isArray(challenge) ? challenge.join(', ') : challenge)
    const authorization = await authorize(challenges, {
      registry: endpoint.base,
      scope,
      credential: await this.#credential(endpoint, asked.signal),
      send,
      now: this.#config.now,
    })
    if (authorization === undefined)
      throw new AppError(
        'unauthorized',
        `${asked.doing}: "${endpoint.base.host}" asks for a login and there is none; use docker login`,
      )
    // Also forgets tokens of repositories that nobody asks for any more.
    if (this.#authorizations.size >= MAX_AUTHORIZATIONS) this.#authorizations.clear()
    this.#authorizations.set(key, authorization)
    return ask(authorization)
  }

  async #credential(endpoint: Endpoint, signal: AbortSignal): Promise<Credential | undefined> {
    if (endpoint.credentials !== undefined) return { kind: 'basic', ...endpoint.credentials }
    if (this.#config.credentialsPath === undefined) return undefined
    return findCredential(this.#config.credentialsPath, endpoint.registry, signal)
  }
}

/** The type of the content; undefined where it is one that servers give to anything. */
function typeOf({ headers }: Dispatcher.ResponseData): string | undefined {
  const type = String(headers['content-type'] ?? '')
    .split(';')[0]!
    .trim()
  return /^(?:application\/(?:json|octet-stream)|text\/plain|)$/i.test(type) ? undefined : type
}

function verify(bytes: Uint8Array, digest: Digest, doing: string): void {
  const algorithm = digest.slice(0, digest.indexOf(':'))
  const actual = `${algorithm}:${hashHex(algorithm, bytes)}`
  if (actual !== digest) throw new AppError('invalid', `${doing}: its digest is ${actual}, not ${digest}`)
}

function hashHex(algorithm: string, bytes: Uint8Array): string {
  return createHash(algorithm).update(bytes).digest('hex')
}

function shownName({ registry, repository }: RepositoryName, reference?: string): string {
  const tail = reference === undefined ? '' : isDigest(reference) ? `@${reference}` : `:${reference}`
  return `${registry}/${repository}${tail}`
}
