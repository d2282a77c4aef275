/** Hash trees against `veritysetup`, which made the format: over literal bytes, over layers that came in, over file systems. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, truncateSync, writeFileSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { openImageBench, type ImageBench } from '../../src/drivers/layout/image-bench.ts'
import { erofsImage } from '../../src/formats/erofs/image.ts'
import { uuidOf } from '../../src/formats/erofs/uuid.ts'
import { ExtentMapBuilder, extentsOf, type ExtentMap } from '../../src/formats/extent-map.ts'
import { parseDigest } from '../../src/formats/oci/digest.ts'
import { pax, tarOf, type TarField } from '../../src/formats/tar/tar-maker.ts'
import type { Tree } from '../../src/formats/tree/tree.ts'
import type { LeafTable } from '../../src/formats/verity/leaves.ts'
import { bytesOf, TreeWalk } from '../../src/formats/verity/sample.ts'
import { addVerity, type VerityDevice } from '../../src/formats/verity/verity.ts'
import { missingProgram } from './docker-registry.ts'
import { randomFrom } from '../fuzz/mutate.ts'

const missing = missingProgram('veritysetup')
const skip = missing !== undefined && `no ${missing} here`
const scratch = mkdtempSync(join(tmpdir(), 'bareboat-verity-'))
after(() => rmSync(scratch, { recursive: true, force: true }))
const SEED = Number(process.env['SEED'] ?? 20_261_127)

/** Whether veritysetup finds the device to be what the root hash says. */
function isVerified(device: string, { rootHash, dataBlocks }: VerityDevice): boolean {
  const { status, stderr } = spawnSync(
    'veritysetup',
    ['verify', device, device, rootHash, `--hash-offset=${dataBlocks * 4096}`],
    { encoding: 'utf8' },
  )
  assert.ok(status === 0 || /[Vv]erif|spare area/i.test(stderr), stderr)
  return status === 0
}

/** That veritysetup makes the same superblock and hashes, byte by byte, and verifies them. */
function assertAsVeritysetup(bytes: Buffer, device: VerityDevice, what: string): void {
  const [file, data, hashes] = ['device', 'data', 'hashes'].map((name) => join(scratch, name))
  writeFileSync(file!, bytes)
  assert.ok(isVerified(file!, device), what)
  const dataBytes = device.dataBlocks * 4096
  writeFileSync(data!, bytes.subarray(0, dataBytes))
  writeFileSync(hashes!, '')
  truncateSync(hashes!, bytes.length - dataBytes)
  const uuid = bytes
    .toString('hex', dataBytes + 16, dataBytes + 32)
    .replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
  const made = spawnSync('veritysetup', ['format', data!, hashes!, '--salt=-', `--uuid=${uuid}`], { encoding: 'utf8' })
  assert.equal(made.status, 0, made.stderr)
  assert.equal(/^Root hash:\s+(\w+)$/m.exec(made.stdout)?.[1], device.rootHash, what)
  assert.ok(readFileSync(hashes!).equals(bytes.subarray(dataBytes)), `${what}: other hashes`)
}

test(
  'literal bytes, at sizes around the edges of levels: the same as veritysetup, byte by byte',
  { skip },
  async () => {
    for (const blocks of [1, 2, 127, 128, 129, 16_384, 16_385, 16_513]) {
      const builder = new ExtentMapBuilder()
      // All zeros in long stretches, pieces that begin and end anywhere.
      for (let block = 0; block < blocks; block += block < 200 ? 1 : 611)
        builder.literal(block * 4096 + (block % 9), Buffer.from(`block ${block} `.repeat(1 + ((block * 37) % 300))))
      const image = builder.done(blocks * 4096)
      const device = await addVerity(image, noLeaves, () => assert.fail('nothing is to be read'))
      assertAsVeritysetup(bytesOf(device.map, new Map()), device, `${blocks} blocks`)
    }
  },
)

function noLeaves(blob: string): never {
  assert.fail(`leaves of ${blob}`)
}

/** A layer of files of all lengths around the size of a block, a sparse one with holes at odd places, and a big one. */
function layer(seed: number): TarField[] {
  const data = (length: number) => {
    const bytes = Buffer.alloc(length)
    for (let at = 0; at < length; at += 32) createHash('sha256').update(`${seed} ${at}`).digest().copy(bytes, at)
    return bytes
  }
  const sparse = [0, 512, 4096, 4096, 10_240, 5000, 40_960, 100, 45_056, 4096, 200_000, 77]
  const packed = sparse.filter((_, at) => at % 2 === 1).reduce((sum, length) => sum + length, 0)
  return [
    ...[0, 1, 511, 512, 4095, 4096, 4097, 8192, 100_000].map((length) => ({
      name: `file-${seed}-${length}`,
      data: data(length),
    })),
    pax({ 'GNU.sparse.size': '300000', 'GNU.sparse.numblocks': '6', 'GNU.sparse.map': sparse.join(',') }),
    { name: `sparse-${seed}`, data: data(packed) },
    { name: `link-${seed}`, type: '1', link: `file-${seed}-4097` },
    { name: `big-${seed}`, data: data(3_000_000) },
  ]
}

async function ingest(bench: ImageBench, ...layers: Buffer[]): Promise<Tree> {
  const file = join(scratch, 'layers.tar.gz')
  writeFileSync(file, gzipSync(Buffer.concat(layers), { level: 1 }))
  const [image] = await bench.images.import(file)
  return bench.images.tree(image!.id)
}

/** As a file system without compression lays it out: metadata in the first blocks, each file's data from a block on. */
function shaped(tree: Tree, metadataBlocks: number, first = 0): ExtentMap {
  const builder = new ExtentMapBuilder()
  for (let block = 0; block < metadataBlocks; block += 1)
    builder.literal(block * 4096 + first, Buffer.from(`metadata ${block} `.repeat(100)))
  let at = metadataBlocks * 4096
  for (const { size, blob, data } of tree.entries()) {
    for (const run of data) builder.blob(at + run.at + first, blob, run.offset, run.length)
    at += Math.ceil((size + first) / 4096) * 4096
  }
  return builder.done(at + 4096)
}

async function deviceOf(
  bench: ImageBench,
  image: ExtentMap,
): Promise<{ device: VerityDevice; bytes: Buffer; blocksRead: number }> {
  const tables = new Map<string, LeafTable>()
  for (const blob of image.blobs) tables.set(blob, await bench.blobs.leaves(parseDigest(blob)))
  const read = async (map: ExtentMap, from: number, to: number) => {
    const parts: Uint8Array[] = []
    for await (const part of bench.blobs.readExtents([...extentsOf(map, from, to)], 0, to - from)) parts.push(part)
    return Buffer.concat(parts)
  }
  let blocksRead = 0
  const device = await addVerity(
    image,
    (blob) => tables.get(blob)!,
    (from, to) => {
      blocksRead += (to - from) / 4096
      return read(image, from, to)
    },
  )
  return { device, bytes: await read(device.map, 0, device.map.sizeBytes), blocksRead }
}

test('a layer that came in, its files on blocks and off them: the same as veritysetup', { skip }, async () => {
  await using bench = await openImageBench()
  const tree = await ingest(bench, tarOf(...layer(1), ...layer(2)))
  for (const [name, image] of [
    ['files on blocks', shaped(tree, 3)],
    ['files off blocks', shaped(tree, 3, 700)],
  ] as const) {
    const { device, bytes } = await deviceOf(bench, image)
    assertAsVeritysetup(bytes, device, name)
  }
})

test(
  'EROFS images: the same as veritysetup, and nothing but sparse files at odd places is read',
  { skip },
  async () => {
    await using bench = await openImageBench()
    const fields = layer(4)
    const dense = fields.filter(({ name }) => !/^(?:sparse|PaxHeader)/.test(name!))
    for (const [name, layers, most] of [
      ['no sparse file', dense, 0],
      ['a sparse file', fields, 10],
    ] as const) {
      const tree = await ingest(bench, tarOf(...layers))
      const image = erofsImage(tree, { uuid: uuidOf([name]) })
      const { device, bytes, blocksRead } = await deviceOf(bench, image)
      assertAsVeritysetup(bytes, device, name)
      assert.ok(blocksRead <= most, `${name}: ${blocksRead} blocks read`)
    }
  },
)

test(`1,000 bits of a device flipped, one at a time, seed ${SEED}: 1,000 found`, { skip }, async () => {
  await using bench = await openImageBench()
  const { device, bytes } = await deviceOf(bench, shaped(await ingest(bench, tarOf(...layer(3))), 3))
  const walk = new TreeWalk(bytes, device)
  for (let block = 0; block < device.dataBlocks; block += 1) assert.ok(walk.isGood(block), `block ${block}`)
  const file = join(scratch, 'flipped')
  writeFileSync(file, bytes)
  assert.ok(isVerified(file, device))
  const open = openSync(file, 'r+')
  const random = randomFrom(SEED)
  const superblock = device.dataBlocks
  let found = 0
  for (let flip = 0; flip < 1000;) {
    // One in three in the hashes, which are few.
    const from = flip % 3 === 0 ? device.hashStartBlock : 0
    const at = Math.floor((from + random() * (bytes.length / 4096 - from)) * 4096)
    if (Math.floor(at / 4096) === superblock) continue
    flip += 1
    const mask = 1 << Math.floor(random() * 8)
    bytes[at]! ^= mask
    const isFound = !walk.isGood(walk.dataUnder(Math.floor(at / 4096))!)
    if (isFound) found += 1
    // Our walk against theirs, now and then.
    if (flip % 40 === 0) {
      writeSync(open, bytes, at, 1, at)
      assert.equal(isVerified(file, device), false, `byte ${at}`)
    }
    bytes[at]! ^= mask
    if (flip % 40 === 0) writeSync(open, bytes, at, 1, at)
  }
  closeSync(open)
  assert.equal(found, 1000)
  assert.ok(isVerified(file, device))
})
