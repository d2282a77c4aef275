import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { crc32 } from 'node:zlib'
import { AppError, WireError } from '../../src/base/errors.ts'
import { cpioExtents } from '../../src/formats/cpio/project.ts'
import { sizeOf } from '../../src/formats/extents.ts'
import { parseLayerIndex, serializeLayerIndex } from '../../src/formats/tar/index-codec.ts'
import { createTarIndexer } from '../../src/formats/tar/indexer.ts'
import type { LayerIndex } from '../../src/formats/tar/layer-index.ts'
import { isPlain } from '../../src/formats/tar/name.ts'
import { tarExtents } from '../../src/formats/tar/project.ts'
import { mergeLayers } from '../../src/formats/tree/merge.ts'
import { createMutator } from './mutate.ts'

const SEED = Number(process.env['SEED'] ?? 20_261_121)
const FOLDER = new URL('../packets/tar/', import.meta.url)
const corpus = readdirSync(FOLDER)
  .filter((name) => name.endsWith('.tar') || name.endsWith('.base64'))
  .map((name) => {
    const bytes = readFileSync(new URL(name, FOLDER))
    return new Uint8Array(name.endsWith('.tar') ? bytes : Buffer.from(bytes.toString('latin1'), 'base64'))
  })

function indexOf(bytes: Uint8Array, step: number): LayerIndex | undefined {
  const indexer = createTarIndexer()
  try {
    for (let at = 0; at < bytes.length; at += step) indexer.push(bytes.subarray(at, at + step))
    return indexer.end()
  } catch (error) {
    assert.ok(error instanceof WireError, String(error))
    return undefined
  }
}

/** Makes the checksum of what stands where headers stood right again, so that mutations reach the fields. */
function mended(bytes: Uint8Array): Uint8Array {
  const copy = Buffer.from(bytes)
  for (let at = 0; at + 512 <= copy.length; at += 512) {
    if (copy.toString('latin1', at + 257, at + 262) !== 'ustar') continue
    copy.fill(0x20, at + 148, at + 156)
    const sum = copy.subarray(at, at + 512).reduce((total, byte) => total + byte, 0)
    copy.write(`${sum.toString(8).padStart(6, '0')}\0 `, at + 148, 'latin1')
  }
  return new Uint8Array(copy)
}

function checkIndex(index: LayerIndex): void {
  const { entries, blobBytes } = index
  for (const { path, kind, size, data } of entries) {
    assert.ok(path === '' ? kind === 'directory' : isPlain(path), path)
    assert.ok(Number.isSafeInteger(size) && size >= 0)
    let end = 0
    for (const run of data) {
      assert.ok(run.at >= end && run.length > 0 && run.at + run.length <= size)
      assert.ok(run.offset + run.length <= blobBytes)
      end = run.at + run.length
    }
  }
  assert.deepEqual(parseLayerIndex(serializeLayerIndex(index)), index)
  assert.deepEqual(parseLayerIndex(serializeLayerIndex({ entries, blobBytes })).entries, entries)
}

function checkTree(index: LayerIndex, lower: LayerIndex): void {
  try {
    const tree = mergeLayers([
      { digest: 'sha256:lower', index: lower },
      { digest: 'sha256:upper', index },
    ])
    assert.equal([...tree.entries()].length, tree.entryCount)
    for (const entry of tree.entries()) tree.resolve(entry.path)
    assert.equal(sizeOf(tarExtents(tree)) % 512, 0)
    assert.equal(sizeOf(cpioExtents(tree)) % 512, 0)
  } catch (error) {
    assert.ok(error instanceof AppError, String(error))
  }
}

test(`100,000 broken tars give an index or a WireError (SEED=${SEED})`, () => {
  const { below, pick, mutate, random } = createMutator(SEED)
  const lower = indexOf(corpus[0]!, 512)!
  let read = 0
  for (let count = 0; count < 100_000; count += 1) {
    const changed = count % 50 === 0 ? random(2048) : mutate(pick(corpus))
    const bytes = below(4) === 0 ? changed : mended(changed)
    const index = indexOf(bytes, pick([512, 777, 1 << 20]))
    if (index === undefined) continue
    read += 1
    if (below(4) > 0) continue
    checkIndex(index)
    checkTree(index, lower)
  }
  assert.ok(read > 5_000, `only ${read} were read`)
})

test(`100,000 broken layer indexes give an index or a WireError (SEED=${SEED})`, () => {
  const { pick, mutate, random } = createMutator(SEED + 1)
  const indexes = corpus.map((bytes) => indexOf(bytes, 512)).filter((index) => index !== undefined)
  const stored = indexes.map((index) => serializeLayerIndex(index).subarray(0, -4))
  let read = 0
  for (let count = 0; count < 100_000; count += 1) {
    const body = Buffer.from(count % 50 === 0 ? random(200) : mutate(pick(stored)))
    const sum = Buffer.alloc(4)
    sum.writeUInt32BE(crc32(body))
    const bytes = new Uint8Array(Buffer.concat([body, sum]))
    try {
      const index = parseLayerIndex(bytes)
      checkIndex(index)
      read += 1
    } catch (error) {
      assert.ok(error instanceof WireError, String(error))
    }
  }
  assert.ok(read > 1_000, `only ${read} were read`)
})
