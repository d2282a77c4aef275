/** Pulls whose disk fails or whose process is killed at its n-th sync (P2, P3): what was acknowledged is whole, the next pull works. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { sizeOf } from '../../src/formats/extents.ts'
import { openImageBench } from '../../src/drivers/layout/image-bench.ts'
import { tarExtents } from '../../src/formats/tar/project.ts'
import { tarOf } from '../../src/formats/tar/tar-maker.ts'
import { layoutFiles, makeImage, writeLayout } from '../../src/services/images/layout-maker.ts'
import { missingProgram, run, startRegistry } from './docker-registry.ts'
import { filterFor } from './killed-at.ts'

const missing = missingProgram('strace', 'docker-registry', 'skopeo', 'perl')
const canTrace = missing === undefined && spawnSync('strace', ['-o', '/dev/null', 'true']).status === 0
const skip = missing !== undefined ? `no ${missing} here` : !canTrace && 'no tracing here'
const scratch = mkdtempSync(join(tmpdir(), 'bareboat-faults-'))
after(() => rmSync(scratch, { recursive: true, force: true }))

const faults = [
  { name: 'EIO', inject: 'error=EIO' },
  { name: 'SIGKILL', inject: 'signal=KILL' },
]
/** Counted for each thread: the writer of a layer syncs its blob, leaves and index, the main thread directories and the database. */
const SYNCS = [1, 2, 3, 4, 5, 6, 8]

test('a pull that is stopped at any sync leaves the store good', { skip }, async () => {
  await using registry = await startRegistry()
  const layout = join(scratch, 'layout')
  const layers = ['a', 'b'].map((name) => ({ plain: tarOf({ name, data: name.repeat(100_000) }) }))
  writeLayout(layout, layoutFiles([{ tag: 'x', image: makeImage({ layers }) }]))
  run('skopeo', 'copy', '--quiet', '--dest-tls-verify=false', `oci:${layout}:x`, `docker://${registry.host}/faults:1`)
  const name = `${registry.host}/faults:1`
  let failed = 0
  for (const { name: fault, inject } of faults)
    for (const when of SYNCS) {
      const directory = mkdtempSync(join(scratch, 'store-'))
      const syncs = 'fsync,fdatasync'
      const trace = ['-f', '-o', '/dev/null', '-e', `trace=${syncs}`, '-e', `inject=${syncs}:${inject}:when=${when}`]
      const program = [process.execPath, join(import.meta.dirname, 'pull-once.ts'), directory, name]
      const { status, stdout } = spawnSync('strace', [...filterFor(inject), ...trace, ...program], {
        encoding: 'utf8',
        timeout: 60_000,
      })
      if (status !== 0) failed++
      const what = `${fault} at sync ${when}`
      await using bench = await openImageBench({ directory })
      const before = await bench.images.list()
      if (status === 0) assert.equal(before.length, 1, `${what}: acknowledged and lost: ${stdout}`)
      for (const { id } of before) {
        const extents = tarExtents(await bench.images.tree(id))
        for await (const _ of bench.blobs.readExtents(extents, 0, sizeOf(extents)));
      }
      const { id } = await bench.images.pull(name, { plainHttp: true, policy: 'always' })
      assert.equal((await bench.images.layers(id)).length, 2, what)
      assert.deepEqual(
        bench.files().filter((file) => file.includes('incoming')),
        [],
        what,
      )
      assert.equal(bench.files().length, 6, what)
    }
  assert.ok(failed >= faults.length * 3, `only ${failed} of the faults did anything`)
})
