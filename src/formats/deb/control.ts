/** Control data of Debian packages (deb-control(5), RFC 822 style): stanzas of `Field: value`, and dependency lists. */
import { WireError } from '../../base/errors.ts'

/** Field names in lower case → value; folded lines are joined by newlines. */
export type Stanza = ReadonlyMap<string, string>

/**
 * Stanzas of a control file, a Packages index or the answer of `apt-cache show`. Comment lines are skipped.
 * @throws {WireError} when a line is neither a field nor the continuation of one
 */
export function parseStanzas(text: string): Stanza[] {
  const stanzas: Map<string, string>[] = []
  let stanza: Map<string, string> | undefined
  let field: string | undefined
  for (const line of text.split('\n')) {
    if (line.startsWith('#')) continue
    if (line.trim() === '') {
      stanza = field = undefined
    } else if (/^[ \t]/.test(line)) {
      if (!stanza || !field) throw new WireError('control data', `a continuation without a field: ${clip(line)}`)
      stanza.set(field, `${stanza.get(field)}\n${line.trim()}`)
    } else {
      const colon = line.indexOf(':')
      if (colon < 1) throw new WireError('control data', `not a field: ${clip(line)}`)
      field = line.slice(0, colon).toLowerCase()
      if (!stanza) stanzas.push((stanza = new Map()))
      stanza.set(field, line.slice(colon + 1).trim())
    }
  }
  return stanzas
}

/** Package names of a Depends field (deb-control(5)): of alternatives the first; versions and architectures are dropped. */
export function dependencyNames(value: string): string[] {
  const names = value
    .split(',')
    .map((part) => /^[a-z0-9][a-z0-9+.-]*/.exec(part.trim())?.[0])
    .filter((name) => name !== undefined)
  return [...new Set(names)]
}

function clip(line: string): string {
  return JSON.stringify(line.slice(0, 60))
}
