import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AppError, WireError } from '../../src/base/errors.ts'
import { parseImageConfig } from '../../src/formats/oci/config.ts'
import { parseDigest } from '../../src/formats/oci/digest.ts'
import { checkOciLayout, parseDockerArchive } from '../../src/formats/oci/layout.ts'
import { parseManifestOrIndex } from '../../src/formats/oci/manifest.ts'
import { MEDIA_TYPES } from '../../src/formats/oci/media-types.ts'
import { choosePlatform, parsePlatform } from '../../src/formats/oci/platform.ts'
import { familiarReference, formatReference, parseReference } from '../../src/formats/oci/reference.ts'
import { createMutator, type Mutator } from './mutate.ts'

const SEED = Number(process.env['SEED'] ?? 20_261_121)
const DIGEST = `sha256:${'0123456789abcdef'.repeat(4)}`
const descriptor = {
  mediaType: MEDIA_TYPES.ociLayerGzip,
  digest: DIGEST,
  size: 2,
  data: 'e30=',
  annotations: { a: 'b' },
}
const platform = { architecture: 'arm64', os: 'linux', variant: 'v8', 'os.version': '1', 'os.features': ['x'] }

const documents: unknown[] = [
  {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    config: descriptor,
    layers: [descriptor, descriptor],
    subject: descriptor,
  },
  {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.dockerManifest,
    config: descriptor,
    layers: [descriptor],
    artifactType: 'a/b',
  },
  {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociIndex,
    manifests: [
      { ...descriptor, mediaType: MEDIA_TYPES.ociManifest, platform },
      { ...descriptor, platform },
    ],
    annotations: { x: 'y' },
  },
  {
    ...platform,
    created: '2026-01-01T00:00:00Z',
    config: {
      User: '1',
      Env: ['A=b'],
      Entrypoint: ['x'],
      Cmd: 'y',
      WorkingDir: '/',
      StopSignal: 'TERM',
      Labels: { l: 'm' },
      ExposedPorts: { '80/tcp': {} },
      Volumes: { '/v': {} },
      Healthcheck: { Test: ['NONE'], Interval: 1 },
    },
    rootfs: { type: 'layers', diff_ids: [DIGEST] },
    history: [{ created_by: 'x', empty_layer: true }],
  },
  [{ Config: 'a.json', RepoTags: ['a:b'], Layers: ['a/layer.tar'] }],
  { imageLayoutVersion: '1.0.0' },
]

const STRANGE: readonly unknown[] = [
  null,
  -1,
  0.5,
  1e300,
  '',
  '\0',
  '../..',
  [],
  {},
  true,
  [[]],
  { '': 0 },
  DIGEST,
  2,
  1,
]
const KEYS = ['__proto__', 'constructor', 'manifests', 'layers', 'fsLayers', 'size', 'digest', '']

/** A copy in which about one value in ten is another, gone, or has a stranger beside it. */
function bend(value: unknown, m: Mutator): unknown {
  if (m.below(12) === 0) return m.pick(STRANGE)
  if (Array.isArray(value)) return value.flatMap((item) => (m.below(12) === 0 ? [] : [bend(item, m)]))
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).filter(() => m.below(20) > 0)
  if (m.below(10) === 0) entries.push([m.pick(KEYS), m.pick(STRANGE)])
  return Object.fromEntries(entries.map(([key, item]): [string, unknown] => [key, bend(item, m)]))
}

function attempt(parse: () => unknown): boolean {
  try {
    parse()
    return true
  } catch (error) {
    assert.ok(error instanceof WireError || error instanceof AppError, String(error))
    assert.ok(error.message.length < 2000)
    return false
  }
}

test(`100,000 broken OCI documents give a value or a WireError (SEED=${SEED})`, () => {
  const m = createMutator(SEED)
  const wanted = parsePlatform('linux/arm64')
  let read = 0
  for (let count = 0; count < 100_000; count += 1) {
    const text = Buffer.from(JSON.stringify(bend(m.pick(documents), m)))
    const bytes = m.below(3) === 0 ? m.mutate(text) : text
    const type = m.below(2) === 0 ? undefined : m.pick(Object.values(MEDIA_TYPES))
    for (const parse of [parseImageConfig, parseDockerArchive, checkOciLayout])
      if (attempt(() => parse(bytes))) read += 1
    const isRead = attempt(() => {
      const value = parseManifestOrIndex(bytes, type)
      if (value.kind === 'index') choosePlatform(value, wanted)
    })
    if (isRead) read += 1
  }
  assert.ok(read > 10_000, `only ${read} were read`)
  assert.equal(Object.hasOwn(Object.prototype, 'layers'), false)
})

test(`100,000 strange references, digests and platforms give a value or an error of ours (SEED=${SEED})`, () => {
  const m = createMutator(SEED + 1)
  const seeds = ['debian:12', 'localhost:5000/a/b:t', `r.io/a_b/c-d@${DIGEST}`, 'linux/arm64/v8', '[::1]:1/x', DIGEST]
  const atoms = [
    'a',
    'Z',
    '0',
    '.',
    '..',
    '/',
    ':',
    '@',
    '_',
    '__',
    '-',
    '%',
    ' ',
    '\0',
    '\n',
    'é',
    'localhost',
    DIGEST,
    '[::1]',
  ]
  let read = 0
  for (let count = 0; count < 100_000; count += 1) {
    const text =
      m.below(2) === 0
        ? Buffer.from(m.mutate(Buffer.from(m.pick(seeds)))).toString('latin1')
        : Array.from({ length: m.below(8) }, () => m.pick(atoms)).join('')
    attempt(() => parseDigest(text))
    attempt(() => parsePlatform(text))
    const isRead = attempt(() => {
      const reference = parseReference(text)
      assert.match(
        formatReference(reference),
        /^[A-Za-z0-9.:[\]-]+\/[a-z0-9._/-]+(?::[\w.-]+)?(?:@sha(?:256|512):[0-9a-f]+)?$/,
      )
      assert.deepEqual(parseReference(formatReference(reference)), reference)
      assert.deepEqual(parseReference(familiarReference(reference)), reference)
    })
    if (isRead) read += 1
  }
  assert.ok(read > 5_000, `only ${read} were read`)
})

test('long references of one kind of character take no time', () => {
  const from = performance.now()
  for (const atom of ['a', '-', '_', 'a-', 'a.', '/', ':', '@', '0', '[', 'A.'])
    for (const end of ['', '!', '/', ':']) attempt(() => parseReference(atom.repeat(500) + end))
  assert.ok(performance.now() - from < 5000)
})
