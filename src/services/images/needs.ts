/** What the parts of the image service share. */
import type { Now } from '../../base/clock.ts'
import type { Log } from '../../base/log.ts'
import type { Digest } from '../../formats/oci/digest.ts'
import type { Platform } from '../../formats/oci/image.ts'
import type { Tree } from '../../formats/tree/tree.ts'
import type { ImageRecord } from './image.ts'
import type { LayerIntake } from './intake.ts'
import type { LayerKeeper } from './keeper.ts'
import type { BlobStore, ImageStore, ImportPort, RegistryPort } from './ports.ts'

export interface ImageNeeds {
  readonly log: Log
  readonly now: Now
  readonly blobs: BlobStore
  readonly store: ImageStore
  readonly registry: RegistryPort
  readonly imports: ImportPort
  readonly platform: Platform
  readonly intake: LayerIntake
  readonly keeper: LayerKeeper
  /** Layers that must stay, whoever refers to them. @param without as if these images were gone */
  readonly referenced: (without?: ReadonlySet<Digest>) => Promise<ReadonlySet<Digest>>
  /** The tree of layers that are in the store. @throws {AppError} invalid, naming layer and entry */
  readonly mergeTree: (record: Pick<ImageRecord, 'id' | 'layers'>) => Promise<Tree>
  /** Lets go of a tree that nobody will ask for again. */
  readonly forgetTree: (imageId: Digest) => void
}
