/** What must be true of a folder of the durable workload after any crash: all that was acknowledged is there, and life goes on. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { poll } from '../../src/base/clock.ts'
import { openImageBench } from '../../src/drivers/layout/image-bench.ts'
import { openSqlite } from '../../src/drivers/store/sqlite/database.ts'
import { createLeaseStore, leaseMigrations } from '../../src/drivers/store/sqlite/leases.ts'
import { sizeOf } from '../../src/formats/extents.ts'
import { parseDigest } from '../../src/formats/oci/digest.ts'
import { tarExtents } from '../../src/formats/tar/project.ts'
import { tarOf } from '../../src/formats/tar/tar-maker.ts'
import { layoutFiles, makeImage, writeLayout } from '../../src/services/images/layout-maker.ts'
import { openSmallSite } from '../fakes/small-site.ts'
import { World } from '../fakes/world.ts'
import { OUTPUT, type Acknowledged } from './durable-workload.ts'

/** An image for the workload to import. @returns the folder of its layout */
export function writeSampleLayout(scratch: string): string {
  const folder = join(scratch, 'layout')
  const layers = ['a', 'b'].map((name) => ({ plain: tarOf({ name, data: name.repeat(10_000) }) }))
  writeLayout(folder, layoutFiles([{ tag: 'x', image: makeImage({ layers }) }]))
  return folder
}

export function readAcknowledged(stdout: string): Acknowledged[] {
  const lines = stdout.split('\n').slice(0, -1)
  return lines.map((line) => JSON.parse(line) as Acknowledged)
}

/** @param at names the crash in what is said of a failure */
export async function checkFolder(folder: string, said: readonly Acknowledged[], at: string): Promise<void> {
  const of = <W extends Acknowledged['what']>(what: W) =>
    said.filter((one): one is Extract<Acknowledged, { what: W }> => one.what === what)
  await checkLives(folder, of, at)
  checkLeases(folder, of('lease'), at)
  await checkImages(folder, of('image'), at)
  for (const name of ['state.db', 'leases.db', 'images/state.db']) checkIntegrity(join(folder, name), at)
}

type Of = <W extends Acknowledged['what']>(what: W) => readonly Extract<Acknowledged, { what: W }>[]

async function checkLives(folder: string, of: Of, at: string): Promise<void> {
  const world = new World()
  for (let n = 1; n < 10; n++) world.machine(`52:54:00:00:00:0${n}`, `10.0.0.${n}`, { exitCode: 0 })
  const site = await openSmallSite({ folder, world })
  try {
    const intents = site.database.raw.prepare("SELECT count(*) n FROM power_intent WHERE action = 'on'").get()!['n']
    assert.ok(Number(intents) >= of('power-on').length, `${at}: a power-on was sent, and its intent is lost`)
    const names = (await site.machineStore.list()).map(({ name }) => name)
    for (const { name } of of('machine')) assert.ok(names.includes(name), `${at}: machine ${name} is lost`)
    const removed = new Set(of('removal').map(({ id }) => id))
    const before = new Map((await site.stored()).map((container) => [container.id, container]))
    for (const id of removed) assert.ok(!before.has(id), `${at}: container ${id} came back`)
    for (const { id } of of('container')) {
      // One that is being removed may be gone already.
      const mayBeGone = removed.has(id) || of('exit').some((exit) => exit.id === id)
      assert.ok(before.has(id) || mayBeGone, `${at}: container ${id} is lost`)
    }
    for (const { id, exitCode } of of('exit')) {
      const container = before.get(id)
      if (!container) continue
      assert.deepEqual([container.state, container.exitCode], ['exited', exitCode], `${at}: an exit is lost`)
      assert.equal(await site.output(id), OUTPUT, `${at}: the output of one that had exited`)
    }
    await site.containers.resume()
    const isOver = async () =>
      (await site.stored()).every(({ state }) => state === 'exited' || state === 'failed') ? true : undefined
    const isResumed = await poll(isOver, { everyMs: 3, deadlineMs: 20_000 })
    assert.ok(isResumed, `${at}: a container is stuck: ${JSON.stringify(await site.stored())}`)
    for (const { name, containerId } of await site.machineStore.list())
      assert.equal(containerId, undefined, `${at}: machine ${name} is not free`)
    for (const machine of world.machines.values()) assert.equal(machine.isOn, false, `${at}: a machine is on`)
  } finally {
    world.end()
    await site[Symbol.asyncDispose]()
  }
}

function checkLeases(folder: string, leases: ReturnType<Of & (() => readonly Lease[])>, at: string): void {
  const store = openSqlite<object>(join(folder, 'leases.db'), leaseMigrations)
  const held = new Map(
    createLeaseStore(store)
      .load()
      .map((lease) => [lease.address, lease.mac]),
  )
  for (const { mac, address } of leases) assert.equal(held.get(address), mac, `${at}: the lease of ${address} is lost`)
  store.raw.close()
}

type Lease = Extract<Acknowledged, { what: 'lease' }>

async function checkImages(folder: string, images: readonly Extract<Acknowledged, { what: 'image' }>[], at: string) {
  await using bench = await openImageBench({ directory: join(folder, 'images'), blobs: { threads: 1 } })
  const known = new Set((await bench.images.list()).map(({ id }) => String(id)))
  for (const { id } of images) assert.ok(known.has(id), `${at}: image ${id} is lost`)
  // Whole, whether it was acknowledged or not: a record never goes without its layers.
  for (const id of known) {
    const extents = tarExtents(await bench.images.tree(parseDigest(id)))
    for await (const _ of bench.blobs.readExtents(extents, 0, sizeOf(extents)));
  }
}

export function checkIntegrity(path: string, at: string): void {
  if (!existsSync(path)) return
  const db = new DatabaseSync(path)
  const rows = db.prepare('PRAGMA integrity_check').all()
  db.close()
  assert.deepEqual(
    rows.map((row) => ({ ...row })),
    [{ integrity_check: 'ok' }],
    `${at}: ${path}`,
  )
}
