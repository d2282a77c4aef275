import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AppError } from '../../base/errors.ts'
import { mergeLayers } from '../../formats/tree/merge.ts'
import type { Container } from '../../model/container.ts'
import { runOptions } from '../../model/container.ts'
import type { RootfsKind } from '../../model/rootfs.ts'
import type { BootFile } from '../boot/boot.ts'
import type { Device } from '../devices/devices.ts'
import { chooseRootfs, prepareRoot, refuseIdleOptions, rootHashOf, rootMemoryBytes, type RootsDeps } from './roots.ts'

const ALL: readonly RootfsKind[] = ['lazy', 'ram', 'image', 'nfs']

function containerOf(options: object = {}, record: Partial<Container> = {}): Container {
  return {
    name: 'web',
    image: 'web:1',
    options: runOptions.parse({ image: 'web:1', ...options }),
    ...record,
  } as Container
}

const chosen: {
  name: string
  kinds: readonly RootfsKind[]
  options?: object
  record?: Partial<Container>
  kind?: RootfsKind
}[] = [
  { name: 'nobody said: what the kit does best', kinds: ALL, kind: 'lazy' },
  { name: 'an old kit', kinds: ['ram'], kind: 'ram' },
  { name: 'asked for', kinds: ALL, options: { rootfs: 'image' }, kind: 'image' },
  { name: 'a container that has booted keeps its kind', kinds: ALL, record: { rootfs: 'nfs' }, kind: 'nfs' },
  { name: 'asked for what the kit cannot do', kinds: ['ram'], options: { rootfs: 'lazy' } },
]
for (const { name, kinds, options, record, kind } of chosen)
  test(`chooseRootfs: ${name}`, () => {
    const files = { rootfsKinds: new Set(kinds), rootfsDefault: kinds[0]! }
    const choose = () => chooseRootfs(containerOf(options, record), files)
    if (kind === undefined)
      return assert.throws(choose, /Cannot run "web:1" with --rootfs lazy: the kit can do ram; .*kit build/)
    assert.equal(choose(), kind)
  })

test('refuseIdleOptions: there is nothing to fill in a root that is whole', () => {
  refuseIdleOptions(runOptions.parse({ image: 'x', fill: true }), 'lazy')
  assert.throws(() => refuseIdleOptions(runOptions.parse({ image: 'x', fill: true }), 'ram'), AppError)
})

const FILE: BootFile = { sizeBytes: 9, pieces: () => [] }
const device = (rootHash: string): Device => ({
  rootHash,
  key: '',
  sizeBytes: 8 * 4096,
  dataBlocks: 6,
  hashStartBlock: 7,
  blobs: [],
  createdAtMs: 0,
  mapPath: '',
  blobPaths: [],
})

function depsOf(devices: Partial<RootsDeps['devices']> = {}): RootsDeps {
  return {
    tarFile: () => FILE,
    devices: { of: async () => device('aa'), byRootHash: async () => undefined, ...devices },
    deviceFile: () => FILE,
    profileOf: async () => undefined,
    squashfs: async () => ({ file: FILE, sha256: 'cc' }),
    nfs: {
      prepare: async () => {},
      open: async (_containerId, address) => ({ source: '10.0.0.1:/x', options: address }),
      shut: async () => {},
      remove: async () => {},
    },
  }
}
const NEVER = new AbortController().signal
const inHand = { imageId: 'sha256:1' as never, tree: mergeLayers([]) }

test('prepareRoot: each kind has its files, its memory and its hash', async () => {
  const of = (kind: RootfsKind, options = {}) => prepareRoot(depsOf(), containerOf(options), kind, inHand, NEVER)
  const lazy = await of('lazy', { fill: true })
  assert.deepEqual([rootMemoryBytes(lazy), rootHashOf(lazy)], [0, { rootHash: 'aa' }])
  assert.ok(lazy.kind === 'lazy' && lazy.isFilled && lazy.profile === undefined)
  const image = await of('image')
  assert.deepEqual([rootMemoryBytes(image), rootHashOf(image)], [8 * 4096, { rootHash: 'aa' }])
  const squashfs = await of('image', { imageFormat: 'squashfs' })
  assert.deepEqual([rootMemoryBytes(squashfs), rootHashOf(squashfs)], [9, {}])
  const ram = await of('ram')
  assert.deepEqual([rootMemoryBytes(ram) > 0, rootHashOf(ram)], [true, {}])
  const nfs = await of('nfs')
  assert.ok(nfs.kind === 'nfs')
  assert.deepEqual(await nfs.mount('10.0.0.9'), { source: '10.0.0.1:/x', options: '10.0.0.9' })
  assert.deepEqual([rootMemoryBytes(nfs), rootHashOf(nfs)], [0, {}])
})

test('prepareRoot: a machine that booted from a device keeps it, also when its image now makes another', async () => {
  const container = containerOf({}, { rootHash: 'bb' })
  const kept = await prepareRoot(depsOf({ byRootHash: async (hash) => device(hash) }), container, 'lazy', inHand, NEVER)
  assert.deepEqual(rootHashOf(kept), { rootHash: 'bb' })
  await assert.rejects(
    prepareRoot(depsOf(), container, 'lazy', inHand, NEVER),
    /Cannot go on serving the root of container "web": its device bb is gone, and the image now makes aa/,
  )
})
