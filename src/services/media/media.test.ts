import assert from 'node:assert/strict'
import { test } from 'node:test'
import { extentLength, type Extent } from '../../formats/extents.ts'
import { createTarIndexer } from '../../formats/tar/indexer.ts'
import { tarOf, type TarField } from '../../formats/tar/tar-maker.ts'
import { mergeLayers } from '../../formats/tree/merge.ts'
import type { MediaOptions } from '../../model/media.ts'
import type { Kit } from '../kits/kits.ts'
import { directoryContents } from './contents.ts'
import { createMedia } from './media.ts'

const signal = new AbortController().signal
const LOADER = 'ipxe/ipxe-amd64.efi'
const OF_BIOS = ['ipxe/ipxe.lkrn', 'media/isolinux.bin', 'media/isohdpfx.bin', 'media/ldlinux.c32']

const SIZES: Readonly<Record<string, number>> = { 'media/isolinux.bin': 40_000, 'media/isohdpfx.bin': 432 }

function kitWith(...names: string[]): Kit {
  const named = (folder: string) =>
    new Map(
      names
        .filter((name) => name.startsWith(folder))
        .map((name) => [name.slice(folder.length), `/kit/${name}`] as const),
    )
  return {
    digest: `sha256:${'a'.repeat(64)}`,
    manifest: {
      architecture: 'amd64',
      files: Object.fromEntries(names.map((name) => [name, { sha256: '', sizeBytes: SIZES[name] ?? 1_000_000 }])),
    },
    ipxe: named('ipxe/'),
    grub: named('grub/'),
    media: named('media/'),
  } as unknown as Kit
}

const unasked = () => Promise.reject(new Error('no image is asked for'))

/** Media whose blobs read as zeros; what was read last is kept. */
function bench({ kit = kitWith(LOADER, ...OF_BIOS), isServing = true } = {}) {
  const read: Extent[] = []
  const media = createMedia({
    kits: { open: () => Promise.resolve(kit), imported: (kind, name) => Promise.resolve(`/imported/${kind}/${name}`) },
    fileContent: (path) => Promise.resolve([{ kind: 'blob', blob: path, offset: 0, length: 5000 }]),
    images: { named: unasked, keep: unasked, tree: unasked, config: unasked },
    devices: { of: unasked },
    deviceContent: unasked,
    blobs: { readExtents: () => assert.fail('no image is asked for') },
    kernelParams: [],
    httpUrl: isServing ? 'http://10.0.0.1:8080' : undefined,
    async *read(extents) {
      read.push(...extents)
      for (const extent of extents) yield extent.kind === 'bytes' ? extent.bytes : new Uint8Array(extentLength(extent))
    },
  })
  return { media, read }
}

const tree = (...fields: TarField[]) => {
  const indexer = createTarIndexer()
  indexer.push(tarOf(...fields))
  return mergeLayers([{ digest: '/upload', index: indexer.end() }])
}
const gpt: MediaOptions = { format: 'gpt', label: 'BAREBOAT' }

for (const format of ['fat32', 'gpt', 'iso'] as const)
  test(`the loader as ${format} is at most 4 MiB, has iPXE where it lies and a script that asks this server`, async () => {
    const { media, read } = bench()
    const { sizeBytes, bytes } = await media.open({ loader: true }, { ...gpt, format }, signal)
    assert.ok(sizeBytes! <= 4 << 20, `${sizeBytes} bytes`)
    const all = Buffer.concat(await Array.fromAsync({ [Symbol.asyncIterator]: () => bytes }))
    assert.equal(all.length, sizeBytes)
    assert.ok(all.includes('chain --replace --autofree http://10.0.0.1:8080/boot/waiting.ipxe?mac=${netX/mac:hexhyp}'))
    const loader = { kind: 'blob', blob: `/kit/${LOADER}`, offset: 0, length: 1_000_000 }
    assert.deepEqual(
      read.find((extent) => extent.kind === 'blob' && extent.blob === loader.blob),
      loader,
    )
  })

test('the loader needs a server that machines reach, and a kit that has iPXE', async () => {
  await assert.rejects(
    bench({ isServing: false }).media.open({ loader: true }, gpt, signal),
    /this server serves no machines/,
  )
  await assert.rejects(
    bench({ kit: kitWith(...OF_BIOS) }).media.open({ loader: true }, gpt, signal),
    /has no ipxe\/ipxe-amd64.efi; build a newer/,
  )
})

test('a directory: its data lie in the archive, a link is the file that it leads to', async () => {
  const { media, read } = bench()
  const files = tree(
    { name: 'EFI/BOOT/BOOTX64.EFI', data: Buffer.alloc(700) },
    { name: 'link', type: '2', link: 'EFI/BOOT/BOOTX64.EFI' },
    { name: 'empty', type: '5' },
  )
  await media.files(directoryContents(files), gpt, signal)
  const data = read.filter((extent) => extent.kind === 'blob')
  assert.deepEqual(
    data.map(({ blob, length }) => [blob, length]),
    [
      ['/upload', 700],
      ['/upload', 700],
    ],
  )
})

/** A medium of an image with one program. */
function imageBench() {
  const kit = kitWith('kernel', 'initrd', 'media/systemd-bootx64.efi', ...OF_BIOS)
  const id = `sha256:${'cd'.repeat(32)}` as const
  const held = { count: 0 }
  const read: Extent[] = []
  const config = {
    config: { user: '', env: ['PATH=/bin'], entrypoint: undefined, cmd: ['/bin/hello', "it's"], workingDir: '' },
    platform: { architecture: 'amd64' },
  }
  const device = { rootHash: 'ab'.repeat(32), sizeBytes: 12_288, dataBlocks: 2, hashStartBlock: 3 }
  const media = createMedia({
    kits: { open: () => Promise.resolve({ ...kit, kernelPath: '/kit/kernel', initrdPath: '/kit/initrd' }) },
    images: {
      named: () => Promise.resolve({ record: { id, createdAtMs: 5000 }, tag: undefined }),
      keep() {
        held.count += 1
        return Promise.resolve({ [Symbol.dispose]: () => void (held.count -= 1) })
      },
      tree: () => Promise.resolve(tree({ name: 'bin/hello', data: 'x', mode: '0000755' })),
      config: () => Promise.resolve(config),
    },
    devices: { of: () => Promise.resolve(device) },
    deviceContent: () => Promise.resolve([{ kind: 'blob', blob: '/device', offset: 0, length: device.sizeBytes }]),
    blobs: { readExtents: () => assert.fail('nothing of the image is read') },
    kernelParams: ['console=ttyS0'],
    httpUrl: undefined,
    async *read(extents: readonly Extent[]) {
      read.push(...extents)
      for (const extent of extents) yield extent.kind === 'bytes' ? extent.bytes : new Uint8Array(extentLength(extent))
    },
  } as unknown as Parameters<typeof createMedia>[0])
  return { media, held, read }
}

for (const format of ['fat32', 'gpt', 'iso'] as const)
  test(`an image as ${format}: what gives the kernel its arguments, the orders, the root; its layers stay until it is read`, async () => {
    const { media, held, read } = imageBench()
    const { bytes, sizeBytes } = await media.open({ image: 'my/image' }, { format, label: 'MY_LABEL' }, signal)
    assert.equal(held.count, 1)
    const all = Buffer.concat(await Array.fromAsync({ [Symbol.asyncIterator]: () => bytes }))
    assert.equal(held.count, 0)
    assert.equal(all.length, sizeBytes)
    const params = `bareboat.media=MY_LABEL bareboat.roothash=${'ab'.repeat(32)} console=ttyS0\n`
    assert.ok(all.includes(`options ${params}`))
    assert.equal(all.includes(`APPEND ${params}`), format === 'iso')
    assert.ok(all.includes("BB_HASH_START='3'\n") && all.includes('BB_ARGV='))
    assert.equal(read.filter((extent) => extent.kind === 'blob' && extent.blob === '/device').length, 1)
  })

test('an image under a label that is no word is refused, and its layers are let go', async () => {
  const { media, held } = imageBench()
  const options = { format: 'gpt', label: 'MY LABEL' } as const
  await assert.rejects(
    media.open({ image: 'my/image' }, options, signal),
    /Cannot use "MY LABEL" as the label of a medium/,
  )
  assert.equal(held.count, 0)
})

test('an imported kernel and initrd: read where they lie, with their own arguments after those of every boot', async () => {
  const { media, read } = bench({ kit: kitWith('media/systemd-bootx64.efi', ...OF_BIOS) })
  const pair = { kernel: 'k', initrd: 'i', kernelParams: ['root=/dev/sda1'] }
  const { bytes } = await media.open({ pair }, { ...gpt, format: 'iso' }, signal)
  const all = Buffer.concat(await Array.fromAsync({ [Symbol.asyncIterator]: () => bytes }))
  for (const text of ['options root=/dev/sda1\n', 'APPEND root=/dev/sda1\n']) assert.ok(all.includes(text))
  for (const path of ['/imported/kernel/k', '/imported/initrd/i'])
    assert.ok(read.some((extent) => extent.kind === 'blob' && extent.blob === path))
})

const refused: { name: string; fields: TarField[]; options?: Partial<MediaOptions>; error: RegExp }[] = [
  { name: 'nothing', fields: [], error: /there are no files to put on it/ },
  {
    name: 'a link that leads out',
    fields: [{ name: 'a', type: '2', link: '/etc/passwd' }],
    error: /Cannot put "a" on the medium: it is a symbolic link to nothing on the medium/,
  },
  { name: 'a device', fields: [{ name: 'dev', type: '3' }], error: /"dev".*neither a file nor a directory/ },
  {
    name: 'a size without room for a partition',
    fields: [{ name: 'a', data: 'x' }],
    options: { size: 1 << 20 },
    error: /Cannot put a partition on a medium of 1048576 bytes/,
  },
]
for (const { name, fields, options, error } of refused)
  test(`a directory with ${name} is refused`, () =>
    assert.rejects(
      async () => bench().media.files(directoryContents(tree(...fields)), { ...gpt, ...options }, signal),
      error,
    ))
