import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { BootFile } from './boot.ts'
import { rootFile, rootParams, rootVariables, type BootRoot, type RootFileName } from './root.ts'

const named = (name: string): BootFile & { name: string } => ({ name, sizeBytes: 77, pieces: () => [] })
const device = { rootHash: 'ab'.repeat(32), sizeBytes: 40_960, dataBlocks: 8, hashStartBlock: 9, file: named('device') }
const nbd = { host: '10.0.0.1', port: 10_809, connections: 2 }
const geometry = { BB_DATA_BLOCKS: '8', BB_HASH_START: '9', BB_DEVICE_BYTES: '40960' }

const cases: { root: BootRoot; files: Partial<Record<RootFileName, string>>; isHashed: boolean; variables: object }[] =
  [
    {
      root: { kind: 'ram', tar: named('tar') },
      files: { 'rootfs.tar': 'tar' },
      isHashed: false,
      variables: { BB_ROOTFS: 'ram', BB_ROOTFS_BYTES: '77' },
    },
    {
      root: { kind: 'lazy', device, isFilled: false },
      files: { 'rootfs.erofs': 'device' },
      isHashed: true,
      variables: {
        BB_ROOTFS: 'lazy',
        ...geometry,
        BB_NBD_HOST: '10.0.0.1',
        BB_NBD_PORT: '10809',
        BB_NBD_EXPORT: 'TOKEN',
        BB_NBD_CONNECTIONS: '2',
        BB_PROFILE: '0',
        BB_FILL: '0',
      },
    },
    {
      root: { kind: 'lazy', device, isFilled: true, profile: named('profile') },
      files: { 'rootfs.erofs': 'device', profile: 'profile' },
      isHashed: true,
      variables: {
        BB_ROOTFS: 'lazy',
        ...geometry,
        BB_NBD_HOST: '10.0.0.1',
        BB_NBD_PORT: '10809',
        BB_NBD_EXPORT: 'TOKEN',
        BB_NBD_CONNECTIONS: '2',
        BB_PROFILE: '1',
        BB_FILL: '1',
      },
    },
    {
      root: { kind: 'image', format: 'erofs', device },
      files: { 'rootfs.erofs': 'device' },
      isHashed: true,
      variables: { BB_ROOTFS: 'image', BB_IMAGE_FORMAT: 'erofs', ...geometry },
    },
    {
      root: { kind: 'image', format: 'squashfs', file: named('squashfs'), sha256: 'cd' },
      files: { 'rootfs.squashfs': 'squashfs' },
      isHashed: false,
      variables: { BB_ROOTFS: 'image', BB_IMAGE_FORMAT: 'squashfs', BB_DEVICE_BYTES: '77', BB_IMAGE_SHA256: 'cd' },
    },
    {
      root: { kind: 'nfs', mount: async (address) => ({ source: '10.0.0.1:/x', options: `clientaddr=${address}` }) },
      files: {},
      isHashed: false,
      variables: { BB_ROOTFS: 'nfs', BB_NFS_SOURCE: '10.0.0.1:/x', BB_NFS_OPTIONS: 'clientaddr=10.0.0.9' },
    },
  ]

for (const { root, files, isHashed, variables } of cases)
  test(`root "${root.kind}": what the machine is told, and which files it is given`, async () => {
    assert.deepEqual(await rootVariables(root, { token: 'TOKEN', address: '10.0.0.9', nbd }), variables)
    assert.deepEqual(rootParams(root), isHashed ? [`bareboat.roothash=${device.rootHash}`] : [])
    for (const name of ['rootfs.tar', 'rootfs.erofs', 'rootfs.squashfs', 'profile'] as const)
      assert.equal((rootFile(root, name) as { name?: string } | undefined)?.name, files[name], name)
  })
