/** A BMC that lies: its recorded tree with resources changed, swapped and mangled gives inventories of the schema, or an error of the BMC. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AppError, WireError } from '../../src/base/errors.ts'
import {
  asResource,
  countOf,
  linkOf,
  numberOf,
  pathOf,
  plainText,
  textsOf,
} from '../../src/formats/redfish/resource.ts'
import { inventory } from '../../src/model/inventory.ts'
import { crawlRedfish } from '../../src/services/discovery/redfish/crawl.ts'
import { readTree, TREES } from '../fakes/redfish-tree.ts'
import { createMutator, type Mutator } from './mutate.ts'

const SEED = Number(process.env['FUZZ_SEED'] ?? 20_261_125)
const MAX_RESOURCES = 400

test(`crawlRedfish: 1,500 changed trees, seed ${SEED}`, async () => {
  const mutator = createMutator(SEED)
  const trees = TREES.map((name) => [...readTree(name)].filter(([, bytes]) => bytes.length < 20_000))
  const maps = trees.map((tree) => new Map(tree))
  let systems = 0
  for (let count = 0; count < 1_500; count++) {
    const at = mutator.below(trees.length)
    const share = mutator.pick([0.02, 0.1, 0.5])
    let asked = 0
    const get = async (path: string): Promise<unknown> => {
      asked += 1
      const bytes = maps[at]!.get(path.replace(/[/]$|\?.*$/g, ''))
      if (!bytes) throw new AppError('not_found', `Cannot GET "${path}" on BMC "b": 404`)
      if (mutator.below(1000) >= share * 1000) return JSON.parse(bytes.toString()) as unknown
      if (mutator.below(4) === 0) return JSON.parse(mutator.pick(trees[at]!)[1].toString()) as unknown
      return changed(JSON.parse(bytes.toString()), mutator)
    }
    try {
      const found = await crawlRedfish(get, { now: () => count, maxResources: MAX_RESOURCES })
      for (const one of found) assert.deepEqual(inventory.parse(one), one)
      systems += found.length
    } catch (error) {
      if (!(error instanceof AppError || error instanceof WireError)) throw error
    }
    assert.ok(asked <= MAX_RESOURCES)
  }
  assert.ok(systems > 500, `only ${systems} systems were found`)
})

test(`readers of resources: 100,000 values, seed ${SEED}`, () => {
  const mutator = createMutator(SEED)
  const corpus = [...readTree('cray-Intel').values(), ...readTree('dsp2043-public-tower').values()]
    .filter((bytes) => bytes.length < 2_000)
    .slice(0, 200)
  for (let count = 0; count < 100_000; count++) {
    const text = Buffer.from(mutator.mutate(mutator.pick(corpus)).subarray(0, 600)).toString()
    const key = mutator.pick(['Id', '__proto__', 'constructor', 'Members', 'toString'])
    const value = { [key]: mutator.pick([text, [text], { '@odata.id': text }, Number.MAX_VALUE, Number.NaN, null, -1]) }
    const resource = asResource(value)
    const path = linkOf(resource, key) ?? pathOf(text)
    if (path !== undefined) assert.match(path, /^\/redfish\/v1(\/[!-~]+)?$/i)
    const plain = plainText(text)
    if (plain !== undefined) assert.ok(plain.length > 0 && plain.length <= 256 && !/\p{Cc}/u.test(plain))
    const whole = countOf(resource, key)
    if (whole !== undefined) assert.ok(Number.isSafeInteger(whole) && whole > 0)
    assert.ok(Number.isFinite(numberOf(resource, key) ?? 0))
    assert.ok(Array.isArray(textsOf(resource, key)))
  }
})

/** One to four values anywhere in it become something else. */
function changed(value: unknown, mutator: Mutator): unknown {
  let whole = value
  for (let count = 1 + mutator.below(4); count > 0; count -= 1) whole = changeOne(whole, mutator)
  return whole
}

function changeOne(value: unknown, mutator: Mutator): unknown {
  const keys = Object.keys(typeof value === 'object' && value !== null ? value : {})
  if (keys.length === 0 || mutator.below(6) === 0) return odd(value, mutator)
  const key = mutator.pick(keys)
  if (Array.isArray(value)) return value.with(Number(key), changeOne(value[Number(key)], mutator))
  return { ...(value as object), [key]: changeOne((value as Record<string, unknown>)[key], mutator) }
}

function odd(value: unknown, mutator: Mutator): unknown {
  return mutator.pick<unknown>([
    null,
    '',
    'Not Available',
    0,
    -1,
    1e300,
    '64',
    [],
    {},
    [value, value],
    { '@odata.id': '/redfish/v1/Systems' },
    '/redfish/v1/Systems',
    'x'.repeat(5_000),
    '\u001b[31m\u0000',
    true,
    Array.from({ length: 2_000 }, () => value),
    typeof value === 'string' ? Buffer.from(mutator.mutate(Buffer.from(value))).toString('latin1') : value,
  ])
}
