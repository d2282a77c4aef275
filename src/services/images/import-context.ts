import type { Platform } from '../../formats/oci/image.ts'

/** What is known of an import before its content is looked at. */
export interface ImportContext {
  /** How errors name the source. */
  readonly name: string
  readonly platform: Platform
}
