/**
 * XML as SOAP has it (XML 1.0 and Namespaces, without document types: SOAP 1.2 part 1 §5 forbids those, and processing instructions),
 * to and from a tree. Entities can therefore only be those that XML itself has, and nothing refers outside.
 */
import { WireError } from '../../base/errors.ts'

export interface XmlElement {
  /** Namespace URI; empty for none. */
  readonly namespace: string
  readonly name: string
  /** By local name. Namespace declarations are not among them. */
  readonly attributes: ReadonlyMap<string, string>
  readonly children: readonly XmlElement[]
  /** All text that is directly in it, joined; white space at the ends is taken away. */
  readonly text: string
}

const WHAT = 'XML'
const MAX_BYTES = 1024 * 1024
const MAX_DEPTH = 32
const MAX_ELEMENTS = 20_000
const MAX_ATTRIBUTES = 64

const NAME = /[A-Za-z_][\w.-]*(?::[A-Za-z_][\w.-]*)?/y
const SPACE = /[ \t\r\n]*/y
const TEXT = /[^<&]*/y
const ENTITIES: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" }
const XML_NAMESPACE = 'http://www.w3.org/XML/1998/namespace'

interface Open {
  readonly qualified: string
  readonly namespaces: ReadonlyMap<string, string>
  readonly element: XmlElement & { children: XmlElement[]; text: string }
}

/**
 * Reads one document of at most 1 MiB, 32 levels and 20,000 elements.
 * @throws {WireError} when it is not well-formed, not UTF-8, too large, or has a document type
 */
export function parseXml(bytes: Uint8Array): XmlElement {
  if (bytes.length > MAX_BYTES) fail(`${bytes.length} bytes, at most ${MAX_BYTES} are read`)
  const source = decode(bytes)
  let at = 0
  let elements = 0
  let root: XmlElement | undefined
  const open: Open[] = []

  const match = (pattern: RegExp): string => {
    pattern.lastIndex = at
    const found = pattern.exec(source)?.[0] ?? ''
    at += found.length
    return found
  }
  const expect = (text: string): void => {
    if (!source.startsWith(text, at)) fail(`"${text}" is missing at ${at}`)
    at += text.length
  }
  const skipTo = (end: string): string => {
    const to = source.indexOf(end, at)
    if (to < 0) fail(`it ends before "${end}"`)
    const inside = source.slice(at, to)
    at = to + end.length
    return inside
  }
  const name = (): string => match(NAME) || fail(`no name at ${at}`)

  function addText(text: string): void {
    const parent = open.at(-1)
    if (parent) parent.element.text += text
    else if (text.trim() !== '') fail('there is text outside of the root element')
  }

  function close(): void {
    const closed = open.pop()!
    closed.element.text = closed.element.text.trim()
    const parent = open.at(-1)
    if (parent) parent.element.children.push(closed.element)
    else root = closed.element
  }

  function startTag(): void {
    if (root) fail('there is more than one root element')
    if (open.length >= MAX_DEPTH) fail(`it is more than ${MAX_DEPTH} levels deep`)
    if (++elements > MAX_ELEMENTS) fail(`it has more than ${MAX_ELEMENTS} elements`)
    const qualified = name()
    const pairs = new Map<string, string>()
    for (;;) {
      const space = match(SPACE)
      if (source[at] === '>' || source[at] === '/') break
      if (space === '') fail(`no space before the attribute at ${at}`)
      const key = name()
      match(SPACE)
      expect('=')
      match(SPACE)
      const quote = source[at]
      if (quote !== '"' && quote !== "'") fail(`no quote at ${at}`)
      at++
      const value = skipTo(quote!)
      if (value.includes('<')) fail(`attribute "${key}" has a < in it`)
      if (pairs.has(key)) fail(`attribute "${key}" is there twice`)
      if (pairs.size >= MAX_ATTRIBUTES) fail(`an element has more than ${MAX_ATTRIBUTES} attributes`)
      pairs.set(key, unescape(value))
    }
    const namespaces = declared(pairs, open.at(-1)?.namespaces)
    const attributes = new Map<string, string>()
    for (const [key, value] of pairs)
      if (key !== 'xmlns' && !key.startsWith('xmlns:')) {
        resolve(key, namespaces, false)
        attributes.set(local(key), value)
      }
    const element = {
      namespace: resolve(qualified, namespaces, true),
      name: local(qualified),
      attributes,
      children: [],
      text: '',
    }
    open.push({ qualified, namespaces, element })
    if (source[at] === '/') {
      expect('/>')
      close()
    } else expect('>')
  }

  if (source.startsWith('<?xml') && /[ \t\r\n]/.test(source[5] ?? '')) skipTo('?>')
  while (at < source.length) {
    addText(match(TEXT))
    if (at >= source.length) break
    if (source[at] === '&') {
      at++
      addText(entity(skipTo(';')))
    } else if (source.startsWith('</', at)) {
      at += 2
      const qualified = name()
      match(SPACE)
      expect('>')
      const opened = open.at(-1)?.qualified
      if (qualified !== opened) fail(`"${opened ?? 'nothing'}" is open where "${qualified}" is closed`)
      close()
    } else if (source.startsWith('<!--', at)) {
      at += 4
      if (skipTo('-->').includes('--')) fail('a comment has -- in it')
    } else if (source.startsWith('<![CDATA[', at)) {
      if (open.length === 0) fail('there is text outside of the root element')
      at += 9
      addText(skipTo(']]>'))
    } else if (source.startsWith('<!', at) || source.startsWith('<?', at))
      fail('it has a document type or a processing instruction')
    else {
      at++
      startTag()
    }
  }
  if (open.length > 0) fail(`it ends inside of "${open.at(-1)!.qualified}"`)
  return root ?? fail('it has no element')
}

/** The first child of this name, in any namespace. */
export function child(element: XmlElement | undefined, name: string): XmlElement | undefined {
  return element?.children.find((one) => one.name === name)
}

/** Text as it stands in an element or attribute. */
export function escapeXml(text: string): string {
  return text.replaceAll(/[<>&"']/g, (found) => `&#${found.charCodeAt(0)};`)
}

function decode(bytes: Uint8Array): string {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    // Char of XML 1.0 §2.2, without the surrogates that UTF-8 cannot have.
    // eslint-disable-next-line no-control-regex
    if (/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/.test(text)) fail('it has a control character')
    return text
  } catch (error) {
    if (error instanceof WireError) throw error
    return fail('it is not UTF-8')
  }
}

function unescape(text: string): string {
  let out = ''
  for (let at = 0; ;) {
    const from = text.indexOf('&', at)
    if (from < 0) return out + text.slice(at)
    const to = text.indexOf(';', from)
    if (to < 0) fail('an & without ;')
    out += text.slice(at, from) + entity(text.slice(from + 1, to))
    at = to + 1
  }
}

function entity(body: string): string {
  if (Object.hasOwn(ENTITIES, body)) return ENTITIES[body]!
  const digits = /^#(?:x([0-9a-fA-F]{1,6})|([0-9]{1,7}))$/.exec(body)
  const code = digits ? Number.parseInt(digits[1] ?? digits[2]!, digits[1] === undefined ? 10 : 16) : 0
  const isText = code === 9 || code === 10 || code === 13 || (code >= 32 && code <= 0x10ffff)
  if (!isText || (code >= 0xd800 && code <= 0xdfff) || code === 0xfffe || code === 0xffff)
    fail(`"&${body.slice(0, 16)};" stands for nothing`)
  return String.fromCodePoint(code)
}

function declared(
  pairs: ReadonlyMap<string, string>,
  outer: ReadonlyMap<string, string> = new Map(),
): ReadonlyMap<string, string> {
  const own = [...pairs].filter(([key]) => key === 'xmlns' || key.startsWith('xmlns:'))
  if (own.length === 0) return outer
  return new Map([...outer, ...own.map(([key, uri]) => [key === 'xmlns' ? '' : local(key), uri] as const)])
}

function resolve(qualified: string, namespaces: ReadonlyMap<string, string>, isElement: boolean): string {
  const colon = qualified.indexOf(':')
  if (colon < 0) return isElement ? (namespaces.get('') ?? '') : ''
  const prefix = qualified.slice(0, colon)
  if (prefix === 'xml') return XML_NAMESPACE
  return namespaces.get(prefix) ?? fail(`prefix "${prefix}" is not declared`)
}

function local(qualified: string): string {
  return qualified.slice(qualified.indexOf(':') + 1)
}

function fail(why: string): never {
  throw new WireError(WHAT, why)
}
