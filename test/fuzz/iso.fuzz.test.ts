/** ISO images: their files, all within the image and below the root, or a WireError, nothing else. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WireError } from '../../src/base/errors.ts'
import { isoImage } from '../../src/formats/iso9660/image.ts'
import { readIso } from '../../src/formats/iso9660/reader.ts'
import { createMutator } from './mutate.ts'

const SEED = Number(process.env['SEED'] ?? 20_261_125)
const ROUNDS = 100_000
/** All that is not data lies between the descriptors and here. */
const [FROM, TO] = [16 * 2048, 28 * 2048]

const names = ['a', 'folder/file.text', 'folder/inner/ä long name', 'z.z']
const image = Buffer.concat(
  isoImage(
    names.map((path) => ({ path, content: [{ kind: 'bytes', bytes: Buffer.from(path) }] })),
    { label: 'FUZZ', madeAtSeconds: 1_000_000_000, diskId: 1, folders: ['empty'] },
  ).map((extent) =>
    extent.kind === 'bytes' ? extent.bytes : Buffer.alloc(extent.kind === 'zeros' ? extent.length : 0),
  ),
).subarray(0, 40 * 2048)

async function check(bytes: Uint8Array): Promise<boolean> {
  try {
    const read = (offset: number, length: number) => Promise.resolve(bytes.subarray(offset, offset + length))
    for (const { path, parts, mtimeSeconds } of await readIso(read, bytes.length)) {
      assert.ok(
        path.split('/').every((part) => part !== '' && part !== '.' && part !== '..'),
        path,
      )
      assert.ok(Number.isSafeInteger(mtimeSeconds))
      for (const { offset, length } of parts) assert.ok(length === 0 || offset + length <= bytes.length)
    }
    return true
  } catch (error) {
    if (error instanceof WireError) return false
    throw error
  }
}

test(`readIso gives files within the image or a WireError (seed ${SEED}, ${ROUNDS} rounds)`, async () => {
  const { mutate, below } = createMutator(SEED)
  assert.ok(await check(image))
  let refused = 0
  for (let round = 0; round < ROUNDS; round += 1) {
    const copy = Buffer.from(image)
    // Within a few hundred bytes, so that most of what is read is whole.
    const at = FROM + below(TO - FROM - 300)
    mutate(copy.subarray(at, at + 300))
      .subarray(0, 300)
      .forEach((byte, index) => (copy[at + index] = byte))
    const isCut = below(20) === 0
    if (!(await check(isCut ? copy.subarray(0, below(copy.length)) : copy))) refused += 1
  }
  assert.ok(refused > 0 && refused < ROUNDS, `${refused} of ${ROUNDS} refused`)
})
