import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { quietLog } from '../base/log.ts'
import { openSqlite } from '../drivers/store/sqlite/database.ts'
import { createIntentStore } from '../drivers/store/sqlite/intents.ts'
import { coreMigrations, type Tables } from '../drivers/store/sqlite/schema.ts'
import type { StoredMachine } from '../services/machines/ports.ts'
import { createConsoleRecording, type ConsoleRecord } from './console-recording.ts'

const MACHINES = [
  { id: 'a', name: 'rack-a', bmc: 'ipmi://admin@10.0.0.1' },
  { id: 'b', name: 'rack-b', bmc: 'ipmi://admin@10.0.0.2' },
  { id: 'c', name: 'no-bmc' },
] as StoredMachine[]

function setUp(mode: ConsoleRecord, switchedOn: readonly string[] = []) {
  const kept = new Set<string>()
  const recording = createConsoleRecording({
    mode,
    log: quietLog,
    console: () => ({
      async keep({ id }) {
        if (id === 'b' && kept.has('b')) throw new Error('its BMC has no address any more')
        kept.add(id)
      },
      release: (machineId) => void kept.delete(machineId),
    }),
    machines: async () => MACHINES,
    machineById: async (machineId) => MACHINES.find(({ id }) => id === machineId),
    switchedOn: async () => switchedOn,
  })
  return { kept, recording }
}

test('consoles are recorded from power-on to power-off, and on after a new start', async () => {
  const { kept, recording } = setUp('powered', ['b'])
  await recording.resume()
  assert.deepEqual([...kept], ['b'])
  for (const machine of MACHINES) await recording.power!.begin(machine)
  assert.deepEqual([...kept].toSorted(), ['a', 'b'])
  recording.power!.end('a')
  await recording.changed('a')
  assert.deepEqual([...kept], ['b'])
})

test('consoles that are always recorded are so from the start, and when their machine gets a BMC', async () => {
  const { kept, recording } = setUp('always')
  await recording.changed('b')
  assert.deepEqual([...kept], ['b'])
  await recording.resume()
  recording.power!.end('a')
  assert.deepEqual([...kept].toSorted(), ['a', 'b'])
})

test('where only containers are recorded nothing else is', async () => {
  const { kept, recording } = setUp('containers', ['a'])
  await recording.resume()
  await recording.changed('a')
  assert.deepEqual([kept.size, recording.power], [0, undefined])
})

test('the machines that were switched on last are those whose last action that was done is on or cycle', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'bareboat-intents-'))
  try {
    await using database = openSqlite<Tables>(join(folder, 'state.db'), coreMigrations)
    const intents = createIntentStore(database.db, Date.now)
    const actions = [
      ['a', 'on', 'done'],
      ['b', 'on', 'done'],
      ['b', 'off', 'done'],
      ['c', 'off', 'done'],
      ['c', 'cycle', 'done'],
      ['d', 'on', 'done'],
      ['d', 'off', 'failed'],
      ['e', 'on', 'open'],
    ] as const
    for (const [machineId, action, state] of actions) {
      const { intentId } = await intents.begin({ machineId, action })
      if (state === 'done') await intents.end(intentId, { state })
      if (state === 'failed') await intents.end(intentId, { state, cause: 'no answer' })
    }
    assert.deepEqual((await intents.switchedOn()).toSorted(), ['a', 'c', 'd'])
  } finally {
    rmSync(folder, { recursive: true })
  }
})
