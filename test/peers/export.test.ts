/**
 * Exports judged by the programs that they are for: skopeo and umoci load our image archives, unsquashfs and GNU tar unpack our file
 * systems, gzip, zstd and lz4 what is packed, md5sum, sha256sum and dpkg what lies beside it. All over the API and the command line.
 */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { quietLog } from '../../src/base/log.ts'
import { runCli } from '../../src/cli/program.ts'
import { createPacker } from '../../src/drivers/export/packer.ts'
import { openImageBench, type ImageBench } from '../../src/drivers/layout/image-bench.ts'
import { removeTree } from '../../src/drivers/unpack/directory.ts'
import { tarOf } from '../../src/formats/tar/tar-maker.ts'
import { EXPORT_FORMATS, exportFormatNames, type ExportFormatName } from '../../src/model/export.ts'
import { createApi } from '../../src/servers/api/app.ts'
import { createApiServer } from '../../src/servers/api/server.ts'
import { createExports } from '../../src/services/images/export/exports.ts'
import { layoutFiles, makeImage, writeLayout } from '../../src/services/images/layout-maker.ts'
import { fakeTerminal } from '../fakes/terminal.ts'
import { assertEqual, listed, listFolder, richLayers, treeOf, type Listed } from './listing.ts'

const folder = mkdtempSync(join(tmpdir(), 'bareboat-export-'))
const NAME = 'example.org:5000/team/rich:1.2'
const PROGRAMS = [
  'tar',
  'umoci',
  'skopeo',
  'sqfstar',
  'unsquashfs',
  'fsck.erofs',
  'lz4',
  'zstd',
  'gzip',
  'md5sum',
  'sha256sum',
  'dpkg-query',
  'python3',
]
const missing = PROGRAMS.filter((name) => spawnSync('sh', ['-c', `command -v ${name}`]).status !== 0)
const skip = missing.length > 0 ? `not installed: ${missing.join(', ')}` : process.getuid?.() !== 0 && 'needs root'

const NEVER = new AbortController().signal
let served: AsyncDisposable | undefined
let bench: ImageBench
let layers: Buffer[] = []
const dpkgStatus = skip ? Buffer.alloc(0) : readFileSync('/var/lib/dpkg/status')
const socketPath = join(folder, 'api.sock')

before(async () => {
  if (skip) return
  layers = [
    ...richLayers(folder),
    tarOf({ name: 'var/lib/dpkg/status', data: dpkgStatus }, { name: 'big', data: Buffer.alloc(5_000_000, 'big') }),
  ]
  bench = await openBench()
  served = await serve(bench, socketPath)
})
after(async () => {
  await served?.[Symbol.asyncDispose]()
  await (bench as ImageBench | undefined)?.[Symbol.asyncDispose]()
  await removeTree(folder)
})

/** The API over a socket, with what images need. */
async function serve({ images, blobs }: ImageBench, path: string): Promise<AsyncDisposable> {
  const exports = createExports({ images, blobs, packer: createPacker(folder) })
  const deps = { log: quietLog, version: 'test', isReady: () => true, images, exports, uploadDir: folder }
  const app = createApi(deps as unknown as Parameters<typeof createApi>[0])
  const options = { log: quietLog, app, socketPath: path } as unknown as Parameters<typeof createApiServer>[0]
  const server = createApiServer(options)
  const stop = new AbortController()
  let running: Promise<void> | undefined
  await new Promise<void>((ready, failed) => {
    running = server.run(stop.signal, ready)
    running.catch(failed)
  })
  return {
    async [Symbol.asyncDispose]() {
      stop.abort()
      await running
    },
  }
}

/** An image service that has the rich image, its layers as gzip, zstd and plain. */
async function openBench(): Promise<ImageBench> {
  const opened = await openImageBench()
  const layout = mkdtempSync(join(folder, 'layout-'))
  const compressions = ['gzip', 'zstd', 'none'] as const
  const made = makeImage({
    layers: layers.map((plain, at) => ({ plain, compression: compressions[at % 3]! })),
    config: {
      created: '2024-02-03T04:05:06.789Z',
      config: { Cmd: ['/bin/sh'], Env: ['A=b'] },
      'x.unknown': { kept: [1] },
    },
  })
  writeLayout(layout, layoutFiles([{ image: made }]))
  await opened.images.import(layout, { reference: NAME })
  return opened
}

async function cli(...argv: string[]): Promise<{ code: number; stdout: Buffer; stderr: string }> {
  const terminal = fakeTerminal(undefined, { env: { BAREBOAT_HOST: `unix://${socketPath}` }, cwd: folder })
  const code = await runCli(argv, { ...terminal.io, uid: 0 })
  return { code, stdout: terminal.bytes(), stderr: terminal.stderr() }
}

async function exported(
  format: ExportFormatName,
  file: string = `out${EXPORT_FORMATS[format].suffixes[0] ?? ''}`,
): Promise<string> {
  const { code, stderr } = await cli('image', 'export', '--format', format, '-o', file, NAME)
  assert.equal(code, 0, stderr)
  return join(folder, file)
}

function run(program: string, ...words: string[]): Buffer {
  return execFileSync(program, words, { maxBuffer: 1 << 28, stdio: ['ignore', 'pipe', 'pipe'] })
}

function assertTree(directory: string, adapt: (entry: Listed) => Listed = (entry) => entry): void {
  // The directories that the last layer implies have no time.
  const tidy = (list: readonly Listed[]) =>
    list.map((entry) => adapt(entry.path === '' || entry.path.startsWith('var') ? { ...entry, mtime: '' } : entry))
  assertEqual(tidy(listFolder(directory)), tidy(listed(treeOf(layers), layers)))
}

for (const format of exportFormatNames.filter((name) => name !== 'dir'))
  test(
    `${format}: the same image gives the same bytes, from any store and to standard output as well`,
    { skip },
    async () => {
      const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
      const first = digest(readFileSync(await exported(format, `same.${format}`)))
      assert.equal(digest((await cli('image', 'export', '--format', format, NAME)).stdout), first)
      await using other = await openBench()
      const exports = createExports({ images: other.images, blobs: other.blobs, packer: createPacker(folder) })
      const { bytes } = await exports.open(NAME, format, {}, NEVER)
      assert.equal(digest(Buffer.concat(await Array.fromAsync({ [Symbol.asyncIterator]: () => bytes }))), first)
    },
  )

for (const [format, unpack] of [
  ['tar.gz', ['gzip', '-dc']],
  ['tar.zst', ['zstd', '-dc']],
  ['tar.lz4', ['lz4', '-dc']],
] as const)
  test(`${format}: ${unpack[0]} unpacks it to the tar`, { skip }, async () => {
    const packed = await exported(format)
    run(unpack[0], '-t', packed)
    const [program, flags] = unpack
    assert.ok(run(program, flags, packed).equals(readFileSync(await exported('tar'))))
  })

test('tar.lz4 has beside it what metal-stack looks for', { skip }, async () => {
  const store = join(folder, 'debian-12')
  mkdirSync(store)
  // The format is told by the name.
  const { code, stderr } = await cli('image', 'export', '-o', 'debian-12/img.tar.lz4', NAME)
  assert.equal(code, 0, stderr)
  assert.deepEqual(readdirSync(store).sort(), ['img.tar.lz4', 'img.tar.lz4.md5', 'img.tar.lz4.sha256', 'packages.txt'])
  execFileSync('md5sum', ['--strict', '-c', 'img.tar.lz4.md5'], { cwd: store })
  execFileSync('sha256sum', ['--strict', '-c', 'img.tar.lz4.sha256'], { cwd: store })
  const packages = readFileSync(join(store, 'packages.txt'), 'utf8')
  assert.deepEqual(
    packages.split('\n'),
    run('dpkg-query', `--admindir=${adminDir()}`, '-l').toString('utf8').replace(/ +$/gm, '').split('\n'),
  )
})

test(
  'oci: skopeo copies it, umoci unpacks it to the tree, the config is byte for byte the same, and we take it in again',
  { skip },
  async () => {
    const path = await exported('oci')
    const { id } = await bench.images.inspect(NAME)
    const seen = JSON.parse(run('skopeo', 'inspect', `oci-archive:${path}:1.2`).toString()) as {
      Layers: string[]
      Created: string
    }
    assert.deepEqual(seen.Layers, treeDigests())
    assert.equal(seen.Created, '2024-02-03T04:05:06.789Z')
    run('skopeo', 'copy', `oci-archive:${path}:1.2`, `dir:${join(folder, 'skopeo-oci')}`)
    assert.equal(configOf('skopeo-oci'), id)
    const layout = join(folder, 'oci-layout')
    mkdirSync(layout)
    run('tar', '-xf', path, '-C', layout)
    run('umoci', 'unpack', '--image', `${layout}:1.2`, join(folder, 'oci-bundle'))
    assertTree(join(folder, 'oci-bundle', 'rootfs'))
    await using other = await openImageBench()
    const [again] = await other.images.import(path)
    assert.deepEqual([again!.id, again!.references], [id, [NAME]])
    // Its layers are plain now, so the manifest stays what it is from here on.
    const exports = createExports({ images: other.images, blobs: other.blobs, packer: createPacker(folder) })
    const { bytes } = await exports.open(NAME, 'oci', {}, NEVER)
    assert.ok(Buffer.concat(await Array.fromAsync({ [Symbol.asyncIterator]: () => bytes })).equals(readFileSync(path)))
  },
)

test(
  'a directory is taken in as it is: the layout that umoci reads, and the root that it unpacks',
  { skip },
  async () => {
    const [layout, root] = [join(folder, 'layout-again'), join(folder, 'bundle-again', 'rootfs')]
    mkdirSync(layout)
    run('tar', '-xf', await exported('oci', 'again.oci.tar'), '-C', layout)
    run('umoci', 'unpack', '--image', `${layout}:1.2`, join(folder, 'bundle-again'))
    const { id } = await bench.images.inspect(NAME)
    const ofLayout = await cli('import', '-q', layout, 'example.org/layout:1')
    assert.deepEqual([ofLayout.stdout.toString(), ofLayout.stderr, ofLayout.code], [`${id}\n`, '', 0])
    assert.equal((await cli('import', '-q', root, 'example.org/root:1')).code, 0)
    const { code, stderr } = await cli('image', 'export', '--format', 'dir', '-o', 'root-again', 'example.org/root:1')
    assert.equal(code, 0, stderr)
    assertTree(join(folder, 'root-again'))
    const locked = await cli('kit', 'import-kernel', 'site', layout)
    assert.deepEqual([locked.stderr, locked.code], [`bareboat: Cannot import "${layout}": it is a directory\n`, 2])
  },
)

test('docker: skopeo copies it, with tag and the same config, and we take it in again', { skip }, async () => {
  const path = await exported('docker')
  const { id } = await bench.images.inspect(NAME)
  run('skopeo', 'copy', `docker-archive:${path}:${NAME}`, `dir:${join(folder, 'skopeo-docker')}`)
  assert.equal(configOf('skopeo-docker'), id)
  run('skopeo', 'copy', `docker-archive:${path}`, `oci:${join(folder, 'docker-oci')}:t`)
  run('umoci', 'unpack', '--image', `${join(folder, 'docker-oci')}:t`, join(folder, 'docker-bundle'))
  assertTree(join(folder, 'docker-bundle', 'rootfs'))
  await using other = await openImageBench()
  const [again] = await other.images.import(path)
  assert.deepEqual([again!.id, again!.references], [id, [NAME]])
  const names = run('tar', '-tf', path).toString().trim().split('\n')
  assert.deepEqual(names.slice(0, 3), ['manifest.json', 'repositories', `${id.slice(7)}.json`])
  const repositories = JSON.parse(run('tar', '-xOf', path, 'repositories').toString()) as unknown
  assert.deepEqual(repositories, { 'example.org:5000/team/rich': { '1.2': treeDigests().at(-1)!.slice(7) } })
})

test('an image named by its id goes out without a name', { skip }, async () => {
  const { id } = await bench.images.inspect(NAME)
  const oci = (await cli('image', 'export', '--format', 'oci', id)).stdout
  writeFileSync(join(folder, 'nameless.tar'), oci)
  const index = JSON.parse(run('tar', '-xOf', join(folder, 'nameless.tar'), 'index.json').toString()) as {
    manifests: { annotations?: unknown }[]
  }
  assert.equal(index.manifests[0]!.annotations, undefined)
  const docker = (await cli('image', 'export', '--format', 'docker', id)).stdout
  writeFileSync(join(folder, 'nameless.tar'), docker)
  assert.match(run('tar', '-xOf', join(folder, 'nameless.tar'), 'manifest.json').toString(), /"RepoTags":null/)
})

test('squashfs: unsquashfs unpacks it to the tree, but for what the format cannot hold', { skip }, async () => {
  const path = await exported('squashfs')
  assert.match(run('unsquashfs', '-s', path).toString(), /Creation or last append time .*2024[^]*Compression zstd/)
  const directory = join(folder, 'unsquashed')
  run('unsquashfs', '-n', '-d', directory, path)
  assertTree(directory, (entry) => ({
    ...entry,
    mtime:
      entry.mtime === '' || BigInt(entry.mtime) < 0n || /^4294967295/.test(entry.mtime)
        ? ''
        : String(BigInt(entry.mtime) / 1_000_000_000n),
    xattrs: entry.path === '' ? {} : entry.xattrs,
  }))
})

test('erofs: fsck.erofs finds nothing wrong, and the kernel mounts it to the tree', { skip }, async (t) => {
  const path = await exported('erofs')
  run('fsck.erofs', path)
  const place = join(folder, 'mounted')
  mkdirSync(place)
  if (spawnSync('mount', ['-t', 'erofs', '-o', 'loop,ro', path, place]).status !== 0)
    return t.diagnostic('may not mount')
  try {
    assertTree(place)
  } finally {
    run('umount', place)
  }
})

test(
  'dir: the command line unpacks it to the tree, into nothing or an empty directory, and leaves nothing when it fails',
  { skip },
  async () => {
    const directory = await exported('dir', 'unpacked')
    assertTree(directory)
    const again = await cli('image', 'export', '--format', 'dir', '-o', 'unpacked', NAME)
    assert.equal(again.code, 5)
    assert.match(again.stderr, /Cannot unpack into ".*unpacked": it is there and not an empty directory/)
    mkdirSync(join(folder, 'empty'))
    assertTree(await exported('dir', 'empty'))
    assert.equal((await cli('image', 'export', '--format', 'dir', NAME)).code, 2)
    assert.deepEqual(
      readdirSync(folder).filter((name) => name.endsWith('.partial')),
      [],
    )
  },
)

test('a layer that is gone in the middle of an export is an error in every format, and no file', { skip }, async () => {
  await using other = await openBench()
  const { layers: stored } = await other.images.inspect(NAME)
  await other.images.tree((await other.images.inspect(NAME)).id)
  const { diffId } = stored.at(-1)!
  const blob = other.files().find((name) => name.endsWith(diffId.slice(7)))!
  const path = join(other.directory, blob)
  const whole = readFileSync(path)
  writeFileSync(path, whole.subarray(0, 1_000_000))
  const socket = join(folder, 'broken.sock')
  await using _served = await serve(other, socket)
  for (const format of exportFormatNames) {
    const terminal = fakeTerminal(undefined, { env: { BAREBOAT_HOST: `unix://${socket}` }, cwd: folder })
    const code = await runCli(['image', 'export', '--format', format, '-o', `broken.${format}`, NAME], {
      ...terminal.io,
      uid: 0,
    })
    assert.notEqual(code, 0, format)
    assert.match(terminal.stderr(), /^bareboat: Cannot /, format)
    assert.ok(!existsSync(join(folder, `broken.${format}`)), format)
  }
  assert.deepEqual(
    readdirSync(folder).filter((name) => /partial|squashfs-/.test(name)),
    [],
  )
})

test('what is removed while it is exported is exported whole, and its layers go afterwards', { skip }, async () => {
  await using other = await openBench()
  const exports = createExports({ images: other.images, blobs: other.blobs, packer: createPacker(folder) })
  const { bytes } = await exports.open(NAME, 'oci', {}, NEVER)
  await other.images.remove(NAME)
  const all = Buffer.concat(await Array.fromAsync({ [Symbol.asyncIterator]: () => bytes }))
  assert.ok(all.equals(readFileSync(await exported('oci'))))
})

/** What dpkg-query needs beside the status. */
function adminDir(): string {
  const directory = mkdtempSync(join(folder, 'dpkg-'))
  for (const name of ['info', 'updates', 'triggers']) mkdirSync(join(directory, name))
  writeFileSync(join(directory, 'status'), dpkgStatus)
  return directory
}

function treeDigests(): string[] {
  return layers.map((bytes) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`)
}

function configOf(name: string): string {
  const manifest = JSON.parse(readFileSync(join(folder, name, 'manifest.json'), 'utf8')) as {
    config: { digest: string }
  }
  return manifest.config.digest
}
