import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { quietLog } from '../base/log.ts'
import { openBlobDirectory } from '../drivers/blobs/directory.ts'
import { tarOf } from '../formats/tar/tar-maker.ts'
import { mergeLayers } from '../formats/tree/merge.ts'
import { openNfs } from './nfs.ts'

const asRoot = { skip: process.getuid?.() === 0 ? false : 'root is missing' }
const A = 'a'.repeat(64)

test('openNfs: the root of a container is its image, and goes when no container has it', asRoot, async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'bareboat-nfs-'))
  const nfsDir = join(dataDir, 'nfs')
  const signal = new AbortController().signal
  try {
    await using blobs = await openBlobDirectory({ log: quietLog, now: Date.now, path: join(dataDir, 'images') })
    const layer = tarOf(
      { name: 'etc/', type: '5', mode: '0000755' },
      { name: 'etc/motd', data: 'welcome\n', uid: '0002322', mode: '0004750', mtime: '00000000017' },
      { name: 'link', type: '2', link: '/etc/shadow' },
      { name: 'null', type: '3', major: '0000001', minor: '0000003' },
    )
    const { diffId } = await blobs.ingest(
      {
        name: 'a layer',
        async *open() {
          yield layer
        },
      },
      () => {},
      signal,
    )
    const tree = mergeLayers([{ digest: diffId, index: await blobs.index(diffId) }])
    const deps = { config: { dataDir, nfsDir, nfsPort: 2049 }, log: quietLog, blobs, address: '127.0.0.1' }
    {
      await using nfs = await openNfs(deps)
      await nfs.roots.prepare(A, tree, { resetAccessTimes: true, signal })
      const motd = join(nfsDir, A, 'rootfs/etc/motd')
      const { uid, mode, mtimeMs, atimeMs } = statSync(motd)
      assert.deepEqual([uid, mode & 0o7777, mtimeMs, atimeMs], [1234, 0o4750, 15_000, 0])
      assert.equal(readlinkSync(join(nfsDir, A, 'rootfs/link')), '/etc/shadow')
      assert.equal(statSync(join(nfsDir, A, 'rootfs/null')).rdev, (1 << 8) | 3)
      assert.equal(statSync(join(nfsDir, A)).mode & 0o777, 0o700)
      assert.equal(readFileSync(motd, 'utf8'), 'welcome\n')
      assert.equal(Buffer.from(await nfs.roots.accessed(A, signal)).toString(), './etc/motd\n')
    }
    await using next = await openNfs(deps)
    await next.roots.resume(async () => 'gone')
    assert.deepEqual(readdirSync(nfsDir), [])
  } finally {
    rmSync(dataDir, { recursive: true, force: true })
  }
})
