import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AppError } from '../../base/errors.ts'
import { quietLog } from '../../base/log.ts'
import type { Tree } from '../../formats/tree/tree.ts'
import type { NfsExport, NfsRoot, NfsServer, RootStore } from './ports.ts'
import { openNfsRoots } from './roots.ts'

const tree = {} as Tree
const signal = new AbortController().signal
const id = (digit: string): string => digit.repeat(64)
const [A, B, C] = [id('a'), id('b'), id('c')]
const plain = { resetAccessTimes: false, signal }
const reset = { resetAccessTimes: true, signal }

/** Records in memory; `done` says what was done, in order. */
function memoryStore(
  ...roots: NfsRoot[]
): RootStore & { readonly done: string[]; readonly records: Map<string, NfsRoot> } {
  const records = new Map(roots.map((root) => [root.containerId, root]))
  const done: string[] = []
  return {
    done,
    records,
    list: async () => [...records.values()],
    pathOf: (containerId) => `/nfs/${containerId}/rootfs`,
    async make(root) {
      done.push(`make ${root.containerId[0]}`)
      records.set(root.containerId, root)
    },
    async write(root) {
      assert.ok(records.has(root.containerId))
      records.set(root.containerId, root)
    },
    async resetAccessTimes(containerId) {
      done.push(`reset ${containerId[0]}`)
    },
    accessed: async () => [Buffer.from('b'), Buffer.from('a')],
    async remove(containerId) {
      done.push(`remove ${containerId[0]}`)
      records.delete(containerId)
    },
  }
}

/** Shows what it is told; `brokenServer` never does. */
function server(done: string[] = []): NfsServer & { shown: readonly NfsExport[] } {
  return {
    shown: [],
    async serve(exports) {
      done.push(`serve ${exports.map(({ path }) => path[5]).join('')}`)
      this.shown = exports
    },
    version: () => '4.2',
  }
}
const brokenServer: NfsServer = {
  async serve() {
    throw new AppError('unsupported', 'Cannot serve roots over NFS: it is not installed')
  },
  version: () => '4.2',
}

const deps = { log: quietLog, host: '10.0.0.1', port: 2049 }

test('openNfsRoots: nothing is shown before a machine has an address', async () => {
  const store = memoryStore()
  const shows = server()
  const roots = await openNfsRoots({ ...deps, store, server: shows })
  await assert.rejects(roots.open(A, '10.0.0.7'), /has not been made yet/)
  await roots.prepare(A, tree, plain)
  assert.equal(shows.shown.length, 0)
  const mount = await roots.open(A, '10.0.0.7')
  assert.equal(mount.source, `10.0.0.1:/${shows.shown[0]!.name}`)
  assert.equal(mount.options, 'vers=4.2,proto=tcp,port=2049,sec=sys,hard,addr=10.0.0.1,clientaddr=10.0.0.7')
  assert.equal(shows.shown[0]!.address, '10.0.0.7')
  assert.deepEqual(await roots.open(A, '10.0.0.7'), mount)
  await roots.shut(A)
  assert.deepEqual(shows.shown, [])
})

test('openNfsRoots: a root is made once, and each boot mounts it under a new name', async () => {
  const store = memoryStore()
  const shows = server()
  const roots = await openNfsRoots({ ...deps, store, server: shows })
  await roots.prepare(A, tree, plain)
  const first = await roots.open(A, '10.0.0.7')
  const { exportId } = shows.shown[0]!
  await roots.shut(A)
  await roots.prepare(A, tree, plain)
  const second = await roots.open(A, '10.0.0.8')
  assert.deepEqual(store.done, ['make a'])
  assert.notEqual(second.source, first.source)
  assert.equal(shows.shown[0]!.exportId, exportId)
})

test('openNfsRoots: access times are reset before each boot, and never under a machine that has the root', async () => {
  const store = memoryStore()
  const roots = await openNfsRoots({ ...deps, store, server: server() })
  await roots.prepare(A, tree, plain)
  await assert.rejects(roots.accessed(A, signal), /was not recorded/)
  await roots.prepare(A, tree, reset)
  await roots.open(A, '10.0.0.7')
  await roots.prepare(A, tree, reset)
  await roots.shut(A)
  await roots.prepare(A, tree, reset)
  assert.deepEqual(store.done, ['make a', 'reset a', 'reset a'])
  assert.equal(Buffer.from(await roots.accessed(A, signal)).toString(), './a\n./b\n')
})

test('openNfsRoots: a root that could not be made leaves nothing behind', async () => {
  const store = memoryStore()
  const full: RootStore = {
    ...store,
    async make() {
      throw new AppError('exhausted', 'Cannot unpack: the disk is full')
    },
  }
  const roots = await openNfsRoots({ ...deps, store: full, server: server() })
  await assert.rejects(roots.prepare(A, tree, plain), /disk is full/)
  await assert.rejects(roots.open(A, '10.0.0.7'), /has not been made yet/)
})

test('openNfsRoots: the next daemon shows what machines still have, shuts the rest, and removes it only then', async () => {
  const opening = (address: string) => ({ address, name: 'n'.repeat(43) })
  const store = memoryStore(
    { containerId: A, exportId: 1, open: opening('10.0.0.7'), isReset: true },
    { containerId: B, exportId: 2, open: opening('10.0.0.8') },
    { containerId: C, exportId: 3, open: opening('10.0.0.9') },
  )
  const roots = await openNfsRoots({ ...deps, store, server: server(store.done) })
  await roots.resume(async (containerId) => (containerId === A ? 'live' : containerId === B ? 'over' : 'gone'))
  assert.deepEqual(store.done, ['serve a', 'remove c'])
  assert.deepEqual(store.records.get(B), { containerId: B, exportId: 2 })
  assert.equal((await roots.open(A, '10.0.0.7')).source, `10.0.0.1:/${'n'.repeat(43)}`)
  assert.equal(Buffer.from(await roots.accessed(A, signal)).toString(), './a\n./b\n')
})

test('openNfsRoots: a machine is not told of a root that the server does not show; the daemon starts all the same', async () => {
  const store = memoryStore({ containerId: A, exportId: 1 })
  const roots = await openNfsRoots({ ...deps, store, server: brokenServer })
  await roots.resume(async () => 'over')
  await assert.rejects(roots.open(A, '10.0.0.7'), /not installed/)
  // Who wants it gone is not kept by a server that cannot be told: it is told as soon as it can be.
  await roots.remove(A)
  assert.equal(store.records.size, 0)
})

test('openNfsRoots: a root is shut before it is removed; one that is not there is removed already', async () => {
  const store = memoryStore()
  const roots = await openNfsRoots({ ...deps, store, server: server(store.done) })
  await roots.prepare(A, tree, plain)
  await roots.open(A, '10.0.0.7')
  await roots.remove(A)
  await roots.remove(A)
  await roots.shut(A)
  assert.deepEqual(store.done, ['make a', 'serve a', 'serve ', 'remove a'])
})
