import assert from 'node:assert/strict'
import { test } from 'node:test'
import { IMPLIED, Nodes } from './nodes.ts'

/** Numbers that look random and are the same every time. */
function createRandom() {
  let state = 7
  return (below: number) => (state = (Math.imul(state, 1103515245) + 12345) >>> 0) % below
}

test('Nodes finds what a Map of maps finds, over 100,000 puts, removals and clearings', () => {
  const random = createRandom()
  const nodes = new Nodes()
  const root = nodes.putRoot(0)
  const directories = Array.from({ length: 20 }, (_, n) => {
    const name = nodes.intern(`directory ${n}`)
    return {
      node: nodes.put({ parent: root, name, inode: IMPLIED, isDirectory: true, layer: 0 }),
      model: new Map<string, number>(),
    }
  })
  for (let step = 0; step < 100_000; step += 1) {
    const directory = directories[random(directories.length)]!
    const text = `name ${random(2000)}`
    const name = nodes.intern(text)
    const there = nodes.child(directory.node, name)
    assert.equal(there, directory.model.get(text) ?? 0)
    const kind = random(1000)
    if (kind === 0) {
      directory.node = nodes.clear(directory.node)
      directory.model.clear()
    } else if (kind < 400 && there !== 0) {
      nodes.remove(there)
      directory.model.delete(text)
      assert.ok(nodes.isGone(there))
    } else {
      const node = nodes.put({ parent: directory.node, name, inode: step, isDirectory: false, layer: 1 })
      directory.model.set(text, node)
    }
    if (step % 10_000 === 0) nodes.reserve(random(5000))
  }
  for (const [n, { node, model }] of directories.entries()) {
    assert.equal(nodes.at(root, `directory ${n}`), node)
    for (const [text, child] of model) assert.equal(nodes.at(root, `directory ${n}/${text}`), child)
  }
  for (let node = root + 1; node < nodes.count; node += 1) assert.ok(nodes.parent[node]! < node)
})
