/** Images as the API shows them. */
import type { ImageSummary } from '../../model/api.ts'
import type { ImageRecord } from '../../services/images/image.ts'

export function summaryOf(image: ImageRecord): ImageSummary {
  return {
    id: image.id,
    references: [...image.references],
    manifestDigest: image.manifestDigest,
    architecture: image.platform.architecture,
    os: image.platform.os,
    ...(image.createdAtMs === undefined ? {} : { createdAt: image.createdAtMs }),
    sizeBytes: image.sizeBytes,
    layerCount: image.layers.length,
  }
}
