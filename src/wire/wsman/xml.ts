/**
 * XML as SOAP has it (XML 1.0 and Namespaces, without document types: SOAP 1.2 part 1 §5 forbids those, and processing instructions),
 * to and from a tree. Entities can therefore only be those that XML itself has, and nothing refers outside. What is well-formed is
 * saxes' judgement; the bounds are ours.
 */
import { SaxesParser } from 'saxes'
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

type Open = XmlElement & { readonly children: XmlElement[]; text: string }

const MAX_BYTES = 1024 * 1024
const MAX_DEPTH = 32
const MAX_ELEMENTS = 20_000
const MAX_ATTRIBUTES = 64
const XMLNS = 'http://www.w3.org/2000/xmlns/'

/**
 * Reads one document of at most 1 MiB, 32 levels and 20,000 elements with 64 attributes each.
 * @throws {WireError} when it is not well-formed, not UTF-8, too large, or has a document type
 */
export function parseXml(bytes: Uint8Array): XmlElement {
  if (bytes.length > MAX_BYTES) fail(`${bytes.length} bytes, at most ${MAX_BYTES} are read`)
  const parser = new SaxesParser({ xmlns: true, defaultXMLVersion: '1.0', forceXMLVersion: true })
  const open: Open[] = []
  let elements = 0
  let attributes = 0
  let root: XmlElement | undefined
  const addText = (text: string): void => {
    const parent = open.at(-1)
    if (parent) parent.text += text
  }
  parser.on('error', ({ message }) => fail(message))
  parser.on('doctype', () => fail('it has a document type'))
  parser.on('processinginstruction', () => fail('it has a processing instruction'))
  parser.on('opentagstart', () => {
    if (open.length >= MAX_DEPTH) fail(`it is more than ${MAX_DEPTH} levels deep`)
    if (++elements > MAX_ELEMENTS) fail(`it has more than ${MAX_ELEMENTS} elements`)
    attributes = 0
  })
  parser.on('attribute', () => {
    if (++attributes > MAX_ATTRIBUTES) fail(`an element has more than ${MAX_ATTRIBUTES} attributes`)
  })
  parser.on('opentag', ({ uri, local, attributes: all }) => {
    const named = Object.values(all).filter((one) => one.uri !== XMLNS)
    const pairs = new Map(named.map((one) => [one.local, one.value]))
    open.push({ namespace: uri, name: local, attributes: pairs, children: [], text: '' })
  })
  parser.on('text', addText)
  parser.on('cdata', addText)
  parser.on('closetag', () => {
    const closed = open.pop()!
    closed.text = closed.text.trim()
    const parent = open.at(-1)
    if (parent) parent.children.push(closed)
    else root = closed
  })
  parser.write(decode(bytes)).close()
  return root ?? fail('it has no element')
}

/** The first child of this name, in any namespace. */
export function child(element: XmlElement | undefined, name: string): XmlElement | undefined {
  return element?.children.find((one) => one.name === name)
}

/** Text as it stands in an element or attribute; line ends and tabs as they are (XML 1.0 §2.11, §3.3.3 would change them). */
export function escapeXml(text: string): string {
  return text.replaceAll(/[<>&"'\t\r\n]/g, (found) => `&#${found.charCodeAt(0)};`)
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    return fail('it is not UTF-8')
  }
}

/** The parser's words may repeat the document's. */
function fail(why: string): never {
  throw new WireError('XML', why.slice(0, 200).replaceAll(/[^\x20-\x7e]/g, '?'))
}
