import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AppError } from '../../src/base/errors.ts'
import { planRack } from '../../src/rack/plan.ts'
import { parseQmpLine } from '../../src/rack/qmp.ts'
import { parseSpec, serializeSpec } from '../../src/rack/spec-file.ts'
import { randomFrom } from './mutate.ts'

const SEED = 623
const SPEC_ROUNDS = 60_000
const QMP_ROUNDS = 60_000

/** Said by QEMU 7.2 over QMP: its greeting, answers, a device that is gone, and its end as a guest's reset, power-off and a kill cause it. */
const QMP_LINES = [
  '{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""}, "capabilities": ["oob"]}}',
  '{"return": {}, "id": 3}',
  '{"id": 4, "error": {"class": "GenericError", "desc": "Duplicate nodes with node-name=\'m1\'"}}',
  '{"timestamp": {"seconds": 1796060640, "microseconds": 5}, "event": "DEVICE_DELETED", "data": {"device": "cd", "path": "/machine/peripheral/cd"}}',
  '{"timestamp": {"seconds": 1795241820, "microseconds": 916487}, "event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-reset"}}',
  '{"timestamp": {"seconds": 1795241820, "microseconds": 1}, "event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-shutdown"}}',
  '{"timestamp": {"seconds": 1795241820, "microseconds": 1}, "event": "SHUTDOWN", "data": {"guest": false, "reason": "host-signal"}}',
]

test(`rack.json: ${SPEC_ROUNDS} mutated files (seed ${SEED}) give a RackSpec or an AppError`, () => {
  const random = randomFrom(SEED)
  const sample = serializeSpec(planRack({ firmware: ['bios', 'uefi'] }, '0'.repeat(32)))
  const compact = JSON.stringify(JSON.parse(sample))
  let values = 0
  for (let n = 0; n < SPEC_ROUNDS; n++) {
    const text = mutate(n % 2 === 0 ? sample : compact, random)
    try {
      const spec = parseSpec(text, 'rack.json')
      assert.deepEqual(parseSpec(serializeSpec(spec), 'rack.json'), spec)
      values++
    } catch (error) {
      if (!(error instanceof AppError)) throw new Error(`input ${text}`, { cause: error })
    }
  }
  assert.ok(values > SPEC_ROUNDS / 50, `only ${values} inputs were well-formed`)
})

test(`QMP: ${QMP_ROUNDS} mutated lines (seed ${SEED}) give a value or undefined`, () => {
  const random = randomFrom(SEED)
  const seen = { answer: 0, shutdown: 0, removed: 0 }
  for (let n = 0; n < QMP_ROUNDS; n++) {
    const text = mutate(QMP_LINES[n % QMP_LINES.length]!, random)
    const line = parseQmpLine(text)
    if (line === undefined) continue
    seen[line.kind]++
    if (line.kind === 'answer') assert.ok(Number.isFinite(line.id) && (line.error?.length ?? 0) <= 300, text)
    else assert.equal(typeof (line.kind === 'shutdown' ? line.reason : line.device), 'string', text)
  }
  for (const [kind, count] of Object.entries(seen)) assert.ok(count > QMP_ROUNDS / 100, `only ${count} of ${kind}`)
})

/** Cuts, repeats, swaps and replaces a few characters. */
function mutate(text: string, random: () => number): string {
  const below = (limit: number): number => Math.floor(random() * limit)
  let mutated = text
  for (let left = 1 + below(3); left > 0; left--) {
    const at = below(mutated.length + 1)
    const length = below(8)
    const insert = [
      String.fromCharCode(below(128)),
      String(below(1e6)),
      mutated.slice(at, at + length),
      ['null', '{}', '[]', '"', '1e999', '-1', '\u0000', '__proto__'][below(8)]!,
      '',
    ][below(5)]!
    mutated = mutated.slice(0, at) + insert + mutated.slice(at + (below(2) === 0 ? 0 : length))
    if (below(20) === 0) mutated = mutated.slice(0, below(mutated.length + 1))
  }
  return mutated
}
