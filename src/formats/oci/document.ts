/**
 * JSON documents of strangers, bounded before they are parsed, and read by exact checks. Objects are asked only for their own
 * keys, so `__proto__` and `constructor` are keys like others; of a key that comes twice the last counts, as in Go and docker.
 */
import { WireError } from '../../base/errors.ts'
import { isDigest, type Digest } from './digest.ts'

/** What registries accept for a manifest (distribution-spec, "Pushing Manifests"); configs are far smaller. */
export const DOCUMENT_BYTES = 4 * 1024 * 1024
const MAX_DEPTH = 64

/**
 * Parses a document.
 * @param what names it in errors, e.g. `image manifest`
 * @throws {WireError} when it is larger than 4 MiB, deeper than 64 levels, not UTF-8 or not JSON
 */
export function parseDocument(bytes: Uint8Array, what: string): Field {
  if (bytes.length > DOCUMENT_BYTES)
    throw new WireError(what, `it has ${bytes.length} bytes, at most ${DOCUMENT_BYTES} are read`)
  const text = decode(bytes, what)
  checkDepth(text, what)
  return new Field(parse(text, what), what, '')
}

/** One value of a document and the way to it. Every method throws WireError when the value is of another type. */
export class Field {
  readonly #value: unknown
  readonly #what: string
  readonly #path: string

  constructor(value: unknown, what: string, path: string) {
    this.#value = value
    this.#what = what
    this.#path = path
  }

  /** Go writes null for what is empty, so null is absent. */
  get isAbsent(): boolean {
    return this.#value === undefined || this.#value === null
  }

  get isArray(): boolean {
    return Array.isArray(this.#value)
  }

  get isString(): boolean {
    return typeof this.#value === 'string'
  }

  /** A member of an object; absent where the object has none of that name. */
  at(key: string): Field {
    const object = this.#object()
    return new Field(Object.hasOwn(object, key) ? object[key] : undefined, this.#what, `${this.#path}.${key}`)
  }

  has(key: string): boolean {
    return !this.at(key).isAbsent
  }

  /** Names of an object's members in the order of the document; none where it is absent. */
  keys(): string[] {
    return this.isAbsent ? [] : Object.keys(this.#object())
  }

  string(): string {
    if (typeof this.#value !== 'string') throw this.wrong('a string')
    return this.#value
  }

  stringOr<T>(otherwise: T): string | T {
    return this.isAbsent ? otherwise : this.string()
  }

  /** Text for a process or a file name: without NUL. */
  plainString(): string {
    const value = this.string()
    if (value.includes('\0')) throw this.wrong('a string without NUL')
    return value
  }

  /** A whole number from 0 to `max`. */
  count(max = Number.MAX_SAFE_INTEGER): number {
    const value = this.#value
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0 || value > max)
      throw this.wrong(`a whole number from 0 to ${max}`)
    return value
  }

  boolean(): boolean {
    if (typeof this.#value !== 'boolean') throw this.wrong('true or false')
    return this.#value
  }

  digest(): Digest {
    const text = this.string()
    if (!isDigest(text)) throw this.wrong('a sha256 or sha512 digest')
    return text
  }

  /** The items of a list; none where it is absent. */
  items(max: number): Field[] {
    if (this.isAbsent) return []
    if (!Array.isArray(this.#value)) throw this.wrong('a list')
    if (this.#value.length > max) throw this.wrong(`a list of at most ${max}`)
    return this.#value.map((item: unknown, index) => new Field(item, this.#what, `${this.#path}[${index}]`))
  }

  plainStrings(max: number): string[] {
    return this.items(max).map((item) => item.plainString())
  }

  /** An object of strings, such as annotations and labels; empty where it is absent. */
  stringMap(): Map<string, string> {
    return new Map(this.keys().map((key) => [key, this.at(key).string()]))
  }

  /** The error for this value. `wanted` says what it should be. */
  wrong(wanted: string): WireError {
    const shown = this.#value === undefined ? 'missing' : (JSON.stringify(this.#value) ?? 'missing')
    const at = this.#path === '' ? 'it' : this.#path.slice(1)
    return new WireError(
      this.#what,
      `${at} is ${shown.length > 80 ? `${shown.slice(0, 77)}...` : shown}, not ${wanted}`,
    )
  }

  #object(): Record<string, unknown> {
    if (!isObject(this.#value)) throw this.wrong('an object')
    return this.#value
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function decode(bytes: Uint8Array, what: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw new WireError(what, 'it is not UTF-8')
  }
}

function parse(text: string, what: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new WireError(what, 'it is not JSON')
  }
}

/** Counts brackets outside of strings: a stack that a parser would need, without the stack. */
function checkDepth(text: string, what: string): void {
  let depth = 0
  for (let at = 0; at < text.length; at += 1)
    switch (text[at]) {
      case '"':
        at = endOfString(text, at)
        break
      case '[':
      case '{':
        depth += 1
        if (depth > MAX_DEPTH) throw new WireError(what, `it is deeper than ${MAX_DEPTH} levels`)
        break
      case ']':
      case '}':
        depth -= 1
    }
}

function endOfString(text: string, start: number): number {
  let at = start + 1
  while (at < text.length && text[at] !== '"') at += text[at] === '\\' ? 2 : 1
  return at
}
