/** The config of an image that a container was committed to: its image's, with one more layer and what the container ran with. */
import { applyInstruction, withEnvironment, type RunConfigDocument } from '../../../formats/oci/instructions.ts'
import { parseImageConfig } from '../../../formats/oci/config.ts'
import type { Digest } from '../../../formats/oci/digest.ts'
import type { ImageConfig } from '../../../formats/oci/image.ts'
import { digestOf, type Document } from '../documents.ts'
import type { ImageRecord } from '../image.ts'

/** How the container ran where that is not as its image says; it becomes the image's, as docker has it. */
export interface RanWith {
  readonly command?: readonly string[]
  readonly entrypoint?: readonly string[]
  /** KEY=VALUE. */
  readonly env?: readonly string[]
  readonly user?: string
  readonly workdir?: string
  readonly labels?: Readonly<Record<string, string>>
}

export interface CommitWords {
  /** What ran: the history says that the layer was made by it. */
  readonly createdBy: string
  readonly author?: string
  readonly message?: string
  readonly ran: RanWith
  /** In the words of a Dockerfile. */
  readonly changes: readonly string[]
}

/** Fields that say of which container of docker's an image was made. */
const STALE = ['container', 'container_config', 'id', 'parent']

/** @throws {AppError} invalid when a change is none */
export function committedConfig(
  image: Pick<ImageRecord, 'configBytes' | 'config'>,
  diffId: Digest,
  { createdBy, author, message, ran, changes }: CommitWords,
  nowMs: number,
): Document<ImageConfig> {
  const before = JSON.parse(new TextDecoder().decode(image.configBytes)) as Record<string, unknown>
  const created = new Date(nowMs).toISOString()
  const run = changes.reduce(applyInstruction, ranWith(objectOf(before['config']), ran))
  const step = {
    created,
    ...(author === undefined ? {} : { author }),
    created_by: createdBy,
    ...(message === undefined ? {} : { comment: message }),
  }
  const after: Record<string, unknown> = {
    ...before,
    created,
    ...(author === undefined ? {} : { author }),
    config: run,
    rootfs: { type: 'layers', diff_ids: [...image.config.diffIds, diffId] },
    history: [...historyOf(before, image.config), step],
  }
  for (const key of STALE) delete after[key]
  const bytes = new TextEncoder().encode(JSON.stringify(after))
  return { bytes, digest: digestOf(bytes), value: parseImageConfig(bytes) }
}

/** Checks changes before anything is fetched. @throws {AppError} invalid */
export function checkChanges(changes: readonly string[]): void {
  changes.reduce(applyInstruction, {})
}

function ranWith(config: RunConfigDocument, ran: RanWith): RunConfigDocument {
  const env = ran.env?.map((pair): [string, string] => [pair.split('=', 1)[0]!, pair.slice(pair.indexOf('=') + 1)])
  return {
    ...config,
    // A new entrypoint drops the image's CMD, as it did when the container ran.
    ...(ran.entrypoint === undefined ? {} : { Entrypoint: ran.entrypoint, Cmd: null }),
    ...(ran.command === undefined ? {} : { Cmd: ran.command }),
    ...(env === undefined ? {} : { Env: withEnvironment(stringsOf(config['Env']), env) }),
    ...(ran.user === undefined ? {} : { User: ran.user }),
    ...(ran.workdir === undefined ? {} : { WorkingDir: ran.workdir }),
    ...(ran.labels === undefined ? {} : { Labels: { ...objectOf(config['Labels']), ...ran.labels } }),
  }
}

/** As it was; where it speaks of fewer layers than there are, steps of which nothing is known fill it up. */
function historyOf(before: Record<string, unknown>, { history, diffIds }: ImageConfig): unknown[] {
  const steps = Array.isArray(before['history']) ? (before['history'] as unknown[]) : []
  const missing = diffIds.length - history.filter(({ isEmptyLayer }) => !isEmptyLayer).length
  return [...steps, ...Array.from({ length: Math.max(0, missing) }, () => ({}))]
}

function objectOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : {}
}

function stringsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : []
}
