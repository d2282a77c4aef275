/** References as docker shows them: without the registry and namespace that docker assumes. */

/** @returns repository and tag; the tag is `<none>` for a reference by digest */
export function splitReference(reference: string): { repository: string; tag: string } {
  const [name, digest] = reference.split('@', 2)
  const colon = name!.indexOf(':', name!.lastIndexOf('/') + 1)
  const repository = colon === -1 ? name! : name!.slice(0, colon)
  const tag = colon === -1 ? (digest === undefined ? 'latest' : '<none>') : name!.slice(colon + 1)
  return { repository: repository.replace(/^docker\.io\/(library\/)?/, ''), tag }
}
