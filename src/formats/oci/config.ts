/** Image configurations (image-spec config.md; Docker's "container image" JSON is the same with more in it). */
import { parseDocument, type Field } from './document.ts'
import type { Healthcheck, HistoryStep, ImageConfig, RunConfig } from './image.ts'
import { platformOf } from './manifest.ts'

const MAX_ITEMS = 10_000

/** @throws {WireError} when it breaks its format */
export function parseImageConfig(bytes: Uint8Array): ImageConfig {
  const document = parseDocument(bytes, 'image config')
  const rootfs = document.at('rootfs')
  if (rootfs.at('type').string() !== 'layers') throw rootfs.at('type').wrong('"layers"')
  return {
    platform: platformOf(document),
    created: document.at('created').stringOr(undefined),
    author: document.at('author').stringOr(undefined),
    config: runConfigOf(document.at('config')),
    diffIds: rootfs
      .at('diff_ids')
      .items(1000)
      .map((item) => item.digest()),
    history: document.at('history').items(MAX_ITEMS).map(historyStepOf),
  }
}

/** The config of an image that has none: nothing set. */
export const NO_RUN_CONFIG: RunConfig = {
  user: '',
  env: [],
  entrypoint: undefined,
  cmd: undefined,
  workingDir: '',
  stopSignal: undefined,
  labels: new Map(),
  exposedPorts: [],
  volumes: [],
  healthcheck: undefined,
}

function runConfigOf(field: Field): RunConfig {
  if (field.isAbsent) return NO_RUN_CONFIG
  return {
    user: plainOr(field.at('User'), ''),
    env: field.at('Env').plainStrings(MAX_ITEMS),
    entrypoint: wordsOf(field.at('Entrypoint')),
    cmd: wordsOf(field.at('Cmd')),
    workingDir: plainOr(field.at('WorkingDir'), ''),
    stopSignal: plainOr(field.at('StopSignal'), '') || undefined,
    labels: field.at('Labels').stringMap(),
    exposedPorts: field.at('ExposedPorts').keys(),
    volumes: field.at('Volumes').keys(),
    healthcheck: healthcheckOf(field.at('Healthcheck')),
  }
}

/** Old docker versions wrote one word as a plain string, and docker still reads it so. */
function wordsOf(field: Field): string[] | undefined {
  if (field.isAbsent) return undefined
  return field.isString ? [field.plainString()] : field.plainStrings(MAX_ITEMS)
}

function plainOr(field: Field, otherwise: string): string {
  return field.isAbsent ? otherwise : field.plainString()
}

function healthcheckOf(field: Field): Healthcheck | undefined {
  if (field.isAbsent) return undefined
  const countOf = (key: string): number => (field.has(key) ? field.at(key).count() : 0)
  return {
    test: field.at('Test').plainStrings(MAX_ITEMS),
    intervalNs: countOf('Interval'),
    timeoutNs: countOf('Timeout'),
    startPeriodNs: countOf('StartPeriod'),
    retries: countOf('Retries'),
  }
}

function historyStepOf(field: Field): HistoryStep {
  return {
    created: field.at('created').stringOr(undefined),
    createdBy: field.at('created_by').stringOr(undefined),
    comment: field.at('comment').stringOr(undefined),
    isEmptyLayer: field.has('empty_layer') && field.at('empty_layer').boolean(),
  }
}
