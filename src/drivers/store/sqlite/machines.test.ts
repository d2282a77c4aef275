import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { SecretBox } from '../../../services/ports.ts'
import { openSqlite } from './database.ts'
import { createEventBus } from './events.ts'
import { createInventoryStore, inventoryMigrations, type InventoryTables } from './inventories.ts'
import { createMachineStore } from './machines.ts'
import { coreMigrations, type Tables } from './schema.ts'

const noSecrets: SecretBox = { seal: (secret) => secret, open: (sealed) => sealed }
const INVENTORY = {
  ...{ source: 'agent', at: 1, system: { serial: 'S1' }, cpus: [], memory: { modules: [] }, nics: [], disks: [] },
  ...{ gpus: [], readings: [], firmware: [], findings: [], notes: [] },
  capabilities: { serialConsole: [], virtualMedia: [], bootTargets: [], bootModes: [], resetTypes: [] },
} as const

test('a machine that was registered before there was an admission is accepted; its inventories go with it', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'bareboat-machines-'))
  t.after(() => rmSync(dir, { recursive: true }))
  const path = join(dir, 'state.db')
  {
    await using old = openSqlite<Tables>(path, coreMigrations.slice(0, 1))
    const spec = {
      name: 'm1',
      macs: ['52:54:00:12:34:56'],
      arch: 'amd64',
      rank: 0,
      groups: [],
      labels: {},
      enabled: true,
    }
    old.raw.prepare(`INSERT INTO machine VALUES ('id', 'm1', ?, NULL, 0)`).run(JSON.stringify(spec))
  }
  await using database = openSqlite<Tables & InventoryTables>(path, [...coreMigrations, ...inventoryMigrations])
  const machines = createMachineStore(
    database.db,
    createEventBus(database.db, () => 0),
    noSecrets,
    () => 0,
  )
  const [machine] = await machines.list()
  assert.deepEqual([machine!.name, machine!.admission, machine!.cordoned], ['m1', 'accepted', false])

  const inventories = createInventoryStore(database.db)
  const copy = structuredClone(INVENTORY) as unknown as Parameters<typeof inventories.put>[1]
  await inventories.put('id', copy)
  await inventories.put('id', { ...copy, at: 3, system: { serial: 'S2' } })
  await inventories.put('id', { ...copy, source: 'redfish', at: 2, system: {} })
  assert.deepEqual(
    (await inventories.of('id')).map(({ source, at }) => [source, at]),
    [
      ['agent', 3],
      ['redfish', 2],
    ],
  )
  assert.deepEqual([...(await inventories.serials())], [['id', 'S2']])
  await machines.remove('id', {
    kind: 'machine',
    action: 'destroy',
    subjectId: 'id',
    name: 'm1',
    source: 'daemon',
    attributes: {},
  })
  assert.deepEqual(await inventories.of('id'), [])
})
