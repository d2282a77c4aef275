/** Inventory on a real database: nodes files all or nothing, groups, and what a disabled machine hears. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { AppError } from '../../src/base/errors.ts'
import { readNodesInThread } from '../../src/drivers/nodes/thread.ts'
import { openSqlite } from '../../src/drivers/store/sqlite/database.ts'
import { coreMigrations } from '../../src/drivers/store/sqlite/schema.ts'
import { BMCS_AND_NODES, TUTORIAL_NODES } from '../../src/formats/nodes/sample.ts'
import { runOptions } from '../../src/model/container.ts'
import { openDirectory } from '../../src/services/boot/directory.ts'
import { candidates } from '../../src/services/containers/place.ts'
import { createGroups } from '../../src/services/machines/groups.ts'
import { createStaticDiscovery, type StaticOptions } from '../../src/services/machines/static.ts'
import { openSmallSite } from '../fakes/small-site.ts'
import { World } from '../fakes/world.ts'

const F1 = 'de:ad:be:ee:ee:f1'
const F2 = 'de:ad:be:ee:ee:f2'

async function bench(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'bareboat-inventory-'))
  const world = new World()
  const site = await openSmallSite({ folder, world })
  t.after(async () => {
    world.end()
    await site[Symbol.asyncDispose]()
    rmSync(folder, { recursive: true })
  })
  const { machineStore: store } = site
  const discovery = createStaticDiscovery({ store, readNodes: readNodesInThread, now: Date.now })
  const discover = (text: string, options: Partial<StaticOptions> = {}) =>
    discovery.discover(text, { source: 'nodes.yaml', overwrite: false, dryRun: false, ...options })
  return { site, store, discovery, discover, groups: createGroups(store) }
}

test('a nodes file makes its machines known, and gives itself back', async (t) => {
  const { discover, discovery, store, site } = await bench(t)
  const dry = await discover(TUTORIAL_NODES, { dryRun: true })
  assert.deepEqual([dry.dryRun, dry.machines.map(({ action }) => action), await store.list()], [true, ['added'], []])
  const { machines, warnings } = await discover(TUTORIAL_NODES)
  assert.deepEqual(machines, [{ line: 1, name: 'node01', action: 'added', changes: [] }])
  assert.deepEqual(warnings, [])
  assert.equal(await discovery.exported([], 'yaml'), TUTORIAL_NODES)
  for (const reference of ['x1000c1s7b0n0', 'X1000C01S07B0N0', 'nid:1', 'nid0001', F2, 'node01'])
    assert.equal((await site.machines.get(reference)).name, 'node01', reference)
  assert.equal((await discover(TUTORIAL_NODES)).machines[0]!.action, 'unchanged')
  const [stored] = await store.list()
  assert.deepEqual(
    (await site.events.history({ subjectId: stored!.id })).map(({ action }) => action),
    ['create'],
  )
})

test('run finds a machine by xname and nid', async (t) => {
  const { discover, store } = await bench(t)
  await discover(TUTORIAL_NODES)
  await store.changeAll(({ machines }) => ({
    updates: machines.map((machine) => ({ ...machine, bmc: 'http://127.0.0.1:1' })),
    events: [],
  }))
  for (const machine of ['x1000c1s7b0n0', 'nid:1', F1]) {
    const [found] = candidates(await store.list(), { ...runOptions.parse({ image: 'hello' }), machine })
    assert.equal(found?.name, 'node01', machine)
  }
  const options = { ...runOptions.parse({ image: 'hello' }), machine: 'nid:2' }
  const all = await store.list()
  assert.throws(() => candidates(all, options), /Cannot run on machine "nid:2": no such machine/)
})

test('nothing of a file is written when anything is wrong with it', async (t) => {
  const { discover, store, site } = await bench(t)
  await discover(TUTORIAL_NODES)
  const before = await store.list()
  const more = `- {name: new, interfaces: [{mac_addr: '02:00:00:00:00:01'}]}\n`
  const rows: [text: string, code: string, says: RegExp][] = [
    [
      `${more}- {name: bad, interfaces: [{mac_addr: nonsense}]}`,
      'invalid',
      /^Cannot use "nodes.yaml":\n {2}line 2: mac_addr "nonsense"/,
    ],
    [more + more, 'invalid', /line 2: name "new" of node "new" is that of node "new" on line 1 already/],
    [
      more + TUTORIAL_NODES.replace('nid: 1', 'nid: 2'),
      'conflict',
      /line 2: node "node01" is known as machine "node01" and differs: nid is 1, the file has 2\nTo change what is known: --overwrite$/,
    ],
    [`${more}  broken: [`, 'invalid', /line [12]: /],
  ]
  for (const [text, code, says] of rows)
    await assert.rejects(discover(text), (error) => {
      assert.ok(error instanceof AppError, String(error))
      assert.equal(error.code, code)
      assert.match(error.message, says)
      return true
    })
  // Whatever the plan overlooks, the database refuses: then nothing is written either.
  await assert.rejects(
    store.changeAll(() => ({
      inserts: [
        { ...before[0]!, id: 'a', name: 'a', macs: ['02:00:00:00:00:02'], interfaces: [], nid: 8, xname: 'x1c0s0b0n0' },
        { ...before[0]!, id: 'b', name: 'b', macs: [F1], interfaces: [], nid: 9, xname: 'x1c0s0b0n1' },
      ],
      events: [],
    })),
    /UNIQUE/,
  )
  assert.deepEqual(await store.list(), before)
  assert.equal((await site.events.history({})).filter(({ kind }) => kind === 'machine').length, 1)
})

test('--overwrite changes what is known; cards, nids and names may be exchanged', async (t) => {
  const { discover, discovery, store } = await bench(t)
  await discover(BMCS_AND_NODES)
  const [first, second] = await store.list()
  const swapped = BMCS_AND_NODES.replace('nid: 1', 'nid: X')
    .replace('nid: 2', 'nid: 1')
    .replace('nid: X', 'nid: 2')
    .replace(F1, 'X')
    .replace(F2, F1)
    .replace('X', F2)
  await assert.rejects(discover(swapped), /--overwrite/)
  // By nid the one, by xname the other.
  await assert.rejects(
    discover(swapped, { overwrite: true }),
    /is machine "node01" by its xname, but machine "node02" by its nid/,
  )
  const cards = BMCS_AND_NODES.replace(F1, 'X').replace(F2, F1).replace('X', F2)
  const { machines } = await discover(cards, { overwrite: true })
  assert.deepEqual(
    machines.map(({ action }) => action),
    ['changed', 'changed'],
  )
  const now = await store.list()
  assert.deepEqual(
    now.map(({ id, macs }) => [id, macs]),
    [
      [first!.id, [F2]],
      [second!.id, [F1]],
    ],
  )
  assert.equal((await store.byMac(F1))?.name, 'node02')
  assert.equal(
    await discovery.exported(['nid:2', 'node01'], 'json').then((text) => JSON.parse(text).nodes[0].name),
    'node02',
  )
})

test('what a machine alone may have is refused for another by its owner`s name', async (t) => {
  const { discover, site } = await bench(t)
  await discover(TUTORIAL_NODES)
  await site.addMachine('m1', '02:00:00:00:00:01')
  const rows: [change: object, says: RegExp][] = [
    [{ xname: 'X1000C01S07B0N0' }, /Cannot give xname "x1000c1s7b0n0" to machine "m1": it belongs to machine "node01"/],
    [{ nid: 1 }, /Cannot give nid 1 to machine "m1": it belongs to machine "node01"/],
    [{ ip: '10.15.3.100' }, /Cannot give address "10.15.3.100" to machine "m1": it belongs to machine "node01"/],
    [{ macs: [F2] }, /Cannot give MAC "de:ad:be:ee:ee:f2" to machine "m1"/],
  ]
  const { machineChange } = await import('../../src/model/machine.ts')
  for (const [change, says] of rows) await assert.rejects(site.machines.change('m1', machineChange.parse(change)), says)
  assert.equal((await site.machines.change('m1', { nid: 2, xname: 'x1000c1s7b0n1' })).nid, 2)
  assert.deepEqual(
    (await site.machines.change('node01', { macs: [F1] })).interfaces?.map(({ mac }) => mac),
    [F1],
  )
  assert.deepEqual((await site.machines.change('m1', { macs: [F2] })).macs, [F2], 'given up, it is free')
})

test('groups: created, filled, emptied, deleted; all members or none', async (t) => {
  const { discover, groups, store } = await bench(t)
  await discover(BMCS_AND_NODES)
  const list = async () => (await groups.list()).map(({ name, machines }) => [name, machines])
  assert.deepEqual(await list(), [
    ['compute', ['node01']],
    ['slurm:batch', ['node01']],
  ])
  assert.deepEqual(await groups.create('spare', 'for repairs', ['nid:2']), {
    name: 'spare',
    description: 'for repairs',
    machines: ['node02'],
  })
  await assert.rejects(groups.create('spare', '', []), /Cannot create group "spare": there is one of that name/)
  await assert.rejects(
    groups.change('spare', { add: ['node01', 'node09'], remove: [] }),
    /machine "node09" is not known/,
  )
  await assert.rejects(
    groups.change('spare', { add: ['node01'], remove: ['nid:1'] }),
    /"node01" would come in and go out/,
  )
  await assert.rejects(
    groups.change('spars', { add: ['node01'], remove: [] }),
    /Cannot find group "spars": known are compute, slurm:batch, spare; make one with/,
  )
  assert.deepEqual((await groups.get('spare')).machines, ['node02'])
  await groups.change('spare', { add: ['node01', 'node02', 'node01'], remove: [] })
  assert.deepEqual((await groups.get('spare')).machines, ['node01', 'node02'])
  await groups.change('compute', { add: [], remove: ['node01'] })
  assert.deepEqual((await groups.get('compute')).machines, [], 'an empty group stays')
  await groups.remove('spare')
  await groups.remove('compute')
  assert.deepEqual(await list(), [['slurm:batch', ['node01']]])
  assert.deepEqual(
    (await store.list()).map((machine) => machine.groups),
    [['slurm:batch'], []],
  )
})

test('the directory gives each interface its address, and a disabled machine silence unless a boot of it goes on', async (t) => {
  const { discover, site, store } = await bench(t)
  await discover(TUTORIAL_NODES)
  const directory = await openDirectory(store, site.boots, 'http://10.0.0.1:8080')
  assert.deepEqual([F1, F2, '02:00:00:00:00:01'].map(directory.addressFor), ['172.16.0.1', '10.15.3.100', undefined])
  assert.deepEqual(['172.16.0.1', '10.15.3.100', '10.0.0.1'].map(directory.ownerOf), [F1, F2, undefined])
  const silent = () => [directory.isSilent(F1), directory.isSilent(F2), directory.isSilentAt('10.15.3.100')]
  assert.deepEqual(silent(), [false, false, false])
  const { id } = await site.machines.change('node01', { enabled: false })
  await directory.refresh()
  assert.deepEqual(silent(), [true, true, true])
  assert.deepEqual([directory.isSilent('02:00:00:00:00:01'), directory.isSilentAt('10.0.0.1')], [false, false])
  const { token } = await site.boot.open('a container', id)
  await directory.refresh()
  assert.deepEqual(silent(), [false, false, false])
  await site.boot.end(token)
  await directory.refresh()
  assert.deepEqual(silent(), [true, true, true])
})

test('many refreshes of the directory at once are few readings, and each sees what was there when it was asked', async (t) => {
  const { site, store } = await bench(t)
  let readings = 0
  const counting = { ...store, list: () => (readings++, store.list()) }
  const directory = await openDirectory(counting, site.boots, 'http://10.0.0.1:8080')
  await site.addMachine('m1', F1)
  const all = Array.from({ length: 1000 }, () => directory.refresh())
  await all[0]
  assert.ok(directory.isKnown(F1))
  await site.addMachine('m2', F2)
  await directory.refresh()
  assert.ok(directory.isKnown(F2))
  await Promise.all(all)
  assert.ok(readings <= 4, `${readings} readings`)
})

test('a database of the version before keeps its machines, and their addresses are theirs', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'bareboat-inventory-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'state.db')
  {
    await using old = openSqlite<object>(path, coreMigrations.slice(0, 1))
    const spec = JSON.stringify({
      name: 'm1',
      macs: [F1],
      ip: '10.0.0.7',
      arch: 'amd64',
      rank: 0,
      groups: [],
      labels: {},
      enabled: true,
    })
    old.raw.prepare('INSERT INTO machine VALUES (?, ?, ?, NULL, 1)').run('id-1', 'm1', spec)
    old.raw.prepare('INSERT INTO machine_mac VALUES (?, ?)').run(F1, 'id-1')
  }
  const world = new World()
  await using site = await openSmallSite({ folder, world })
  assert.equal((await site.machines.get('m1')).ip, '10.0.0.7')
  await site.addMachine('m2', F2)
  await assert.rejects(site.machines.change('m2', { ip: '10.0.0.7' }), /it belongs to machine "m1"/)
  world.end()
})
