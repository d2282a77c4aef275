/** Which image a person means: a reference, a repo digest, an id or its first digits. */
import { AppError } from '../../base/errors.ts'
import { isDigest } from '../../formats/oci/digest.ts'
import { parseReference } from '../../formats/oci/reference.ts'
import type { ImageRecord } from './image.ts'
import { repoDigest, tagName } from './names.ts'
import type { ImageStore } from './ports.ts'

export interface Resolved {
  readonly record: ImageRecord
  /** The tag by which it was named; undefined when by a digest or id. */
  readonly tag: string | undefined
}

/** @throws {AppError} not_found; invalid when the digits fit several images */
export async function resolveImage(store: ImageStore, text: string): Promise<Resolved> {
  const byId = await findById(store, text)
  if (byId !== undefined) return { record: byId, tag: undefined }
  const named = isDigest(text) ? undefined : await findByName(store, text)
  if (named !== undefined) return named
  throw new AppError('not_found', `Cannot find image "${text.slice(0, 200)}": there is none of that name or id here`)
}

async function findById(store: ImageStore, text: string): Promise<ImageRecord | undefined> {
  if (isDigest(text)) return store.get(text)
  const hex = /^(?:sha256:)?([0-9a-f]{4,64})$/.exec(text)?.[1]
  if (hex === undefined) return undefined
  const ids = await store.idsStartingWith(hex, 2)
  if (ids.length < 2) return ids[0] === undefined ? undefined : store.get(ids[0])
  // `cafe` may be the name of an image all the same.
  const named = text.startsWith('sha256:') ? undefined : await findByName(store, text)
  if (named === undefined)
    throw new AppError('invalid', `Cannot tell which image "${text}" is: several ids begin so; give more digits`)
  return undefined
}

async function findByName(store: ImageStore, text: string): Promise<Resolved | undefined> {
  const reference = parseReference(text)
  const tag = tagName(reference)
  if (tag !== undefined) {
    const record = await store.byReference(tag)
    return record === undefined ? undefined : { record, tag }
  }
  const records = await store.byRepoDigest(repoDigest(reference, reference.digest!))
  return records[0] === undefined ? undefined : { record: records[0], tag: undefined }
}
