/** Digests as typed values: no path, URL or lookup is made of a digest that did not pass parseDigest. */
import { WireError } from '../../base/errors.ts'

/** `sha256:` and 64, or `sha512:` and 128 lower-case hexadecimal digits. Only parseDigest makes one. */
export type Digest = string & { readonly [digestBrand]: true }
declare const digestBrand: unique symbol

export const DIGEST_HEX_LENGTH = { sha256: 64, sha512: 128 } as const
export type DigestAlgorithm = keyof typeof DIGEST_HEX_LENGTH

const GRAMMAR = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/

/** Whether the text is a digest of an algorithm that we accept (image-spec descriptor.md, "Registered Algorithms"). */
export function isDigest(text: string): text is Digest {
  return GRAMMAR.test(text)
}

/** @throws {WireError} when the algorithm is not sha256 or sha512, or the hexadecimal part has not its exact length */
export function parseDigest(text: string): Digest {
  if (isDigest(text)) return text
  throw new WireError(
    'digest',
    `"${text.slice(0, 160)}" is not sha256: and 64, or sha512: and 128 lower-case hex digits`,
  )
}

export function digestParts(digest: Digest): { algorithm: DigestAlgorithm; hex: string } {
  const [algorithm, hex] = digest.split(':') as [DigestAlgorithm, string]
  return { algorithm, hex }
}
