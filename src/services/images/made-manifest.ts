/** Manifests for images that came without one. The same image always gets the same. */
import { parseManifest } from '../../formats/oci/manifest.ts'
import type { Digest } from '../../formats/oci/digest.ts'
import type { ImageConfig, Manifest } from '../../formats/oci/image.ts'
import { digestOf, type Document } from './documents.ts'

const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json'

/** A manifest of uncompressed layers. */
export function manifestFor(
  config: Document<ImageConfig>,
  layers: readonly { readonly digest: Digest; readonly size: number }[],
): Document<Manifest> {
  const text = JSON.stringify({
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    config: {
      mediaType: 'application/vnd.oci.image.config.v1+json',
      digest: config.digest,
      size: config.bytes.length,
    },
    layers: layers.map(({ digest, size }) => ({ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest, size })),
  })
  const bytes = new TextEncoder().encode(text)
  return { digest: digestOf(bytes), bytes, value: parseManifest(bytes, MANIFEST_TYPE) }
}
