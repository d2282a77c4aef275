import assert from 'node:assert/strict'
import { test } from 'node:test'
import { moduleClosure, moduleIndexes, neededBy, type FoundModule } from './modules.ts'

function module(name: string, depends: string[] = [], softdeps: string[] = []): FoundModule {
  const info = { name, depends, aliases: [`pci:${name}*`], firmware: [], softdeps, vermagic: '' }
  return { path: `kernel/${name}.ko`, info }
}

const all = new Map(
  [
    module('nic', ['mii', 'phy'], ['pre: crc post: led']),
    module('mii'),
    module('phy', ['bus']),
    module('bus'),
    module('crc'),
    module('loop_a', ['loop_b']),
    module('loop_b', ['loop_a']),
  ].map((m) => [m.info.name, m]),
)
const load = (name: string) => Promise.resolve(all.get(name))

test('moduleClosure puts what is needed first, follows soft dependencies, leaves out what is built in', async () => {
  const found = await moduleClosure(['nic', 'builtin-thing', 'mii'], load)
  assert.deepEqual(
    found.map((m) => m.info.name),
    ['mii', 'bus', 'phy', 'crc', 'nic'],
  )
})

test('moduleClosure ends when modules need each other', async () => {
  assert.equal((await moduleClosure(['loop-a'], load)).length, 2)
})

test('neededBy takes what is named and all that it needs, once, of what there is', () => {
  const names = (...wanted: string[]) => neededBy(wanted, [...all.values()]).map((m) => m.info.name)
  assert.deepEqual(names('phy', 'loop_a', 'builtin'), ['phy', 'bus', 'loop_a', 'loop_b'])
})

test('moduleIndexes writes modules.dep so that the last of a line is loaded first', async () => {
  const indexes = moduleIndexes(await moduleClosure(['nic'], load))
  assert.ok(indexes.get('modules.dep')?.includes('kernel/nic.ko: kernel/phy.ko kernel/bus.ko kernel/mii.ko\n'))
  assert.ok(indexes.get('modules.dep')?.startsWith('kernel/bus.ko:\n'))
  assert.ok(indexes.get('modules.alias')?.includes('alias pci:nic* nic\n'))
  assert.equal(indexes.get('modules.softdep'), 'softdep nic pre: crc post: led\n')
})
