/** Files that hold images together: OCI layouts (image-spec image-layout.md) and what `docker save` writes. */
import { WireError } from '../../base/errors.ts'
import { digestParts, type Digest } from './digest.ts'
import { parseDocument, type Field } from './document.ts'
import type { Descriptor } from './image.ts'

/** Checks the file `oci-layout`. @throws {WireError} when its version is not 1.x */
export function checkOciLayout(bytes: Uint8Array): void {
  const version = parseDocument(bytes, 'oci-layout').at('imageLayoutVersion')
  if (!/^1\.[0-9]{1,3}\.[0-9]{1,3}$/.test(version.string())) throw version.wrong('1.0.0')
}

/** Where a layout keeps a blob. */
export function layoutBlobPath(digest: Digest): string {
  const { algorithm, hex } = digestParts(digest)
  return `blobs/${algorithm}/${hex}`
}

/** The tag or name that a layout's index gives an image; undefined where it gives none. */
export function refNameOf(descriptor: Descriptor): string | undefined {
  return descriptor.annotations.get('org.opencontainers.image.ref.name')
}

/** One image of a `docker save` archive; paths are of files inside the archive. */
export interface DockerArchiveImage {
  readonly config: string
  readonly repoTags: readonly string[]
  readonly layers: readonly string[]
}

/** Reads `manifest.json` of a `docker save` archive. @throws {WireError} also when a path would leave the archive */
export function parseDockerArchive(bytes: Uint8Array): DockerArchiveImage[] {
  const document = parseDocument(bytes, 'docker archive manifest')
  if (!document.isArray) throw document.wrong('a list')
  return document.items(1000).map((image) => {
    const layers = image.at('Layers')
    if (layers.isAbsent) throw layers.wrong('a list')
    return {
      config: archivePath(image.at('Config')),
      repoTags: image.at('RepoTags').plainStrings(1000),
      layers: layers.items(1000).map(archivePath),
    }
  })
}

function archivePath(field: Field): string {
  const path = field.plainString()
  if (path.length > 1024 || !path.split('/').every((name) => name !== '' && name !== '.' && name !== '..'))
    throw new WireError('docker archive manifest', `"${path.slice(0, 200)}" is not a path inside the archive`)
  return path
}
