/** The kit of the checkout for tests of what runs on a machine, which is fetched and built once, and a network namespace to run them in. */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { quietLog } from '../../src/base/log.ts'
import { createDebianArchive } from '../../src/drivers/debian/archive.ts'
import { inflateXz } from '../../src/drivers/debian/xz.ts'
import { openKitDirectory } from '../../src/drivers/kits/directory.ts'
import { readGuestFiles } from '../../src/drivers/kits/guest-files.ts'
import { openBootFile } from '../../src/drivers/kits/open-boot-file.ts'
import { createKits } from '../../src/services/kits/kits.ts'
import { createPackageTrees, fileOf } from '../../src/services/kits/packages.ts'

/** Where the demo keeps its own, too. */
export const KIT_DIR = join(import.meta.dirname, '../../.bareboat/kits')
/** For the images of such tests. */
export const GUEST_CACHE = join(tmpdir(), 'bareboat-guest-test')
/** For one test that boots machines which are emulated on a busy host, and for a file of them. */
const [TEST_MS, FILE_MS] = [600_000, 1_500_000]

/** @returns the folder of a kit, and Debian's static busybox */
export async function buildGuestKit(): Promise<{ kit: string; busybox: Uint8Array }> {
  mkdirSync(KIT_DIR, { recursive: true })
  const source = createDebianArchive({ stateDirectory: join(KIT_DIR, 'debian'), log: quietLog })
  const kits = createKits({
    log: quietLog,
    store: await openKitDirectory(KIT_DIR, quietLog),
    source: () => source,
    inflateXz,
    guestFiles: readGuestFiles,
    openBootFile,
  })
  await using _lock = await lockOf(join(KIT_DIR, 'tests.lock'))
  const { kernelPath } = await kits.build()
  const tree = await createPackageTrees(source, inflateXz, () => {}).tree('busybox-static')
  return { kit: kernelPath.replace(/\/kernel$/, ''), busybox: fileOf(tree, 'usr/bin/busybox') }
}

/** Test files run side by side: who comes second finds the kit built. The lock is gone when its process is, whatever happens to us. */
async function lockOf(path: string): Promise<AsyncDisposable> {
  const holder = spawn('flock', [path, 'sh', '-c', 'echo held; exec cat'], { stdio: ['pipe', 'pipe', 'inherit'] })
  await once(holder.stdout, 'data')
  return {
    async [Symbol.asyncDispose]() {
      holder.stdin.end()
      await once(holder, 'close')
    },
  }
}

/**
 * Runs a test file once more in namespaces of its own, the variable saying that it is there. A test that hangs is ended and named, and
 * nothing that it started is left.
 */
export function runInNamespace(file: string, variable: string, value: string): void {
  const unshare = ['--net', '--pid', '--mount-proc', '--fork', '--kill-child']
  const test = [process.execPath, '--test', `--test-timeout=${TEST_MS}`, '--test-force-exit', file]
  const result = spawnSync('unshare', [...unshare, ...test], {
    env: { ...process.env, [variable]: value, NODE_TEST_CONTEXT: undefined },
    encoding: 'utf8',
    timeout: FILE_MS,
    killSignal: 'SIGKILL',
  })
  console.log(result.stdout)
  assert.equal(result.status, 0, result.error?.message ?? result.stderr)
}
