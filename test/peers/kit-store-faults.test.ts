/** A disk that fails, or a process that is killed, at the n-th sync of the kits' directory (P2, P3). */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { quietLog } from '../../src/base/log.ts'
import { openKitDirectory } from '../../src/drivers/kits/directory.ts'
import { missingProgram } from './docker-registry.ts'
import { filterFor } from './killed-at.ts'
import { KIT, KIT_HEX } from './kit-store-sample.ts'

const missing = missingProgram('strace')
const canTrace = missing === undefined && spawnSync('strace', ['-o', '/dev/null', 'true']).status === 0
const skip = missing !== undefined ? `no ${missing} here` : !canTrace && 'no tracing here'
const scratch = mkdtempSync(join(tmpdir(), 'bareboat-kit-faults-'))
after(() => rmSync(scratch, { recursive: true, force: true }))

const faults = [
  { name: 'EIO', inject: 'error=EIO' },
  { name: 'ENOSPC', inject: 'error=ENOSPC' },
  { name: 'SIGKILL', inject: 'signal=KILL' },
]

/** One thread of the pool does all input and output that is not done at once. */
function putWith(directory: string, injections: string[]) {
  const program = [process.execPath, join(import.meta.dirname, 'kit-store-once.ts'), directory]
  const how = filterFor(injections.join(' '))
  return spawnSync('strace', [...how, '-f', '-o', '/dev/null', '-e', 'trace=fsync', ...injections, ...program], {
    encoding: 'utf8',
    timeout: 60_000,
    env: { ...process.env, UV_THREADPOOL_SIZE: '1' },
  })
}

async function assertWhole(directory: string, what: string): Promise<void> {
  const store = await openKitDirectory(directory, quietLog)
  for (const { hex } of await store.list())
    for (const [name, bytes] of KIT)
      assert.ok(readFileSync(store.pathOf(hex, name)).equals(bytes), `${what}: ${name} of a listed kit is not whole`)
  const hex = await store.readDefault('amd64')
  if (hex !== undefined) assert.equal((await store.list())[0]?.hex, hex, `${what}: the default is a kit`)
  for (const { name } of await store.listImports())
    assert.equal(readFileSync((await store.importedPath('kernel', name))!, 'utf8'), 'my kernel', what)
}

test(
  'a kit, its default and an imported kernel are whole or not there, and nothing unsynced is reported',
  { skip },
  async () => {
    let count = 0
    for (const { name, inject } of faults)
      for (let when = 1; ; when++) {
        const directory = mkdtempSync(join(scratch, 'kits-'))
        const { status, stdout } = putWith(directory, ['-e', `inject=fsync:${inject}:when=${when}`])
        if (status === 0) {
          assert.match(stdout, /done/)
          count = when - 1
          break
        }
        const what = `${name} at sync ${when}`
        assert.doesNotMatch(stdout, /done/, what)
        await assertWhole(directory, what)
        if (name !== 'SIGKILL')
          assert.deepEqual(
            readdirSync(directory).filter((file) => file.startsWith('.tmp')),
            [],
            what,
          )
        assert.equal(putWith(directory, []).status, 0, `${what}: the next time`)
        await assertWhole(directory, what)
        assert.deepEqual(
          (await (await openKitDirectory(directory, quietLog)).list()).map((kit) => kit.hex),
          [KIT_HEX],
        )
        assert.ok(when < 100)
      }
    // strace counts for each thread: names are synced by the first one, files by the one of the pool, and the greater count ends it.
    assert.ok(count >= 8, `only ${count} syncs`)
  },
)
