import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { AppError } from '../../base/errors.ts'
import { quietLog } from '../../base/log.ts'
import { ExtentMapBuilder } from '../../formats/extent-map.ts'
import { openDeviceDirectory } from './directory.ts'

const NAME = 'a'.repeat(64)
const OTHER = 'c'.repeat(64)

function place(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'bareboat-devices-'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  return join(directory, 'devices')
}

function sample(byte = 1) {
  return new ExtentMapBuilder()
    .literal(0, Uint8Array.of(byte, 2, 3))
    .blob(4096, `sha256:${'b'.repeat(64)}`, 512, 5000)
    .done(12_288)
}

test('a device directory keeps maps under the root hash of their device', async (t) => {
  const directory = place(t)
  const devices = await openDeviceDirectory(directory, quietLog)
  assert.deepEqual([await devices.has(NAME), await devices.list()], [false, []])
  await devices.put(NAME, sample())
  await devices.put(OTHER, sample())
  const path = devices.path(NAME)
  const { literals: _, ...rows } = sample()
  const stored = await devices.open(NAME)
  assert.deepEqual(stored, { ...rows, literalsAt: stored.literalsAt })
  assert.deepEqual([...readFileSync(path).subarray(stored.literalsAt)], [1, 2, 3])
  const sizeBytes = stored.literalsAt + 3
  assert.deepEqual(await devices.list(), [
    { rootHash: NAME, sizeBytes },
    { rootHash: OTHER, sizeBytes },
  ])
  assert.deepEqual((await devices.read(NAME)).literals, Buffer.from([1, 2, 3]))
  await devices.remove(NAME)
  await devices.remove(NAME)
  assert.deepEqual([await devices.has(NAME), readdirSync(directory)], [false, [`${OTHER}.map`]])
})

test('a map that is put again takes the place of the old one at once; who reads that one keeps it', async (t) => {
  const devices = await openDeviceDirectory(place(t), quietLog)
  await devices.put(NAME, sample(1))
  const path = devices.path(NAME)
  const before = readFileSync(path)
  await devices.put(NAME, sample(9))
  const after = readFileSync(path)
  assert.equal(after.length, before.length)
  assert.equal(after[(await devices.open(NAME)).literalsAt], 9)
})

test('what a killed process left is cleared away, a damaged map is told, no other name is taken', async (t) => {
  const directory = place(t)
  const before = await openDeviceDirectory(directory, quietLog)
  await before.put(NAME, sample())
  const path = before.path(NAME)
  writeFileSync(join(directory, '.tmp-left'), 'x')
  writeFileSync(join(directory, 'stranger.map'), 'x')
  const devices = await openDeviceDirectory(directory, quietLog)
  assert.deepEqual(readdirSync(directory).toSorted(), [`${NAME}.map`, 'stranger.map'])
  assert.equal((await devices.list()).length, 1)
  const whole = readFileSync(path)
  for (const [what, damage] of [
    ['a literal byte is missing', () => truncateSync(path, whole.length - 1)],
    ['it is empty', () => truncateSync(path, 0)],
    ['a row is another', () => writeFileSync(path, Buffer.from(whole).fill(7, 80, 81))],
  ] as const) {
    damage()
    await assert.rejects(devices.open(NAME), (error) => error instanceof AppError && error.code === 'internal', what)
  }
  await devices.remove(NAME)
  await assert.rejects(devices.open(NAME), /Cannot open device "a+": there is no map of it here/)
  for (const name of ['../x', 'ab', `${NAME}/x`, `${NAME}.`, ''])
    assert.throws(() => devices.path(name), /Cannot name a device/)
})

test('a map is held against the layers that are stored', async (t) => {
  const devices = await openDeviceDirectory(place(t), quietLog)
  await devices.put(NAME, sample())
  const fault = (blobBytes: number | undefined) => devices.faultOf(NAME, () => blobBytes)
  assert.equal(await fault(512 + 5000), undefined)
  assert.match((await fault(512 + 4999))!, /^row 1 goes beyond the end of layer sha256:b+$/)
  assert.match((await fault(undefined))!, /^layer sha256:b+ is not in the store$/)
  truncateSync(devices.path(NAME), 100)
  assert.match((await fault(1e9))!, /^Cannot read extent map: /)
  await devices.remove(NAME)
  assert.equal(await fault(1e9), undefined)
})
