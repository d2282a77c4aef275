import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WireError } from '../../base/errors.ts'
import { blocksOf, parseRanges, renderRanges, tidyRanges } from './profile.ts'

const range = (start: number, count: number) => ({ start, count })

const cases = [
  { name: 'ranges in a row become one', ranges: [range(0, 8), range(8, 8)], tidy: [range(0, 16)] },
  { name: 'a small gap is read along', ranges: [range(0, 8), range(20, 4)], tidy: [range(0, 24)] },
  { name: 'so is one before', ranges: [range(100, 8), range(90, 4)], tidy: [range(90, 18)] },
  {
    name: 'far ones stay in their order',
    ranges: [range(1000, 4), range(0, 4), range(500, 4)],
    tidy: [range(1000, 4), range(0, 4), range(500, 4)],
  },
  {
    name: 'no block comes twice',
    ranges: [range(100, 50), range(1000, 1), range(90, 100), range(120, 5)],
    tidy: [range(100, 50), range(1000, 1), range(90, 10), range(150, 40)],
  },
  {
    name: 'what is beyond the device is dropped',
    ranges: [range(95, 10), range(200, 1)],
    tidy: [range(95, 5)],
    blocks: 100,
  },
]
for (const { name, ranges, tidy, blocks = 10_000 } of cases)
  test(`tidyRanges: ${name}`, () => assert.deepEqual(tidyRanges(ranges, blocks), tidy))

test('tidyRanges keeps every block that was read, whatever the order', () => {
  const ranges = Array.from({ length: 2000 }, (_, at) => range((at * 7919) % 50_000, 1 + (at % 40)))
  const tidy = tidyRanges(ranges, 60_000)
  const covered = new Set<number>()
  for (const { start, count } of tidy)
    for (let block = start; block < start + count; block += 1) {
      assert.ok(!covered.has(block), `block ${block} twice`)
      covered.add(block)
    }
  for (const { start, count } of ranges)
    for (let block = start; block < start + count; block += 1) assert.ok(covered.has(block), `block ${block}`)
  assert.equal(blocksOf(tidy), covered.size)
})

test('ranges are read as they are written, and nothing else is', () => {
  const ranges = [range(0, 1), range(4_294_967_295, 9)]
  assert.deepEqual(parseRanges(renderRanges(ranges)), ranges)
  for (const text of ['1', '1 0', '-1 2', '1 2 3', 'a b', `${'9'.repeat(11)} 1`])
    assert.throws(() => parseRanges(text), WireError)
})
