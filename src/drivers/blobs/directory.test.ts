import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { AppError } from '../../base/errors.ts'
import { quietLog } from '../../base/log.ts'
import type { Extent } from '../../formats/extents.ts'
import { parseDigest } from '../../formats/oci/digest.ts'
import { createTarIndexer } from '../../formats/tar/indexer.ts'
import { tarOf } from '../../formats/tar/tar-maker.ts'
import { leafFileOf, leavesOf } from '../../formats/verity/sample.ts'
import { sha256 } from '../../services/images/layout-maker.ts'
import type { LayerSource } from '../../services/images/ports.ts'
import { decompress, DECOMPRESSION_LIMITS, sniff } from './decompress.ts'
import { openBlobDirectory, type BlobDirectoryConfig } from './directory.ts'

const never = new AbortController().signal
const plain = tarOf(
  { name: 'random', data: randomBytes(3_000_000) },
  ...Array.from({ length: 200 }, (_, at) => ({ name: `file-${at}`, data: `text ${at}\n`.repeat(at) })),
)
const diffId = parseDigest(sha256(plain))

async function withStore<T>(
  use: (
    open: (config?: Partial<BlobDirectoryConfig>) => ReturnType<typeof openBlobDirectory>,
    path: string,
  ) => Promise<T>,
) {
  const path = mkdtempSync(join(tmpdir(), 'bareboat-blobs-'))
  try {
    return await use(
      (config = {}) => openBlobDirectory({ log: quietLog, now: Date.now, path, threads: 1, ...config }),
      path,
    )
  } finally {
    rmSync(path, { recursive: true })
  }
}

/** A source of bytes that notes from where it was asked; fails after `failAt` bytes, once. */
function sourceOf(bytes: Uint8Array, more: Partial<LayerSource> = {}, failAt = Infinity) {
  const asked: number[] = []
  let isBroken = failAt < Infinity
  const source: LayerSource = {
    name: 'layer x',
    digest: parseDigest(sha256(bytes)),
    sizeBytes: bytes.length,
    diffId,
    isResumable: true,
    async *open(offset) {
      asked.push(offset)
      for (let at = offset; at < bytes.length; at += 10_000) {
        if (isBroken && at >= failAt) {
          isBroken = false
          throw new AppError('unreachable', 'the line is cut')
        }
        yield bytes.subarray(at, at + 10_000)
      }
    },
    ...more,
  }
  return { source, asked }
}

async function collect(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for await (const part of stream) parts.push(part)
  return Buffer.concat(parts)
}

async function* pieces(bytes: Uint8Array, size: number) {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

const program = (name: string, ...args: string[]) => {
  const made = spawnSync(name, args, { input: plain, maxBuffer: 1 << 26 })
  return made.status === 0 ? made.stdout : undefined
}
const packed: [string, string, Uint8Array | undefined][] = [
  ['gzip', 'gzip', gzipSync(plain)],
  ['gzip', 'gzip in two members', Buffer.concat([gzipSync(plain.subarray(0, 1000)), gzipSync(plain.subarray(1000))])],
  ['zstd', 'zstd', zstdCompressSync(plain)],
  [
    'zstd',
    'zstd in two frames, one skippable between',
    Buffer.concat([
      zstdCompressSync(plain.subarray(0, 1000)),
      Buffer.from('502a4d1802000000abcd', 'hex'),
      zstdCompressSync(plain.subarray(1000)),
    ]),
  ],
  ['xz', 'xz', program('xz', '-0', '-c')],
  ['lz4', 'lz4', program('lz4', '-c')],
  ['none', 'nothing', plain],
]
for (const [kind, name, bytes] of packed)
  test(`decompress: ${name}`, { skip: bytes === undefined && `no ${kind} program` }, async () => {
    assert.equal(sniff(bytes!), kind)
    for (const size of [1 << 20, 4097])
      assert.ok((await collect(decompress(pieces(bytes!, size), 'x', DECOMPRESSION_LIMITS))).equals(plain))
    if (kind === 'none') return
    const cut = decompress(pieces(bytes!.subarray(0, -20), 1 << 20), 'x', DECOMPRESSION_LIMITS)
    await assert.rejects(
      collect(cut),
      (error: AppError) => error.code === 'invalid' && /cut short|damaged/.test(error.message),
    )
  })

test('decompress: xz without the program', async (t) => {
  const bytes = program('xz', '-0', '-c')
  if (bytes === undefined) return t.skip('no xz program to make the sample')
  const path = process.env['PATH']
  process.env['PATH'] = '/nonexistent'
  try {
    assert.ok((await collect(decompress(pieces(bytes, 65_536), 'x', DECOMPRESSION_LIMITS))).equals(plain))
  } finally {
    process.env['PATH'] = path
  }
})

test('decompress: a failure of the source is told as it is', async () => {
  const failure = new AppError('unreachable', 'the line is cut')
  for (const bytes of [gzipSync(plain), program('xz', '-0', '-c'), program('lz4', '-c')]) {
    if (bytes === undefined) continue
    const failing = async function* () {
      yield bytes.subarray(0, 100_000)
      throw failure
    }
    await assert.rejects(collect(decompress(failing(), 'x', DECOMPRESSION_LIMITS)), (error) => error === failure)
  }
})

test('a layer is there with its index, and after a restart, and then is not', () =>
  withStore(async (open) => {
    {
      await using store = await open()
      assert.equal(await store.has(diffId), false)
      const stored = await store.ingest(sourceOf(gzipSync(plain)).source, () => {}, never)
      assert.deepEqual([stored.diffId, stored.sizeBytes], [diffId, plain.length])
    }
    await using store = await open()
    assert.deepEqual(await store.list(), [diffId])
    assert.equal((await store.index(diffId)).entries.length, 201)
    await using blob = await store.open(diffId)
    assert.ok((await collect(blob.stream(1000, plain.length))).equals(plain.subarray(1000)))
    assert.ok(Buffer.from(await blob.read(5, 100)).equals(plain.subarray(5, 105)))
    await store.remove(diffId)
    assert.deepEqual([await store.list(), await store.has(diffId)], [[], false])
    await assert.rejects(store.open(diffId), (error: AppError) => error.code === 'not_found')
    await assert.rejects(store.index(diffId), (error: AppError) => error.code === 'not_found')
  }))

/** What the leaves of `plain` must be. */
const leaves = (() => {
  const runs: [number, number][] = []
  const indexer = createTarIndexer({}, (offset, length) => runs.push([offset, length]))
  indexer.push(plain)
  return leavesOf(plain, runs)
})()

test('a layer comes in with the leaves of its files', () =>
  withStore(async (open, path) => {
    const file = `${join(path, 'blobs/sha256', diffId.slice(7, 9), diffId.slice(7))}.leaves`
    {
      await using store = await open()
      await store.ingest(sourceOf(gzipSync(plain)).source, () => {}, never)
      assert.equal(leaves.offsets.length, 200)
      assert.deepEqual(await store.leaves(diffId), leaves)
    }
    await using store = await open()
    assert.deepEqual(await store.leaves(diffId), leaves)
    await store.remove(diffId)
    assert.equal(existsSync(file), false)
    await assert.rejects(store.leaves(diffId), (error: AppError) => error.code === 'not_found')
    writeFileSync(file, 'of no layer')
    await (await open())[Symbol.asyncDispose]()
    assert.equal(existsSync(file), false)
  }))

test('leaves that are lost or damaged are made again, once for all who ask, and not of a damaged layer', () =>
  withStore(async (open, path) => {
    await using store = await open()
    await store.ingest(sourceOf(plain).source, () => {}, never)
    const blob = join(path, 'blobs/sha256', diffId.slice(7, 9), diffId.slice(7))
    const file = `${blob}.leaves`
    const whole = readFileSync(file)
    const damages = [
      () => rmSync(file),
      () => truncateSync(file, 100),
      () => writeFileSync(file, Buffer.concat([whole, Buffer.alloc(1)])),
      () => writeFileSync(file, leafFileOf(Buffer.alloc(1024), [])),
    ]
    for (const damage of damages) {
      damage()
      const tables = await Promise.all([store.leaves(diffId), store.leaves(diffId)])
      assert.equal(tables[0], tables[1])
      assert.deepEqual(tables[0], leaves)
      assert.ok(readFileSync(file).equals(whole))
    }
    assert.deepEqual(readdirSync(join(path, 'incoming')), [])
    rmSync(file)
    const rotten = Buffer.from(plain)
    rotten[1_000_000]! ^= 1
    writeFileSync(blob, rotten)
    await assert.rejects(store.leaves(diffId), (error: AppError) => {
      return error.code === 'internal' && /it is damaged; remove the image and pull it again/.test(error.message)
    })
    assert.deepEqual([existsSync(file), readdirSync(join(path, 'incoming'))], [false, []])
  }))

test('a stored layer is plain, whatever its first bytes look like', () =>
  withStore(async (open, path) => {
    await using store = await open()
    const odd = tarOf({ name: '\x1f\x8b', data: 'x'.repeat(5000) })
    const diffId = parseDigest(sha256(odd))
    await store.ingest(sourceOf(gzipSync(odd), { diffId }).source, () => {}, never)
    rmSync(`${join(path, 'blobs/sha256', diffId.slice(7, 9), diffId.slice(7))}.leaves`)
    assert.deepEqual(await store.leaves(diffId), leavesOf(odd, [[512, 5000]]))
  }))

test('what arrived before a failure is not asked for again', () =>
  withStore(async (open) => {
    const bytes = gzipSync(plain)
    const { source, asked } = sourceOf(bytes, {}, 2_000_000)
    {
      await using store = await open()
      await assert.rejects(
        store.ingest(source, () => {}, never),
        /the line is cut/,
      )
      assert.equal(await store.has(diffId), false)
    }
    await using store = await open()
    await store.ingest(source, () => {}, never)
    assert.equal(asked.length, 2)
    assert.ok(asked[1]! > 1_000_000 && asked[1]! <= 2_000_000, String(asked))
  }))

test('a kept part that was damaged is fetched anew; bad bytes are not kept', () =>
  withStore(async (open, path) => {
    const bytes = gzipSync(plain)
    const { source, asked } = sourceOf(bytes)
    await using store = await open()
    writeFileSync(join(path, 'incoming', `${source.digest!.replace(':', '-')}.part`), randomBytes(50_000))
    await store.ingest(source, () => {}, never)
    assert.deepEqual(asked, [50_000, 0])
    await store.remove(diffId)

    const wrong = sourceOf(bytes, { digest: parseDigest(sha256(Buffer.from('x'))) })
    await assert.rejects(
      store.ingest(wrong.source, () => {}, never),
      /its digest is/,
    )
    assert.deepEqual(wrong.asked, [0])
    assert.deepEqual(readdirSync(join(path, 'incoming')), [])
  }))

test('parts are kept within bounds, other leftovers not at all', () =>
  withStore(async (open, path) => {
    await (await open())[Symbol.asyncDispose]()
    const part = (digit: string) => join(path, 'incoming', `sha256-${digit.repeat(64)}.part`)
    for (const [at, digit] of ['a', 'b', 'c'].entries()) {
      writeFileSync(part(digit), Buffer.alloc(1000))
      utimesSync(part(digit), new Date(), new Date(Date.now() - at * 60_000))
    }
    utimesSync(part('b'), new Date(), new Date(0))
    writeFileSync(join(path, 'incoming', 'x.tmp'), 'x')
    writeFileSync(join(path, 'blobs/sha256/.keep'), '')
    rmSync(join(path, 'blobs/sha256/.keep'))
    await using store = await open({ incomingBytes: 1500 })
    assert.deepEqual(readdirSync(join(path, 'incoming')), [`sha256-${'a'.repeat(64)}.part`])
    assert.deepEqual(await store.list(), [])
  }))

test('a blob or index that was damaged is told, not served', () =>
  withStore(async (open, path) => {
    await using store = await open()
    await store.ingest(sourceOf(plain).source, () => {}, never)
    const hex = diffId.slice(7)
    const file = join(path, 'blobs/sha256', hex.slice(0, 2), hex)
    const extents: Extent[] = [{ kind: 'blob', blob: diffId, offset: 0, length: plain.length }]
    truncateSync(file, 1_000_000)
    await assert.rejects(
      collect(store.readExtents(extents, 0, plain.length)),
      (error: AppError) => error.code === 'internal',
    )
    await assert.rejects(store.index(diffId), /Cannot read layer sha256:\w+: it is damaged, its digest is sha256:/)
    assert.equal(await store.has(diffId), false)
    truncateSync(`${file}.index`, statSync(`${file}.index`).size - 1)
    await assert.rejects(store.index(diffId), /Cannot read layer sha256:\w+: it is damaged/)
    rmSync(file)
    await assert.rejects(collect(store.readExtents(extents, 0, 10)), (error: AppError) => error.code === 'not_found')
  }))

test('readExtents yields any range of any mixture', () =>
  withStore(async (open) => {
    await using store = await open()
    await store.ingest(sourceOf(plain).source, () => {}, never)
    const extents: Extent[] = []
    const whole: Buffer[] = []
    let seed = 7
    const random = (below: number) => (seed = (seed * 48_271) % 2_147_483_647) % below
    for (let i = 0; i < 400; i++) {
      const length = random(i % 40 === 0 ? 1_500_000 : 3000)
      const offset = i % 3 === 0 ? random(plain.length - length) : Math.min(i * 3000, plain.length - length)
      const kind = random(4)
      if (kind === 0) {
        extents.push({ kind: 'zeros', length })
        whole.push(Buffer.alloc(length))
      } else if (kind === 1) {
        const bytes = plain.subarray(offset, offset + length)
        extents.push({ kind: 'bytes', bytes })
        whole.push(bytes)
      } else {
        extents.push({ kind: 'blob', blob: diffId, offset, length })
        whole.push(plain.subarray(offset, offset + length))
      }
    }
    const expected = Buffer.concat(whole)
    assert.ok((await collect(store.readExtents(extents, 0, expected.length))).equals(expected))
    for (let i = 0; i < 100; i++) {
      const from = random(expected.length)
      const to = Math.min(from + random(200_000), expected.length)
      assert.ok(
        (await collect(store.readExtents(extents, from, to))).equals(expected.subarray(from, to)),
        `${from} ${to}`,
      )
    }
    assert.deepEqual(await collect(store.readExtents(extents, 5, 5)), Buffer.alloc(0))
    await assert.rejects(collect(store.readExtents(extents, 0, expected.length, AbortSignal.abort())))
  }))

test('an interrupted layer ends soon, whatever its source does, and its thread serves the next', () =>
  withStore(async (open) => {
    await using store = await open()
    const stop = new AbortController()
    const { source } = sourceOf(plain, {
      async *open(_offset, signal) {
        yield plain.subarray(0, 600_000)
        setTimeout(() => stop.abort(), 10)
        await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)))
      },
    })
    await assert.rejects(
      store.ingest(source, () => {}, stop.signal),
      { name: 'AbortError' },
    )
    await store.ingest(sourceOf(plain).source, () => {}, never)
    assert.equal(await store.has(diffId), true)
  }))

test('a check finds one flipped bit, marks the layer, and the next time it is stored the mark goes', () =>
  withStore(async (open, path) => {
    await using store = await open()
    await store.ingest(sourceOf(plain).source, () => {}, never)
    const hex = diffId.slice(7)
    const file = join(path, 'blobs/sha256', hex.slice(0, 2), hex)
    const good = await store.check(diffId, { repair: false, signal: never })
    assert.deepEqual(good, { sizeBytes: plain.length, rot: undefined, beside: [] })
    const reader = await store.open(diffId)
    const rotten = Buffer.from(plain)
    rotten[1_234_567]! ^= 1
    writeFileSync(file, rotten)
    const found = await store.check(diffId, { repair: true, signal: never })
    assert.match(found!.rot!.why, /^its digest is sha256:[0-9a-f]{64}$/)
    const [range, ...others] = found!.rot!.ranges
    assert.ok(range!.from <= 1_234_567 && 1_234_567 < range!.to && range!.to - range!.from <= 4096, `${range!.from}`)
    assert.deepEqual(others, [])
    assert.equal(await store.has(diffId), false)
    assert.deepEqual(
      (await store.usage()).map(({ isRotten }) => isRotten),
      [true],
    )
    assert.deepEqual(await store.list(), [diffId])
    const before = statSync(file).ino
    await store.ingest(sourceOf(plain).source, () => {}, never)
    assert.equal(await store.has(diffId), true)
    assert.notEqual(statSync(file).ino, before)
    assert.ok(Buffer.from(await reader.read(0, plain.length)).equals(rotten), 'who reads it keeps what it has')
    await reader[Symbol.asyncDispose]()
    assert.equal((await store.check(diffId, { repair: false, signal: never }))!.rot, undefined)
    assert.equal(readdirSync(join(path, 'incoming')).length, 0)
    assert.equal(await store.check(parseDigest(`sha256:${'0'.repeat(64)}`), { repair: true, signal: never }), undefined)
  }))

test('a damaged index is made again from its layer, when it is used and by a check', () =>
  withStore(async (open, path) => {
    await using store = await open()
    await store.ingest(sourceOf(plain).source, () => {}, never)
    const hex = diffId.slice(7)
    const file = join(path, 'blobs/sha256', hex.slice(0, 2), `${hex}.index`)
    const right = readFileSync(file)
    writeFileSync(file, Buffer.from(right).fill(7, 20, 21))
    const indexes = await Promise.all([store.index(diffId), store.index(diffId)])
    assert.equal(indexes[0].entries.length, indexes[1].entries.length)
    assert.ok(readFileSync(file).equals(right))
    for (const [why, damage] of [
      ['damaged', () => truncateSync(file, 10)],
      ['missing', () => rmSync(file)],
    ] as const) {
      damage()
      const left = await store.check(diffId, { repair: false, signal: never })
      assert.deepEqual(left!.beside, [{ what: 'index', why, isRemade: false }])
      const mended = await store.check(diffId, { repair: true, signal: never })
      assert.deepEqual(mended!.beside, [{ what: 'index', why, isRemade: true }])
      assert.ok(readFileSync(file).equals(right))
    }
    const leafFile = file.replace('.index', '.leaves')
    const rightLeaves = readFileSync(leafFile)
    for (const [what, damage] of [
      ['a digest is another', () => writeFileSync(leafFile, Buffer.from(rightLeaves).fill(1, 100, 101))],
      ['it is cut', () => truncateSync(leafFile, 1000)],
      ['it is longer', () => writeFileSync(leafFile, Buffer.concat([rightLeaves, Buffer.alloc(16)]))],
    ] as const) {
      damage()
      const leafFault = { what: 'leaves', why: 'damaged' } as const
      const left = await store.check(diffId, { repair: false, signal: never })
      assert.deepEqual(left!.beside, [{ ...leafFault, isRemade: false }], what)
      const mended = await store.check(diffId, { repair: true, signal: never })
      assert.deepEqual(mended!.beside, [{ ...leafFault, isRemade: true }], what)
      assert.ok(readFileSync(leafFile).equals(rightLeaves), what)
    }
    rmSync(leafFile)
    assert.deepEqual((await store.check(diffId, { repair: false, signal: never }))!.beside, [])
    assert.deepEqual(readdirSync(join(path, 'incoming')), [])
  }))

test('rot is found where it is, as far as leaves reach; a layer that was cut too', () =>
  withStore(async (open, path) => {
    await using store = await open()
    await store.ingest(sourceOf(plain).source, () => {}, never)
    const file = join(path, 'blobs/sha256', diffId.slice(7, 9), diffId.slice(7))
    const rangesOf = async (bytes: Uint8Array) => {
      writeFileSync(file, bytes)
      return (await store.check(diffId, { repair: false, signal: never }))!.rot!.ranges
    }
    const inHeader = Buffer.from(plain)
    inHeader[100]! ^= 1
    assert.deepEqual(await rangesOf(inHeader), [])
    const cut = await rangesOf(plain.subarray(0, 1_000_000))
    assert.equal(cut.at(-1)!.to, plain.length)
    assert.ok(cut.at(-1)!.from <= 1_000_000 && cut.length <= 2)
    writeFileSync(file, plain)
    assert.equal((await store.check(diffId, { repair: false, signal: never }))!.rot, undefined)
  }))

test('a check is no faster than it is told to be, and ends when it is interrupted', () =>
  withStore(async (open) => {
    await using store = await open()
    await store.ingest(sourceOf(plain).source, () => {}, never)
    const stop = new AbortController()
    const seen: number[] = []
    await assert.rejects(
      store.check(diffId, {
        repair: false,
        bytesPerSecond: 100,
        onBytes: (bytes) => {
          seen.push(bytes)
          stop.abort()
        },
        signal: stop.signal,
      }),
      { name: 'AbortError' },
    )
    // At 100 bytes a second nothing follows the first piece.
    assert.deepEqual(seen, [1 << 20])
  }))
