/** YAML or JSON text as plain values that know their lines. JSON is read as the YAML that it is (YAML 1.2 §1.3). */
import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument, type Node, type ParsedNode } from 'yaml'
import { WireError } from '../../base/errors.ts'

/** `line` counts from 1. */
export type Located =
  | { readonly kind: 'map'; readonly line: number; readonly entries: readonly Entry[] }
  | { readonly kind: 'list'; readonly line: number; readonly items: readonly Located[] }
  /** `text` is as written: a name of digits keeps its zeros. */
  | { readonly kind: 'scalar'; readonly line: number; readonly value: unknown; readonly text: string }
export interface Entry {
  readonly key: string
  readonly line: number
  readonly value: Located
}

/** Some 12,000 nodes as the guide writes them. */
export const MAX_TEXT_BYTES = 4 << 20
const MAX_DEPTH = 16
const MAX_VALUES = 1_000_000
const MAX_LINE_OF_MESSAGE = 200

/**
 * @param what the document, for the message
 * @throws {WireError} for what is no YAML, is too large or too deep, says a key twice, or has aliases
 */
export function parseLocated(text: string, what: string): Located {
  if (Buffer.byteLength(text) > MAX_TEXT_BYTES) throw new WireError(what, `it is over ${MAX_TEXT_BYTES} bytes`)
  const counter = new LineCounter()
  const lineAt = (offset: number): number => Math.max(1, counter.linePos(offset).line)
  // Keys that are said twice are looked for below, by line: the library compares each with each.
  const document = parseDocument(text, {
    lineCounter: counter,
    uniqueKeys: false,
    prettyErrors: false,
    logLevel: 'error',
  })
  const error = document.errors[0]
  if (error) throw new WireError(what, `line ${lineAt(error.pos[0])}: ${error.message.slice(0, MAX_LINE_OF_MESSAGE)}`)
  let count = 0

  function walk(node: ParsedNode | Node | null | undefined, near: number, depth: number): Located {
    const line = node?.range ? lineAt(node.range[0]) : near
    const fail = (why: string): WireError => new WireError(what, `line ${line}: ${why}`)
    if (++count > MAX_VALUES) throw fail(`there are more than ${MAX_VALUES} values`)
    if (depth > MAX_DEPTH) throw fail(`values are nested deeper than ${MAX_DEPTH}`)
    if (isAlias(node)) throw fail(`the alias "*${node.source}" is not read here; write out what it stands for`)
    if (isSeq(node))
      return { kind: 'list', line, items: node.items.map((item) => walk(item as Node | null, line, depth + 1)) }
    if (isMap(node)) {
      const seen = new Map<string, number>()
      const entries = node.items.map((pair): Entry => {
        const key = walk(pair.key as Node | null, line, depth + 1)
        if (key.kind !== 'scalar') throw fail('a key is not a word')
        const before = seen.get(key.text)
        if (before !== undefined)
          throw new WireError(what, `line ${key.line}: "${key.text}" is said already on line ${before}`)
        seen.set(key.text, key.line)
        return { key: key.text, line: key.line, value: walk(pair.value as Node | null, key.line, depth + 1) }
      })
      return { kind: 'map', line, entries }
    }
    const value: unknown = isScalar(node) ? node.value : null
    const source = isScalar(node) ? node.source : undefined
    return { kind: 'scalar', line, value, text: typeof value === 'string' ? value : (source ?? '') }
  }
  return walk(document.contents, 1, 0)
}
