/**
 * Commits judged by umoci: an image is unpacked, the kernel puts an overlay over it, a workload changes it, and both ways of
 * committing (the upper directory, and the whole root against the image) must give an image that umoci unpacks to what was there.
 */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { createReadStream, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { AppError } from '../../src/base/errors.ts'
import { createPacker } from '../../src/drivers/export/packer.ts'
import { openImageBench, type ImageBench } from '../../src/drivers/layout/image-bench.ts'
import { removeTree, unpackTree } from '../../src/drivers/unpack/directory.ts'
import { tarOf } from '../../src/formats/tar/tar-maker.ts'
import { createExports } from '../../src/services/images/export/exports.ts'
import { layoutFiles, makeImage, writeLayout } from '../../src/services/images/layout-maker.ts'
import { assertEqual, listFolder, parseListing, richLayers, withoutTouched, type Listed } from './listing.ts'
import { randomLayers } from './random-layers.ts'

const folder = mkdtempSync(join(tmpdir(), 'bareboat-commit-'))
after(() => removeTree(folder))

const missing = ['tar', 'umoci', 'python3', 'unshare'].filter(
  (name) => spawnSync('sh', ['-c', `command -v ${name}`]).status !== 0,
)
const mounts = spawnSync('unshare', [
  '-m',
  'sh',
  '-c',
  'd=$(mktemp -d) && mkdir $d/l $d/u $d/w $d/m && mount -t overlay o -o lowerdir=$d/l,upperdir=$d/u,workdir=$d/w $d/m && umount $d/m && rm -r $d',
])
const skip =
  missing.length > 0 ? `not installed: ${missing.join(', ')}` : mounts.status !== 0 && 'no overlay mounts here'

const NEVER = new AbortController().signal
const WORDS = { createdBy: '/bin/sh', ran: {}, changes: [] }

/** What the guest's agent does: see guest/agent/upper-out and root-out. */
const SCRIPT = `
cd "$1" && mkdir upper work merged && chmod --reference=lower upper && chown --reference=lower upper && touch -r lower upper
mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work,redirect_dir=off,metacopy=off,xino=on merged || exit 9
python3 "$2/mutate-root.py" merged "$3" || exit 8
python3 "$2/list-tree.py" merged >listing || exit 7
options="--numeric-owner --sparse --xattrs --xattrs-include=*"
tar -c -f upper.tar -C upper $options . || exit 6
tar -c -f root.tar -C merged --one-file-system $options . || exit 5
`

interface Changed {
  readonly want: Listed[]
  readonly place: string
}

/** An image unpacked, and what a workload made of it. */
async function changed(bench: ImageBench, reference: string, what: string): Promise<Changed> {
  const place = mkdtempSync(join(folder, 'place-'))
  const tree = await bench.images.tree(await bench.images.resolve(reference))
  await unpackTree(tree, join(place, 'lower'), { blobs: bench.blobs, signal: NEVER, isDurable: false })
  const { status, stderr } = spawnSync('unshare', ['-m', 'sh', '-c', SCRIPT, 'sh', place, import.meta.dirname, what])
  assert.equal(status, 0, stderr.toString())
  return { want: parseListing(readFileSync(join(place, 'listing'), 'utf8')), place }
}

async function load(bench: ImageBench, layers: readonly Buffer[], reference: string): Promise<void> {
  const layout = mkdtempSync(join(folder, 'layout-'))
  const config = { created: '2024-02-03T04:05:06Z', config: { Cmd: ['/bin/sh'], Env: ['A=b'] } }
  writeLayout(layout, layoutFiles([{ image: makeImage({ layers: layers.map((plain) => ({ plain })), config }) }]))
  await bench.images.import(layout, { reference })
}

async function commit(bench: ImageBench, base: string, { place }: Changed, kind: 'upper' | 'root', reference: string) {
  return bench.images.commit({
    ...WORDS,
    name: 'container "c"',
    base: await bench.images.inspect(base),
    kind,
    open: () => createReadStream(join(place, `${kind}.tar`)),
    reference,
  })
}

async function byUmoci(bench: ImageBench, reference: string): Promise<Listed[]> {
  const exports = createExports({ images: bench.images, blobs: bench.blobs, packer: createPacker(folder) })
  const layout = mkdtempSync(join(folder, 'umoci-'))
  const { bytes } = await exports.open(reference, 'oci', {}, NEVER)
  const parts = await Array.fromAsync({ [Symbol.asyncIterator]: () => bytes })
  execFileSync('tar', ['-x', '-C', layout], { input: Buffer.concat(parts) })
  execFileSync('umoci', ['unpack', '--image', `${layout}:latest`, join(layout, 'bundle')], { stdio: 'ignore' })
  return listFolder(join(layout, 'bundle', 'rootfs'))
}

/** Sockets are in no archive; the kernel counts names of lower files that the overlay no longer shows. */
function comparable(list: readonly Listed[]): Listed[] {
  return list.filter(({ kind }) => kind !== 'socket').map((entry) => ({ ...entry, linkCount: 0 }))
}

async function judge(bench: ImageBench, base: string, what: string, message: string): Promise<void> {
  const started = BigInt(Date.now()) * 1_000_000n
  const container = await changed(bench, base, what)
  for (const kind of ['upper', 'root'] as const) {
    const reference = `committed-${kind}`
    await commit(bench, base, container, kind, reference)
    const got = await byUmoci(bench, reference)
    const want = comparable(container.want)
    const tidy = (list: Listed[]) => (kind === 'root' ? list.filter(({ path }) => !isOfMounts(path)) : list)
    assertEqual(tidy(comparable(withoutTouched(got, container.want, started))), tidy(want), `${message}, ${kind}`)
  }
  await removeTree(container.place)
}

/** What a commit of a whole root leaves as the image has it. */
function isOfMounts(path: string): boolean {
  return /^(?:dev|proc|sys)(?:\/|$)/.test(path)
}

test(
  'what a workload changes in the rich image is committed, from the upper layer and from the whole root',
  { skip },
  async () => {
    await using bench = await openImageBench()
    await load(bench, richLayers(folder), 'rich')
    await judge(bench, 'rich', 'script', 'script')
    const [upper, root] = await Promise.all([
      bench.images.inspect('committed-upper'),
      bench.images.inspect('committed-root'),
    ])
    // The changes alone, holes not counted.
    assert.ok(upper.layers.at(-1)!.sizeBytes < 100_000 && root.layers.at(-1)!.sizeBytes < 100_000)
  },
)

test('8 random workloads on random images are committed', { skip }, async (t) => {
  const seed = Number(process.env['SEED'] ?? 20_261_126)
  t.diagnostic(`SEED=${seed}`)
  for (let round = 0; round < 8; round += 1) {
    await using bench = await openImageBench()
    await load(
      bench,
      randomLayers(seed + round).map((fields) => tarOf(...fields)),
      'random',
    )
    await judge(bench, 'random', String(seed + round), `SEED=${seed + round}`)
  }
})

test('a workload that changes nothing gives an empty layer', { skip }, async () => {
  await using bench = await openImageBench()
  await load(
    bench,
    [tarOf({ name: './', type: '5', mode: '0000755' }, { name: 'a', data: 'a' }, { name: 'b', type: '1', link: 'a' })],
    'plain',
  )
  const tree = await bench.images.tree(await bench.images.resolve('plain'))
  const place = mkdtempSync(join(folder, 'place-'))
  await unpackTree(tree, join(place, 'lower'), { blobs: bench.blobs, signal: NEVER, isDurable: false })
  mkdirSync(join(place, 'lower', 'proc'))
  mkdirSync(join(place, 'lower', 'etc'))
  writeFileSync(join(place, 'lower', 'etc', 'hostname'), 'c')
  execFileSync('touch', ['-d', '@0', join(place, 'lower', 'etc'), join(place, 'lower')])
  execFileSync('tar', ['-cf', join(place, 'root.tar'), '-C', join(place, 'lower'), '--exclude=./etc', '.'])
  const record = await commit(bench, 'plain', { want: [], place }, 'root', 'same')
  assert.equal(record.layers.at(-1)!.sizeBytes, 1024)
})

test('a commit that fails or is interrupted leaves nothing, and the name where it was', { skip }, async () => {
  await using bench = await openImageBench()
  await load(bench, [tarOf({ name: 'a', data: 'a' })], 'plain')
  await bench.images.tag('plain', 'taken')
  const before = bench.files()
  const base = await bench.images.inspect('plain')
  const attempt = (open: (signal: AbortSignal) => AsyncIterable<Uint8Array>, signal = NEVER) =>
    bench.images.commit(
      { ...WORDS, name: 'container "c"', base, kind: 'upper', open, reference: 'taken' },
      () => {},
      signal,
    )
  const whole = tarOf({ name: 'b', data: Buffer.alloc(2_000_000) })
  await assert.rejects(
    attempt(async function* () {
      yield whole.subarray(0, 1_000_000)
      throw new AppError('unreachable', 'Cannot copy: the connection to the machine was lost')
    }),
    /connection to the machine was lost/,
  )
  await assert.rejects(
    attempt(async function* () {
      yield whole.subarray(0, 1_000_000)
    }),
    (error: AppError) => error.code === 'invalid',
  )
  const stop = new AbortController()
  await assert.rejects(
    attempt(async function* () {
      yield whole.subarray(0, 1_000_000)
      stop.abort()
      yield whole.subarray(1_000_000)
    }, stop.signal),
    (error: AppError) => error.code === 'interrupted',
  )
  await assert.rejects(
    attempt(async function* () {
      yield tarOf({ name: 'sub/.wh.kept', data: 'x' })
    }),
    /Cannot put "sub\/.wh.kept" into a layer/,
  )
  assert.deepEqual(bench.files(), before)
  assert.equal((await bench.images.inspect('taken')).id, base.id)
})

test(
  'kill -9 in the middle of a commit: the name where it was, and nothing that stays for ever',
  { skip },
  async () => {
    const upper = join(folder, 'killed.tar')
    writeFileSync(upper, tarOf({ name: 'b', data: Buffer.alloc(3_000_000, 'b') }))
    const once = (directory: string, step: number) =>
      spawnSync(process.execPath, [join(import.meta.dirname, 'commit-once.ts'), directory, upper, String(step)])
    let steps = 1
    for (let step = -1; step < steps; step += 1) {
      const directory = mkdtempSync(join(folder, 'killed-'))
      let base: string
      {
        await using bench = await openImageBench({ directory })
        await load(bench, [tarOf({ name: 'a', data: 'a' })], 'plain')
        await load(bench, [tarOf({ name: 'z', data: 'z' })], 'other')
        await bench.images.tag('plain', 'taken')
        base = await bench.images.resolve('plain')
      }
      const { signal, stdout, stderr } = once(directory, step)
      if (step === -1) steps = Number(stdout.toString())
      assert.equal(signal, step === -1 ? null : 'SIGKILL', stderr.toString())
      assert.ok(steps > 3)
      await using bench = await openImageBench({ directory })
      const { id, layers } = await bench.images.inspect('taken')
      // All or nothing; what is there is whole.
      if (id !== base)
        for await (const _ of bench.blobs.readExtents(
          [{ kind: 'blob', blob: layers[1]!.diffId, offset: 0, length: layers[1]!.sizeBytes }],
          0,
          layers[1]!.sizeBytes,
        ));
      assert.equal(layers.length, id === base ? 1 : 2)
      await bench.images.remove('other')
      const referenced = new Set(
        (await bench.images.list()).flatMap((image) => image.layers.map(({ diffId }) => diffId)),
      )
      assert.deepEqual(new Set(await bench.blobs.list()), referenced, `killed at step ${step}`)
    }
  },
)
