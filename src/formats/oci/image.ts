/**
 * OCI image documents as values (image-spec v1.1, and Docker's schema 2 forms of the same). Maps instead of objects hold what
 * a stranger names, so that a key such as `__proto__` is only a key.
 */
import type { Digest } from './digest.ts'

export interface Platform {
  readonly os: string
  readonly architecture: string
  /** `v7`, `v8`; empty where none is given. */
  readonly variant: string
  readonly osVersion: string
  readonly osFeatures: readonly string[]
}

export interface Descriptor {
  readonly mediaType: string
  readonly digest: Digest
  readonly size: number
  readonly annotations: ReadonlyMap<string, string>
  readonly artifactType: string | undefined
  readonly platform: Platform | undefined
  /** The content itself, where the descriptor embeds it; its length equals `size`. */
  readonly data: Uint8Array | undefined
}

/** An image manifest: OCI, or Docker schema 2. */
export interface Manifest {
  readonly kind: 'manifest'
  readonly mediaType: string
  readonly artifactType: string | undefined
  readonly config: Descriptor
  readonly layers: readonly Descriptor[]
  readonly subject: Descriptor | undefined
  readonly annotations: ReadonlyMap<string, string>
}

/** An image index, or Docker's manifest list. */
export interface Index {
  readonly kind: 'index'
  readonly mediaType: string
  readonly artifactType: string | undefined
  readonly manifests: readonly Descriptor[]
  readonly subject: Descriptor | undefined
  readonly annotations: ReadonlyMap<string, string>
}

export interface HistoryStep {
  readonly created: string | undefined
  readonly createdBy: string | undefined
  readonly comment: string | undefined
  readonly isEmptyLayer: boolean
}

/** What docker's HEALTHCHECK says; durations in nanoseconds as in the document. */
export interface Healthcheck {
  readonly test: readonly string[]
  readonly intervalNs: number
  readonly timeoutNs: number
  readonly startPeriodNs: number
  readonly retries: number
}

/** How a container of this image runs. */
export interface RunConfig {
  readonly user: string
  readonly env: readonly string[]
  /** Undefined where the image has none; an empty list stays a list. */
  readonly entrypoint: readonly string[] | undefined
  readonly cmd: readonly string[] | undefined
  readonly workingDir: string
  readonly stopSignal: string | undefined
  readonly labels: ReadonlyMap<string, string>
  readonly exposedPorts: readonly string[]
  readonly volumes: readonly string[]
  readonly healthcheck: Healthcheck | undefined
}

export interface ImageConfig {
  readonly platform: Platform
  readonly created: string | undefined
  readonly author: string | undefined
  readonly config: RunConfig
  /** Digests of the uncompressed layers, lowest first. */
  readonly diffIds: readonly Digest[]
  readonly history: readonly HistoryStep[]
}
