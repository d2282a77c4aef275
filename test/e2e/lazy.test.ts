/**
 * Lazy roots where it hurts: an image four times as large as the machine's memory, a server that is away, a disk of the server
 * that lies, somebody who has no right to an image.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { closeSync, openSync, readdirSync, readSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { poll, sleep } from '../../src/base/clock.ts'
import { largeRoot, LARGE_FILES } from './large-root.ts'
import { FIRMWARES, openSite, skip, type Site } from './site.ts'

const IMAGE = 'localhost/large:1'
/** Reads file after file of the image, and says what it read. */
const READ_MANY = `cd /big; for f in 0[1-4]; do md5sum $f || exit 9; done`

const AWAY_S = 60

suite('lazy roots', { skip, timeout: 1_200_000 }, () => {
  let site: Site
  before(async () => {
    site = await openSite({ name: 'lazy', memoryMiB: 512 })
    using root = largeRoot(site.dir)
    await site.ok(['import', '-q', root.path, IMAGE], { deadlineMs: 300_000 })
  })
  after(() => site?.[Symbol.asyncDispose]())

  test('a machine of 512 MB runs an image of 2 GB; into its memory it does not go, and that is said before power-on', async () => {
    const [{ machine }] = FIRMWARES
    const ran = await site.run([
      'run',
      '-q',
      '--rm',
      '--machine',
      machine,
      IMAGE,
      'sh',
      '-c',
      'du -sm /big; head -c 8 /big/01',
    ])
    assert.match(ran.stdout, /^20\d\d\t\/big\n/, ran.stderr)
    const before = site.powerCommands(machine).length
    const refused = await site.run(['run', '--machine', machine, '--rootfs', 'ram', IMAGE, 'true'])
    assert.match(refused.stderr, /with --rootfs ram: it needs 2\d+ MiB and the machine has \d+ MiB; --rootfs lazy/)
    assert.equal(site.powerCommands(machine).length, before)
    await site.ok(['rm', '-f', await site.ok(['ps', '-aq'])])
  })

  test('a server that is away for 60 s costs the workload a pause, on BIOS and UEFI, and no error', async () => {
    const names = FIRMWARES.map(({ machine }) => `reader-${machine}`)
    for (const [at, { machine }] of FIRMWARES.entries())
      await site.ok(['run', '-d', '--machine', machine, '--name', names[at]!, IMAGE, 'sh', '-c', READ_MANY])
    for (const name of names) {
      await site.untilState(name, 'running')
      await printed(name, 2)
    }
    site.killServer()
    await sleep(AWAY_S * 1000)
    await site.restartServer()
    for (const name of names) {
      // Who waits does nothing: of its ticks (1/100 s, proc(5)) since power-on a machine spent most of this time idle or waiting for reads.
      const [, , , , idle, ioWait] = (await site.ok(['exec', name, 'head', '-1', '/proc/stat'])).split(/ +/).map(Number)
      assert.ok((idle! + ioWait!) / 100 > AWAY_S / 2, `${idle} + ${ioWait} ticks in ${AWAY_S} s`)
    }
    for (const name of names) {
      assert.equal((await site.run(['wait', name], { deadlineMs: 500_000 })).stdout, '0\n')
      const sums = (await site.ok(['logs', name])).split('\n').map((line) => line.split('  '))
      assert.deepEqual(
        sums,
        LARGE_FILES.slice(0, 4).map(({ name: file, md5 }) => [md5, file]),
      )
      assert.doesNotMatch(await site.ok(['logs', '--console', name]), /I\/O error|EXT4-fs error|erofs: .*error/i)
      await site.ok(['rm', name])
    }
  })

  test('a block that is not what it was when the image came in is an I/O error, never wrong data', async () => {
    const victim = LARGE_FILES[3]!
    using _rot = rot(join(site.dir, 'data/images/blobs'), victim.marker)
    const script = `cat /big/${victim.name} >/dev/null; echo "code $?"; md5sum </big/${LARGE_FILES[4]!.name}`
    const { stdout, stderr } = await site.run([
      'run',
      '-q',
      '--rm',
      '--machine',
      FIRMWARES[1].machine,
      IMAGE,
      'sh',
      '-c',
      script,
    ])
    assert.equal(stdout, `code 1\n${LARGE_FILES[4]!.md5}  -\n`, stderr)
    assert.match(stderr, /I\/O error|Input\/output error/)
  })

  test('nobody reads an image whose name he does not know, nor learns it', () => {
    const ask = (...argv: string[]) => {
      const inside = ['-t', String(site.rack.keeperPid), '-n']
      return spawnSync('nsenter', [...inside, 'nbdinfo', ...argv], { encoding: 'utf8', timeout: 30_000 })
    }
    const url = `nbd://${site.rack.network.gateway}:10809`
    for (const argv of [[`${url}/`], [`${url}/${'A'.repeat(43)}`], ['--list', url]]) {
      const { status, stderr } = ask(...argv)
      assert.notEqual(status, 0)
      assert.match(stderr, /nbdinfo: /)
    }
  })

  async function printed(name: string, lines: number): Promise<void> {
    const isThere = async () => (await site.ok(['logs', name])).split('\n').length >= lines || undefined
    assert.ok(await poll(isThere, { everyMs: 500, deadlineMs: 300_000 }), await site.ok(['logs', '--console', name]))
  }
})

/** Flips a bit of the blob that holds `marker`, behind it; puts it back when disposed. */
function rot(directory: string, marker: string): Disposable {
  for (const path of files(directory)) {
    if (statSync(path).size < 1 << 30) continue
    const at = find(path, Buffer.from(marker))
    if (at === undefined) continue
    flip(path, at + 100_000)
    return { [Symbol.dispose]: () => flip(path, at + 100_000) }
  }
  throw new Error(`no blob has ${marker}`)
}

function files(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
}

function find(path: string, marker: Buffer): number | undefined {
  const file = openSync(path, 'r')
  try {
    const bytes = Buffer.alloc(1 << 20)
    for (let at = 0; ; at += bytes.length - marker.length) {
      const length = readSync(file, bytes, 0, bytes.length, at)
      const found = bytes.subarray(0, length).indexOf(marker)
      if (found >= 0) return at + found
      if (length < bytes.length) return undefined
    }
  } finally {
    closeSync(file)
  }
}

function flip(path: string, at: number): void {
  const file = openSync(path, 'r+')
  try {
    const byte = Buffer.alloc(1)
    readSync(file, byte, 0, 1, at)
    byte[0]! ^= 1
    writeSync(file, byte, 0, 1, at)
  } finally {
    closeSync(file)
  }
}
