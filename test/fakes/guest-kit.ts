/**
 * The kit of the checkout for tests of what runs on a machine, and a network namespace to run them in. What was fetched and built is
 * kept in the temporary directory.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { quietLog } from '../../src/base/log.ts'
import { createDebianArchive } from '../../src/drivers/debian/archive.ts'
import { inflateXz } from '../../src/drivers/debian/xz.ts'
import { openKitDirectory } from '../../src/drivers/kits/directory.ts'
import { readGuestFiles } from '../../src/drivers/kits/guest-files.ts'
import { openBootFile } from '../../src/drivers/kits/open-boot-file.ts'
import { createKits, type BuildOptions } from '../../src/services/kits/kits.ts'
import { createPackageTrees, fileOf } from '../../src/services/kits/packages.ts'

export const GUEST_CACHE = join(tmpdir(), 'bareboat-guest-test')
/** For one test that boots machines which are emulated on a busy host, and for a file of them. */
const [TEST_MS, FILE_MS] = [600_000, 1_500_000]

/** @returns the folder of a kit, and Debian's static busybox */
export async function buildGuestKit(options: BuildOptions = {}): Promise<{ kit: string; busybox: Uint8Array }> {
  mkdirSync(GUEST_CACHE, { recursive: true })
  const source = createDebianArchive({ stateDirectory: join(GUEST_CACHE, 'apt'), log: quietLog })
  const kits = createKits({
    log: quietLog,
    store: await openKitDirectory(join(GUEST_CACHE, 'kits'), quietLog),
    source: () => source,
    inflateXz,
    guestFiles: readGuestFiles,
    openBootFile,
  })
  const { kernelPath } = await kits.build(options)
  const tree = await createPackageTrees(source, inflateXz, () => {}).tree('busybox-static')
  return { kit: kernelPath.replace(/\/kernel$/, ''), busybox: fileOf(tree, 'usr/bin/busybox') }
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
