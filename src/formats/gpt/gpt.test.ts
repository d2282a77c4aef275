import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sizeOf } from '../extents.ts'
import { ALIGNMENT_BYTES, gptDisk, guidBytes, type Partition } from './gpt.ts'

const guid = '01234567-89ab-4cde-8f01-23456789abcd'
const part = (length: number, name = 'p'): Partition => ({
  type: 'efiSystem',
  guid,
  name,
  content: [{ kind: 'blob', blob: 'sha256:x', offset: 0, length }],
})

test('guidBytes: the first three parts are little-endian (UEFI appendix A)', () => {
  assert.equal(Buffer.from(guidBytes(guid)).toString('hex'), '67452301ab89de4c8f0123456789abcd')
})

test('gptDisk: partitions on whole MiB, the disk in whole MiB, data as they came', () => {
  const disk = gptDisk([part(1), part(ALIGNMENT_BYTES + 1)], { guid })
  assert.equal(sizeOf(disk), 4 * ALIGNMENT_BYTES)
  const starts: number[] = []
  let at = 0
  for (const extent of disk) {
    if (extent.kind === 'blob') starts.push(at)
    at += sizeOf([extent])
  }
  assert.deepEqual(starts, [ALIGNMENT_BYTES, 2 * ALIGNMENT_BYTES])
})

const refused: { name: string; run: () => unknown; error: RegExp }[] = [
  {
    name: 'a disk that is too small',
    run: () => gptDisk([part(ALIGNMENT_BYTES)], { guid, sizeBytes: 2 * ALIGNMENT_BYTES }),
    error: /Cannot put the partitions on a medium of 2097152 bytes: 16896 bytes more are needed/,
  },
  { name: 'a name of 37', run: () => gptDisk([part(1, 'n'.repeat(37))], { guid }), error: /longer than 36/ },
  { name: 'an empty partition', run: () => gptDisk([part(0)], { guid }), error: /partition "p" is empty/ },
  { name: 'no GUID', run: () => gptDisk([], { guid: 'x' }), error: /"x" is no GUID/ },
]
for (const { name, run, error } of refused) test(`gptDisk refuses ${name}`, () => assert.throws(run, error))
