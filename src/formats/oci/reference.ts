/**
 * Image references as docker reads them (distribution/reference): `[registry[:port]/]repository[:tag][@digest]`. Without a
 * registry it is docker.io, and a name of one part is in `library/` there.
 */
import { AppError } from '../../base/errors.ts'
import { isDigest, type Digest } from './digest.ts'

export interface Reference {
  /** Host with port where one is given: `docker.io`, `localhost:5000`, `[::1]:5000`. */
  readonly registry: string
  /** `library/debian`. */
  readonly repository: string
  /** `latest` where neither tag nor digest is given; undefined where only a digest is. */
  readonly tag: string | undefined
  readonly digest: Digest | undefined
}

const DEFAULT_REGISTRY = 'docker.io'
const REPOSITORY_LENGTH = 255

const HOST_PART = /^(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])$/
const IPV6 = /^\[[a-fA-F0-9:]{2,45}\]$/
const PORT = /^[0-9]{1,5}$/
const REPOSITORY_PART = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/
const TAG = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/

/**
 * Reads a reference that a person wrote.
 * @throws {AppError} `invalid`, saying what of the grammar is broken
 */
export function parseReference(text: string): Reference {
  const refuse = (why: string): never => {
    throw new AppError('invalid', `Cannot read image reference "${text.slice(0, 300)}": ${why}`)
  }
  if (text === '') return refuse('it is empty')
  if (text.length > 1024) return refuse(`it has ${text.length} characters, at most 1024`)
  const { name, tag, digest } = cut(text)
  if (/^[a-f0-9]{64}$/.test(text)) return refuse('64 hexadecimal digits are an image id, not a name')
  const { registry, repository } = place(name)
  if (!isRegistry(registry)) return refuse(`"${registry}" is not a host name with an optional port`)
  if (repository.length > REPOSITORY_LENGTH) return refuse(`its name is longer than ${REPOSITORY_LENGTH} characters`)
  if (repository !== repository.toLowerCase()) return refuse(`the name "${repository}" must be lower case`)
  if (!isRepository(repository)) return refuse(`"${repository}" is not a repository name`)
  if (tag !== undefined && !TAG.test(tag)) return refuse(`"${tag}" is not a tag`)
  if (digest !== undefined && !isDigest(digest)) return refuse(`"${digest}" is not a sha256 or sha512 digest`)
  return { registry, repository, tag: tag ?? (digest === undefined ? 'latest' : undefined), digest }
}

/** Whether a repository name can be asked of a registry (distribution-spec, `<name>`). */
export function isRepository(name: string): boolean {
  return name.length <= REPOSITORY_LENGTH && name.split('/').every((part) => REPOSITORY_PART.test(part))
}

export function isTag(text: string): boolean {
  return TAG.test(text)
}

/** The whole reference, nothing left out: `docker.io/library/debian:12`. parseReference gives it back. */
export function formatReference({ registry, repository, tag, digest }: Reference): string {
  const end = `${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`
  return `${registry}/${repository}${end}`
}

/** As docker shows it: `debian:12`. */
export function familiarReference(reference: Reference): string {
  const whole = formatReference(reference)
  if (reference.registry !== DEFAULT_REGISTRY) return whole
  const short = whole.slice(DEFAULT_REGISTRY.length + 1)
  return /^library\/[^/]+$/.test(short) ? short.slice('library/'.length) : short
}

function cut(text: string): { name: string; tag: string | undefined; digest: string | undefined } {
  const at = text.indexOf('@')
  const digest = at < 0 ? undefined : text.slice(at + 1)
  const rest = at < 0 ? text : text.slice(0, at)
  const colon = rest.lastIndexOf(':')
  // A colon before the last slash is a port's.
  if (colon < 0 || rest.indexOf('/', colon) >= 0) return { name: rest, tag: undefined, digest }
  return { name: rest.slice(0, colon), tag: rest.slice(colon + 1), digest }
}

/** The first part is a registry only where it cannot be a name: with a dot, a colon, a capital, or `localhost`. */
function place(name: string): { registry: string; repository: string } {
  const slash = name.indexOf('/')
  const first = name.slice(0, Math.max(slash, 0))
  const isHost = /[.:]/.test(first) || first === 'localhost' || first !== first.toLowerCase()
  if (slash < 0 || !isHost) return inDefault(name)
  const repository = name.slice(slash + 1)
  return first === 'index.docker.io' || first === DEFAULT_REGISTRY
    ? inDefault(repository)
    : { registry: first, repository }
}

function inDefault(name: string): { registry: string; repository: string } {
  return { registry: DEFAULT_REGISTRY, repository: name.includes('/') ? name : `library/${name}` }
}

function isRegistry(text: string): boolean {
  const [, host, port] = /^(\[[^\]]*\]|[^:]*)(?::(.*))?$/s.exec(text) ?? []
  if (host === undefined || (port !== undefined && !(PORT.test(port) && Number(port) <= 65_535))) return false
  return IPV6.test(host) || (host.length <= 253 && host.split('.').every((part) => HOST_PART.test(part)))
}
