import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ExtentMapBuilder, parseExtentRows, serializeExtentRows, type ExtentMap } from '../extent-map.ts'
import { levelBlocks } from './levels.ts'
import { bytesOf, leavesOf, TreeWalk } from './sample.ts'
import { parseVeritySuperblock } from './superblock.ts'
import { addVerity, type VerityDevice } from './verity.ts'

const A = `sha256:${'a'.repeat(64)}`
const B = `sha256:${'b'.repeat(64)}`
const layerA = Buffer.from(Uint8Array.from({ length: 60_000 }, (_, at) => (at * 104_729) >> 7))
const layerB = Buffer.from(Uint8Array.from({ length: 9000 }, (_, at) => (at * 31) >> 2))
const blobs = new Map([
  [A, layerA],
  [B, layerB],
])
const tables = new Map([
  [
    A,
    leavesOf(layerA, [
      [512, 5000],
      [6144, 20_000],
      [26_624, 8192],
      [40_960, 10],
    ]),
  ],
  [B, leavesOf(layerB, [[512, 8000]])],
])

function tableOf(blob: string) {
  return tables.get(blob)!
}

/** The device, and which blocks were read for it. */
async function made(image: ExtentMap): Promise<VerityDevice & { read: string[] }> {
  const read: string[] = []
  const device = await addVerity(image, tableOf, (from, to) => {
    read.push(`${from / 4096}-${to / 4096}`)
    return Promise.resolve(bytesOf(image, blobs, from, to))
  })
  return { ...device, read }
}

function assertGood(device: VerityDevice, image: ExtentMap): void {
  const bytes = bytesOf(device.map, blobs)
  assert.deepEqual(bytes.subarray(0, image.sizeBytes), bytesOf(image, blobs))
  const walk = new TreeWalk(bytes, device)
  for (let block = 0; block < device.dataBlocks; block += block < 600 ? 1 : 97)
    assert.ok(walk.isGood(block), `block ${block}`)
  assert.ok(walk.isGood(device.dataBlocks - 1))
  const { dataBlocks, uuid } = parseVeritySuperblock(bytes.subarray(image.sizeBytes))
  assert.equal(dataBlocks, device.dataBlocks)
  assert.equal(uuid[6]! >> 4, 8)
  parseExtentRows(serializeExtentRows(device.map))
}

const cases: { name: string; image: ExtentMap; read: string[] }[] = [
  {
    name: 'whole runs, from their leaves',
    image: new ExtentMapBuilder()
      .literal(0, layerB.subarray(0, 5000))
      .blob(8192, A, 512, 5000)
      .blob(16_384, A, 6144, 20_000)
      .blob(36_864, B, 512, 8000)
      .blob(45_056, A, 40_960, 10)
      .done(49_152),
    read: [],
  },
  {
    name: 'literals in pieces, with zeros between them',
    image: new ExtentMapBuilder()
      .literal(10, Buffer.from('one'))
      .literal(100, Buffer.from('two'))
      .literal(4090, Buffer.from('over the edge'))
      .literal(20_000, Buffer.from('far'))
      .done(40_960),
    read: [],
  },
  {
    name: 'a run from one of its blocks on, and up to one: known',
    image: new ExtentMapBuilder()
      .blob(0, A, 6144 + 4096, 15_904)
      .blob(16_384, A, 6144, 8192)
      .done(24_576),
    read: [],
  },
  {
    name: 'a run that is cut within a block: its last block is read',
    image: new ExtentMapBuilder().blob(0, A, 6144, 10_000).blob(16_384, A, 512, 100).done(20_480),
    read: ['2-3', '4-5'],
  },
  {
    name: 'rows that do not begin on a block',
    image: new ExtentMapBuilder().blob(512, A, 6144, 20_000).blob(40_960, A, 6145, 19_999).done(65_536),
    read: ['0-6', '10-15'],
  },
  {
    name: 'a row that goes beyond its run, and one that belongs to none',
    image: new ExtentMapBuilder().blob(0, A, 26_624, 8193).blob(12_288, A, 50_000, 4096).done(16_384),
    read: ['0-4'],
  },
  {
    name: 'blocks that rows share',
    image: new ExtentMapBuilder()
      .blob(0, A, 512, 5000)
      .literal(5000, Buffer.from('behind it'))
      .blob(6000, B, 512, 100)
      .literal(8000, Buffer.from('over'.repeat(100)))
      .blob(12_288, A, 6144, 20_000)
      .literal(32_700, Buffer.from('tail'))
      .done(36_864),
    read: ['1-2', '7-8'],
  },
]
for (const { name, image, read } of cases)
  test(`addVerity: ${name}`, async () => {
    const device = await made(image)
    assertGood(device, image)
    assert.deepEqual(device.read, read)
  })

test('addVerity: all sizes around the edges of levels, dense and sparse', async () => {
  for (const blocks of [1, 2, 127, 128, 129, 255, 256, 16_383, 16_384, 16_385, 16_512, 16_513])
    for (const step of blocks < 1000 ? [1, 50, blocks] : [700, 5000, blocks]) {
      const builder = new ExtentMapBuilder()
      for (let block = step === blocks ? blocks - 1 : 0; block < blocks; block += step)
        builder.literal(block * 4096, Buffer.from(`block ${block}`))
      const image = builder.done(blocks * 4096)
      assertGood(await made(image), image)
    }
})

test('addVerity: zeros alone', async () => {
  for (const blocks of [1, 128, 40_000]) {
    const image = new ExtentMapBuilder().done(blocks * 4096)
    assertGood(await made(image), image)
  }
})

test('addVerity: the same image has the same bytes and the same root hash, another one has not', async () => {
  const image = (text: string) => new ExtentMapBuilder().literal(0, Buffer.from(text)).done(4096 * 200)
  const [first, again, other] = [await made(image('a')), await made(image('a')), await made(image('b'))]
  assert.deepEqual(first, again)
  assert.notEqual(first.rootHash, other.rootHash)
  assert.deepEqual([first.dataBlocks, first.hashStartBlock, first.map.sizeBytes], [200, 201, 4096 * (200 + 1 + 1 + 2)])
})

test('addVerity: 16 TiB of which nearly all is zero take little', async () => {
  const sizeBytes = 16 * 1024 ** 4
  const image = new ExtentMapBuilder()
    .literal(0, Buffer.from('begin'))
    .literal(sizeBytes - 4096, Buffer.from('end'))
    .done(sizeBytes)
  const { map, dataBlocks } = await made(image)
  const hashBlocks = levelBlocks(dataBlocks).reduce((sum, blocks) => sum + blocks, 0)
  assert.equal(map.sizeBytes, sizeBytes + 4096 * (1 + hashBlocks))
  assert.ok(map.literalBytes < 8 << 20, `${map.literalBytes} literal bytes`)
  assert.ok(map.starts.length < 200_000, `${map.starts.length} rows`)
})

test('addVerity: hashes beyond 1 GiB are refused, however little made them', async () => {
  const builder = new ExtentMapBuilder()
  for (let run = 0; run < 300_000; run += 1) builder.blob(run * 128 * 4096, A, 512, 1)
  const image = builder.done(300_000 * 128 * 4096)
  await assert.rejects(made(image), { name: 'AppError', code: 'unsupported', message: /more than 1 GiB/ })
})
