/** Names of an ISO 9660 directory (ECMA-119 §7.5, §7.6): eight and three characters; the full ones stand beside them (Rock Ridge). */

/**
 * An identifier for each name, in their order: capitals, digits and `_`, all different.
 * @param isFolder whose identifiers have neither dot nor version
 */
export function isoIdentifiers(entries: readonly { readonly name: string; readonly isFolder: boolean }[]): string[] {
  const taken = new Set<string>()
  const next = new Map<string, number>()
  return entries.map(({ name, isFolder }) => {
    const dot = isFolder ? -1 : name.lastIndexOf('.')
    const stem = clean(dot > 0 ? name.slice(0, dot) : name).slice(0, 8) || '_'
    const extension = dot > 0 ? clean(name.slice(dot + 1)).slice(0, 3) : ''
    const ending = isFolder ? '' : `.${extension};1`
    let identifier = stem + ending
    const key = identifier
    for (let number = next.get(key) ?? 1; taken.has(identifier); number += 1) {
      const tail = String(number)
      identifier = stem.slice(0, 8 - tail.length) + tail + ending
      next.set(key, number + 1)
    }
    taken.add(identifier)
    return identifier
  })
}

function clean(text: string): string {
  return text.toUpperCase().replace(/[^A-Z0-9_]/g, '_')
}
