/** The WWW-Authenticate header (RFC 9110 §11.6.1), as registries (distribution spec/auth/token) and BMCs send it. */

export interface Challenge {
  /** Lower case: `bearer`, `basic`. */
  readonly scheme: string
  readonly parameters: ReadonlyMap<string, string>
}

const MAX_HEADER = 8192

/** Reads all challenges of a header value, in order; what cannot be read is skipped. Never throws. */
export function parseChallenges(header: string): Challenge[] {
  const challenges: { scheme: string; parameters: Map<string, string> }[] = []
  // One token, then either `=` and a value (a parameter) or a space or the end (a scheme).
  const part = /\s*,?\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*)))?/y
  const text = header.slice(0, MAX_HEADER)
  for (let found = part.exec(text); found !== null && found[0] !== ''; found = part.exec(text)) {
    const [, token, quoted, bare] = found
    const value = quoted?.replaceAll(/\\(.)/g, '$1') ?? bare
    if (value === undefined) challenges.push({ scheme: token!.toLowerCase(), parameters: new Map() })
    else challenges.at(-1)?.parameters.set(token!.toLowerCase(), value)
  }
  return challenges
}
