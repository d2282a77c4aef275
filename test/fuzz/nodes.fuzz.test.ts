import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WireError } from '../../src/base/errors.ts'
import { parseXname } from '../../src/base/xname.ts'
import { parseNodes, type NodesFile } from '../../src/formats/nodes/nodes.ts'
import { BMCS_AND_NODES, TUTORIAL_NODES } from '../../src/formats/nodes/sample.ts'
import { serializeNodes } from '../../src/formats/nodes/write.ts'
import { mutate, randomFrom } from './mutate.ts'

const SEED = Number(process.env['SEED'] ?? 20_261_125)
const WORDS = `- {name: a, nid: 1, labels: {a: b}, enabled: no, role: Service, groups: [x, 'y'], interfaces: [{mac_addr: "02:00:00:00:00:01"}]}\n`

test('parseNodes: 100,000 changed files give nodes that are written and read back the same, or a WireError', () => {
  const random = randomFrom(SEED)
  const samples = [
    TUTORIAL_NODES,
    BMCS_AND_NODES,
    WORDS,
    JSON.stringify([{ name: 'a', interfaces: [{ ip_addrs: [{}] }] }]),
  ]
  const bytes = samples.map((text) => new Uint8Array(Buffer.from(text)))
  let [good, bad] = [0, 0]
  for (let n = 0; n < 100_000; n++) {
    const input = mutate(bytes, random)
    const text = Buffer.from(input).toString('utf8')
    const parsed = attempt(text, `seed ${SEED}, input ${n}`)
    if (!parsed) {
      bad++
      continue
    }
    good++
    const first = serializeNodes(parsed.nodes, 'yaml')
    assert.equal(serializeNodes(parseNodes(first).nodes, 'yaml'), first, `seed ${SEED}, input ${n}`)
  }
  assert.ok(good > 1000 && bad > 1000, `${good} good, ${bad} bad`)
})

test('parseXname: 100,000 texts give an xname that is read back the same, or none', () => {
  const random = randomFrom(SEED)
  const samples = ['x1000c1s7b0n0', 'X0C0S0B0', 'x001c255s001b02n999'].map((text) => new Uint8Array(Buffer.from(text)))
  let good = 0
  for (let n = 0; n < 100_000; n++) {
    const text = Buffer.from(mutate(samples, random)).toString('utf8')
    const found = parseXname(text)
    if (!found) continue
    good++
    assert.deepEqual(parseXname(found.text), found, `seed ${SEED}, input ${n}: ${JSON.stringify(text)}`)
  }
  assert.ok(good > 1000, `${good} good`)
})

function attempt(text: string, title: string): NodesFile | undefined {
  try {
    return parseNodes(text)
  } catch (error) {
    if (!(error instanceof WireError)) throw new Error(`${title}: ${JSON.stringify(text)}`, { cause: error })
    return undefined
  }
}
