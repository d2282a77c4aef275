import assert from 'node:assert/strict'
import { test } from 'node:test'
import { violations } from './check-layers.ts'

test('violations names the file, the rooms and the path of an import against the layers', () => {
  const files = new Map([
    ['src/wire/dhcp/packet.ts', "import { Machine } from '../../model/machine.ts'"],
    ['src/cli/run.ts', "const { a } = await import('../services/a.ts')\nimport { b } from '../client/b.ts'"],
    ['src/services/power/power.ts', "import { c } from '../images/c.ts'"],
  ])
  assert.deepEqual(violations(files), [
    'src/wire/dhcp/packet.ts: wire/ may not import model/ (../../model/machine.ts)',
    'src/cli/run.ts: cli/ may not import services/ (../services/a.ts)',
  ])
})
