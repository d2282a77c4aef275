import assert from 'node:assert/strict'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { quietLog } from '../../base/log.ts'
import type { Tree } from '../../formats/tree/tree.ts'
import { openRootDirectories } from './root-directories.ts'

const tree = {} as Tree
const signal = new AbortController().signal
const A = 'a'.repeat(64)
const asRoot = { skip: process.getuid?.() === 0 ? false : 'root is missing' }

function folder(): { readonly path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), 'bareboat-roots-'))
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) }
}

/** What is laid out for every tree. The name of one file is no UTF-8. */
async function unpack(_tree: Tree, directory: string): Promise<void> {
  mkdirSync(join(directory, 'dir'), { recursive: true })
  writeFileSync(join(directory, 'dir/file'), 'x')
  writeFileSync(Buffer.concat([Buffer.from(`${directory}/dir/caf`), Buffer.of(0xe9)]), 'x')
  symlinkSync('/etc/passwd', join(directory, 'link'))
}

test(
  'openRootDirectories: a root and its record are there after another opening, and gone after remove',
  asRoot,
  async () => {
    using at = folder()
    const store = await openRootDirectories({ log: quietLog, directory: at.path, unpack })
    const root = { containerId: A, exportId: 17 }
    await store.make(root, tree, signal)
    assert.equal(readFileSync(join(store.pathOf(A), 'dir/file'), 'utf8'), 'x')
    const open = { address: '10.0.0.7', name: 'n'.repeat(43) }
    await store.write({ ...root, open, isReset: true })
    const again = await openRootDirectories({ log: quietLog, directory: at.path, unpack })
    assert.deepEqual(await again.list(), [{ ...root, open, isReset: true }])
    const [usage] = await again.usage()
    assert.ok(usage!.containerId === A && usage!.sizeBytes >= 4096, `${usage!.sizeBytes} bytes`)
    await again.remove(A)
    await again.remove(A)
    assert.deepEqual(await again.list(), [])
    assert.deepEqual(readdirSync(at.path), [])
  },
)

test('openRootDirectories: what fails or is cut off half way is not there', asRoot, async () => {
  using at = folder()
  const failing = await openRootDirectories({
    log: quietLog,
    directory: at.path,
    async unpack(of, directory) {
      await unpack(of, directory)
      throw new Error('the disk is full')
    },
  })
  await assert.rejects(failing.make({ containerId: A, exportId: 1 }, tree, signal), /disk is full/)
  assert.deepEqual(readdirSync(at.path), [])
  // A process that was killed cleans up nothing.
  mkdirSync(join(at.path, '.tmp-left/rootfs'), { recursive: true })
  mkdirSync(join(at.path, 'server'))
  const store = await openRootDirectories({ log: quietLog, directory: at.path, unpack })
  assert.deepEqual(readdirSync(at.path), ['server'])
  assert.deepEqual(await store.list(), [])
})

test('openRootDirectories: a damaged record hides its root and no other', asRoot, async () => {
  using at = folder()
  const store = await openRootDirectories({ log: quietLog, directory: at.path, unpack })
  await store.make({ containerId: A, exportId: 1 }, tree, signal)
  await store.make({ containerId: 'b'.repeat(64), exportId: 2 }, tree, signal)
  writeFileSync(join(at.path, A, 'root.json'), '{"exportId":0}')
  assert.deepEqual(await store.list(), [{ containerId: 'b'.repeat(64), exportId: 2 }])
  assert.ok(existsSync(store.pathOf(A)))
})

test(
  'openRootDirectories: a reset sets access times alone, and what is read after it is told by its bytes',
  asRoot,
  async () => {
    using at = folder()
    const store = await openRootDirectories({ log: quietLog, directory: at.path, unpack })
    await store.make({ containerId: A, exportId: 1 }, tree, signal)
    const file = join(store.pathOf(A), 'dir/file')
    utimesSync(file, 1_700_000_000.123456, 1_600_000_000.123456)
    const { mtimeNs } = statSync(file, { bigint: true })
    const passwd = statSync('/etc/passwd', { bigint: true }).atimeNs
    await store.resetAccessTimes(A, signal)
    const { atimeNs, mtimeNs: after } = statSync(file, { bigint: true })
    assert.deepEqual([atimeNs, after], [0n, mtimeNs])
    assert.equal(statSync('/etc/passwd', { bigint: true }).atimeNs, passwd)
    assert.deepEqual(await store.accessed(A, signal), [])
    readFileSync(Buffer.concat([Buffer.from(`${store.pathOf(A)}/dir/caf`), Buffer.of(0xe9)]))
    assert.deepEqual(
      (await store.accessed(A, signal)).map((name) => Buffer.from(name).toString('latin1')),
      ['dir/caf\xe9'],
    )
  },
)
