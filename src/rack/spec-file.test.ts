import assert from 'node:assert/strict'
import { test } from 'node:test'
import { planRack } from './plan.ts'
import { parseSpec, serializeSpec } from './spec-file.ts'

const spec = planRack({ name: 'lab-2', firmware: ['bios', 'uefi'], diskMiB: 64, nic: 'e1000' }, 'ab'.repeat(16))

test('parseSpec: reads what serializeSpec wrote', () => {
  assert.deepEqual(parseSpec(serializeSpec(spec), 'rack.json'), spec)
})

const broken = [
  { name: 'no JSON', text: '{', error: /Cannot read rack file "rack\.json": it is not JSON/ },
  { name: 'another document', text: '[]', error: /the document: / },
  { name: 'a later version', text: serializeSpec(spec).replace('"version": 1', '"version": 2'), error: /version: / },
  { name: 'a name that leaves the folder', text: serializeSpec(spec).replaceAll('lab-2', '../..'), error: /name: / },
  {
    name: 'a machine name with a path',
    text: serializeSpec(spec).replace('rack-1', 'rack/1'),
    error: /machines\.0\.name/,
  },
  { name: 'a MAC with more', text: serializeSpec(spec).replace(':01"', ':01,x=y"'), error: /machines\.0\.mac/ },
  { name: 'a rack id that is a pattern', text: serializeSpec(spec).replace('ab'.repeat(16), ''), error: /rackId/ },
  { name: 'no machines', text: JSON.stringify({ ...spec, machines: [] }), error: /machines: / },
]
for (const { name, text, error } of broken)
  test(`parseSpec: refuses ${name}`, () => {
    assert.throws(() => parseSpec(text, 'rack.json'), error)
  })
