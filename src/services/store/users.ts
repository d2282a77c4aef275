/** Who uses an image, or the device that was made of it: a container in any state, by id once it is known, by name until then. */
import { AppError } from '../../base/errors.ts'
import { parseReference } from '../../formats/oci/reference.ts'
import type { Container } from '../../model/container.ts'
import { isLive } from '../containers/record.ts'
import type { ImageRecord } from '../images/image.ts'
import { repoDigest, tagName } from '../images/names.ts'
import type { StoredDevice } from './ports.ts'

export type UsedImage = Pick<ImageRecord, 'id' | 'references' | 'repoDigests'>

/** Whether the container was made of the image, or will be. */
export function isUsedBy(image: UsedImage, { imageId, image: name }: Pick<Container, 'imageId' | 'image'>): boolean {
  if (imageId !== undefined) return imageId === image.id
  const hex = /^(?:sha256:)?([0-9a-f]{4,64})$/.exec(name)?.[1]
  if (hex !== undefined && image.id.startsWith(`sha256:${hex}`)) return true
  return isNamed(image, name)
}

/**
 * Whether a device is of an image that stays, or a machine runs from it: one of an older form may have no image that makes it any
 * more.
 */
export function isInUse(
  { rootHash, imageId }: StoredDevice,
  keptImageIds: ReadonlySet<string>,
  containers: readonly Container[],
): boolean {
  if (imageId !== undefined && keptImageIds.has(imageId)) return true
  return containers.some((container) => isLive(container) && container.rootHash === rootHash)
}

function isNamed({ references, repoDigests }: UsedImage, name: string): boolean {
  try {
    const reference = parseReference(name)
    const tag = tagName(reference)
    return tag !== undefined ? references.includes(tag) : repoDigests.includes(repoDigest(reference, reference.digest!))
  } catch (error) {
    // What is no reference names no image.
    if (error instanceof AppError) return false
    throw error
  }
}
