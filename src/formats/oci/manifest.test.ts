import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseImageConfig } from './config.ts'
import { DOCUMENT_BYTES } from './document.ts'
import { checkOciLayout, layoutBlobPath, parseDockerArchive, refNameOf } from './layout.ts'
import { isImage, parseIndex, parseManifest, parseManifestOrIndex } from './manifest.ts'
import { MEDIA_TYPES } from './media-types.ts'
import { choosePlatform, formatPlatform, parsePlatform, platformDistance } from './platform.ts'

const DIGEST = `sha256:${'a'.repeat(64)}`
const config = { mediaType: MEDIA_TYPES.ociConfig, digest: DIGEST, size: 7 }
const layer = { mediaType: MEDIA_TYPES.ociLayerGzip, digest: DIGEST, size: 100 }
const manifest = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config, layers: [layer] }
const index = {
  schemaVersion: 2,
  mediaType: MEDIA_TYPES.ociIndex,
  manifests: [{ ...layer, mediaType: MEDIA_TYPES.ociManifest }],
}

function json(value: unknown): Uint8Array {
  return Buffer.from(typeof value === 'string' ? value : JSON.stringify(value))
}

test('a manifest', () => {
  const value = parseManifest(json({ ...manifest, annotations: { a: 'b' }, unknown: [1] }), MEDIA_TYPES.ociManifest)
  assert.deepEqual(
    [value.kind, value.layers.length, value.config.size, value.layers[0]!.digest],
    ['manifest', 1, 7, DIGEST],
  )
  assert.deepEqual([...value.annotations], [['a', 'b']])
  assert.equal(isImage(value), true)
  assert.equal(isImage(parseManifest(json({ ...manifest, config: { ...config, mediaType: 'application/x' } }))), false)
})

test('the type is what came, what the document says, or what it looks like, in this order', () => {
  const { mediaType: _, ...untyped } = manifest
  assert.equal(parseManifestOrIndex(json(untyped)).mediaType, MEDIA_TYPES.ociManifest)
  assert.equal(parseManifestOrIndex(json(untyped), MEDIA_TYPES.dockerManifest).mediaType, MEDIA_TYPES.dockerManifest)
  assert.equal(parseManifestOrIndex(json({ schemaVersion: 2, manifests: [] })).mediaType, MEDIA_TYPES.ociIndex)
})

test('embedded data is kept where it is as long as it says', () => {
  const empty = { mediaType: MEDIA_TYPES.ociEmpty, digest: DIGEST, size: 2, data: 'e30=' }
  assert.deepEqual(parseManifest(json({ ...manifest, config: empty })).config.data, new Uint8Array(Buffer.from('{}')))
})

test('keys that name a prototype are keys like others', () => {
  const text = `{"__proto__":{"layers":[]},"constructor":1,${JSON.stringify({ ...manifest, annotations: {} }).slice(1)}`
  const value = parseManifest(json(text.replace('"annotations":{}', '"annotations":{"__proto__":"x","toString":"y"}')))
  assert.deepEqual(
    [...value.annotations],
    [
      ['__proto__', 'x'],
      ['toString', 'y'],
    ],
  )
  assert.throws(() => parseManifest(json('{"__proto__":{"schemaVersion":2}}')), /schemaVersion is missing/)
})

test('of a key that comes twice the last counts', () => {
  const text = JSON.stringify(manifest).replace('"schemaVersion":2', '"schemaVersion":7,"schemaVersion":2')
  assert.equal(parseManifest(json(text)).kind, 'manifest')
})

const wrong: { name: string; value: unknown; type?: string; error: RegExp }[] = [
  { name: 'layers and manifests', value: { ...manifest, manifests: [] }, error: /two things at once/ },
  { name: 'config and manifests', value: { ...index, config }, error: /two things at once/ },
  {
    name: 'an index that says it is a manifest',
    value: { ...index, mediaType: MEDIA_TYPES.ociManifest },
    error: /not what its type/,
  },
  {
    name: 'a manifest that came as an index',
    value: { ...manifest, mediaType: undefined },
    type: MEDIA_TYPES.ociIndex,
    error: /not what its type/,
  },
  {
    name: 'another type than it came as',
    value: manifest,
    type: MEDIA_TYPES.dockerManifest,
    error: /mediaType is ".*" as it came/,
  },
  { name: 'an unknown type', value: { ...manifest, mediaType: 'text/html' }, error: /"text\/html" is not a type/ },
  { name: 'schema 1 by its version', value: { schemaVersion: 1 }, error: /schema 1/ },
  { name: 'schema 1 by its layers', value: { ...manifest, fsLayers: [] }, error: /schema 1/ },
  {
    name: 'schema 1 by its type',
    value: manifest,
    type: 'application/vnd.docker.distribution.manifest.v1+prettyjws',
    error: /schema 1/,
  },
  { name: 'no schema version', value: { layers: [] }, error: /schemaVersion is missing/ },
  { name: 'a list', value: [], error: /it is \[\], not an object/ },
  { name: 'null', value: 'null', error: /it is null, not an object/ },
  { name: 'no layers', value: { ...manifest, layers: null }, error: /layers is null, not a list/ },
  { name: 'no config', value: { ...manifest, config: undefined }, error: /config is missing, not an object/ },
  {
    name: 'a short digest',
    value: { ...manifest, config: { ...config, digest: 'sha256:ab' } },
    error: /config\.digest is "sha256:ab"/,
  },
  {
    name: 'a path as digest',
    value: { ...manifest, layers: [{ ...layer, digest: '../../etc' }] },
    error: /layers\[0\]\.digest/,
  },
  {
    name: 'a negative size',
    value: { ...manifest, layers: [{ ...layer, size: -1 }] },
    error: /layers\[0\]\.size is -1/,
  },
  { name: 'half a byte', value: { ...manifest, layers: [{ ...layer, size: 0.5 }] }, error: /size is 0\.5/ },
  { name: 'a size as text', value: { ...manifest, layers: [{ ...layer, size: '1' }] }, error: /size is "1"/ },
  {
    name: 'a wrong media type',
    value: { ...manifest, layers: [{ ...layer, mediaType: 'x y' }] },
    error: /mediaType is "x y"/,
  },
  {
    name: 'data of another length',
    value: { ...manifest, config: { ...config, data: 'e30=' } },
    error: /7 bytes in base64/,
  },
  { name: 'too many layers', value: { ...manifest, layers: Array(1001).fill(layer) }, error: /at most 1000/ },
  { name: 'annotations that are no text', value: { ...manifest, annotations: { a: 1 } }, error: /annotations\.a is 1/ },
  { name: 'no JSON', value: '{"schemaVersion":2,}', error: /it is not JSON/ },
  { name: 'too deep', value: `${'['.repeat(65)}${']'.repeat(65)}`, error: /deeper than 64/ },
  { name: 'very deep', value: '['.repeat(200_000), error: /deeper than 64/ },
  { name: 'too large', value: ' '.repeat(DOCUMENT_BYTES + 1), error: /4194305 bytes/ },
]
for (const { name, value, type, error } of wrong)
  test(`parseManifestOrIndex refuses ${name}`, () => {
    assert.throws(() => parseManifestOrIndex(json(value), type), { name: 'WireError', message: error })
  })

test('bytes that are not UTF-8 are refused, brackets in strings are not depth', () => {
  assert.throws(() => parseManifest(new Uint8Array([0x22, 0xff, 0x22])), /not UTF-8/)
  assert.equal(parseManifest(json({ ...manifest, annotations: { a: `${'['.repeat(99)}\\"{` } })).kind, 'manifest')
})

test('parseManifest and parseIndex take only their own', () => {
  assert.throws(() => parseManifest(json(index)), /it is an index/)
  assert.throws(() => parseIndex(json(manifest)), /the manifest of one image/)
  assert.equal(parseIndex(json({ ...index, mediaType: MEDIA_TYPES.dockerList })).manifests.length, 1)
})

const runnable = {
  architecture: 'arm64',
  variant: 'v8',
  os: 'linux',
  created: '2026-01-01T00:00:00Z',
  config: {
    User: '1000:1000',
    Env: ['PATH=/bin', 'A='],
    Entrypoint: ['/init', ''],
    Cmd: null,
    WorkingDir: '/srv',
    StopSignal: 'SIGRTMIN+3',
    Labels: { a: 'b', __proto__x: 'c' },
    ExposedPorts: { '80/tcp': {}, '53/udp': {} },
    Volumes: { '/data': {} },
    Healthcheck: { Test: ['CMD', 'true'], Interval: 30_000_000_000 },
  },
  rootfs: { type: 'layers', diff_ids: [DIGEST] },
  history: [{ created_by: 'RUN x' }, { empty_layer: true }],
}

test('an image config', () => {
  const value = parseImageConfig(json(runnable))
  assert.equal(formatPlatform(value.platform), 'linux/arm64/v8')
  assert.deepEqual(value.config.entrypoint, ['/init', ''])
  assert.equal(value.config.cmd, undefined)
  assert.deepEqual(value.config.env, ['PATH=/bin', 'A='])
  assert.deepEqual(value.config.exposedPorts, ['80/tcp', '53/udp'])
  assert.deepEqual(
    [value.config.user, value.config.workingDir, value.config.stopSignal],
    ['1000:1000', '/srv', 'SIGRTMIN+3'],
  )
  assert.deepEqual([value.config.volumes, value.config.labels.get('a')], [['/data'], 'b'])
  assert.equal(value.config.healthcheck?.intervalNs, 30e9)
  assert.deepEqual(value.diffIds, [DIGEST])
  assert.deepEqual(
    value.history.map(({ isEmptyLayer }) => isEmptyLayer),
    [false, true],
  )
})

test('an image config with next to nothing in it; old docker wrote one word as text', () => {
  const bare = { architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: null } }
  assert.deepEqual(parseImageConfig(json(bare)).config.env, [])
  assert.deepEqual(parseImageConfig(json({ ...bare, config: { Cmd: 'sh' } })).config.cmd, ['sh'])
  assert.deepEqual(parseImageConfig(json({ ...bare, config: { Cmd: [] } })).config.cmd, [])
})

const wrongConfigs: [string, unknown, RegExp][] = [
  ['no rootfs', { ...runnable, rootfs: undefined }, /rootfs is missing/],
  ['a rootfs of another type', { ...runnable, rootfs: { type: 'base' } }, /rootfs\.type is "base"/],
  ['a diff id that is none', { ...runnable, rootfs: { type: 'layers', diff_ids: ['x'] } }, /diff_ids\[0\] is "x"/],
  ['a NUL in the environment', { ...runnable, config: { Env: ['A=\0'] } }, /config\.Env\[0\] .* without NUL/],
  ['a NUL in the working directory', { ...runnable, config: { WorkingDir: '/\0' } }, /without NUL/],
  ['no architecture', { ...runnable, architecture: undefined }, /architecture is missing/],
  ['labels as a list', { ...runnable, config: { Labels: ['a'] } }, /config\.Labels is \["a"\], not an object/],
]
for (const [name, value, error] of wrongConfigs)
  test(`parseImageConfig refuses ${name}`, () => {
    assert.throws(() => parseImageConfig(json(value)), { name: 'WireError', message: error })
  })

test('platforms: text, aliases, and what runs where', () => {
  const shown = (text: string): string => formatPlatform(parsePlatform(text))
  assert.deepEqual(['x86_64', 'linux/aarch64', 'linux/arm64/v8', 'armhf', 'linux/s390x'].map(shown), [
    'linux/amd64',
    'linux/arm64',
    'linux/arm64/v8',
    'linux/arm/v7',
    'linux/s390x',
  ])
  for (const text of ['', 'linux', 'linux/', 'a/b/c/d', 'linux/am d64', '__proto__/x y'])
    assert.throws(() => parsePlatform(text), { name: 'AppError' }, text)
  assert.equal(shown('linux/constructor'), 'linux/constructor')
  const distance = (wanted: string, offered: string) => platformDistance(parsePlatform(wanted), parsePlatform(offered))
  assert.equal(distance('linux/arm64', 'linux/arm64/v8'), 0)
  assert.equal(distance('linux/arm/v7', 'linux/arm/v6'), 1)
  assert.equal(distance('linux/arm/v6', 'linux/arm/v7'), undefined)
  assert.equal(distance('linux/amd64', 'linux/amd64/v3'), undefined)
  assert.equal(distance('linux/amd64/v3', 'linux/amd64'), 2)
  assert.equal(distance('linux/amd64', 'windows/amd64'), undefined)
  assert.equal(distance('linux/s390x', 'linux/s390x'), 0)
})

test('choosePlatform takes the nearest, never an attestation', () => {
  const entry = (architecture: string, variant: string | undefined, size: number, os = 'linux') => ({
    mediaType: MEDIA_TYPES.ociManifest,
    digest: DIGEST,
    size,
    platform: { os, architecture, variant },
  })
  const value = parseIndex(
    json({
      ...index,
      manifests: [
        entry('arm', 'v5', 1),
        entry('arm', 'v6', 2),
        entry('amd64', undefined, 3),
        entry('unknown', undefined, 4, 'unknown'),
      ],
    }),
  )
  assert.equal(choosePlatform(value, parsePlatform('linux/arm/v7'))?.size, 2)
  assert.equal(choosePlatform(value, parsePlatform('amd64'))?.size, 3)
  assert.equal(choosePlatform(value, parsePlatform('riscv64')), undefined)
  assert.equal(choosePlatform(parseIndex(json(index)), parsePlatform('amd64'))?.size, 100)
})

test('OCI layouts and docker archives', () => {
  checkOciLayout(json({ imageLayoutVersion: '1.0.0' }))
  assert.throws(() => checkOciLayout(json({ imageLayoutVersion: '2.0.0' })), /not 1\.0\.0/)
  const { manifests } = parseIndex(
    json({ ...index, manifests: [{ ...layer, annotations: { 'org.opencontainers.image.ref.name': 'v1' } }] }),
  )
  assert.equal(refNameOf(manifests[0]!), 'v1')
  assert.equal(layoutBlobPath(manifests[0]!.digest), `blobs/sha256/${'a'.repeat(64)}`)
  const saved = { Config: 'abc.json', RepoTags: null, Layers: ['id/layer.tar'] }
  assert.deepEqual(parseDockerArchive(json([saved])), [{ config: 'abc.json', repoTags: [], layers: ['id/layer.tar'] }])
  for (const path of ['../x', '/etc/passwd', '', 'a//b', 'a/./b', 'a\0'])
    assert.throws(() => parseDockerArchive(json([{ ...saved, Layers: [path] }])), { name: 'WireError' }, path)
  assert.throws(() => parseDockerArchive(json(saved)), /not a list/)
})
