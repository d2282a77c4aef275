/** References as people write them and as they are kept. */
import type { Digest } from '../../formats/oci/digest.ts'
import type { Reference } from '../../formats/oci/reference.ts'

/** The tag in full, e.g. `docker.io/library/debian:12`; undefined where only a digest is given. */
export function tagName({ registry, repository, tag, digest }: Reference): string | undefined {
  return digest !== undefined || tag === undefined ? undefined : `${registry}/${repository}:${tag}`
}

export function repoDigest({ registry, repository }: Reference, digest: Digest): string {
  return `${registry}/${repository}@${digest}`
}

/** What to ask the registry for. */
export function wanted({ tag, digest }: Reference): string {
  return digest ?? tag ?? 'latest'
}

/** As errors name it: as it is asked for, in full. */
export function fullName(reference: Reference): string {
  return reference.digest === undefined
    ? `${reference.registry}/${reference.repository}:${wanted(reference)}`
    : repoDigest(reference, reference.digest)
}
