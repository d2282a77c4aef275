/** What a container wrote, taken out of it and run again elsewhere; and a machine that has filled itself and needs its server no more. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { after, before, suite, test } from 'node:test'
import { poll, sleep } from '../../src/base/clock.ts'
import { busyboxImage, pushImage } from './images.ts'
import { openSite, skip, type Site } from './site.ts'

/** Each second: forgets what is in memory and can be read again, reads the image anew, says when. */
const READER =
  'while :; do echo 3 >/proc/sys/vm/drop_caches; md5sum /bin/busybox >/dev/null || exit 9; date +%s; sleep 1; done'
/** Writes, deletes and makes a folder; `KEPT` says what of it shows. */
const CHANGE = 'echo kept >/srv/kept; rm /bin/dd; mkdir /srv/folder; chown 7:8 /srv/folder'
const SHOW = 'cat /srv/kept; ls /bin/dd 2>&1; stat -c %u:%g /srv/folder'
const SHOWN = 'kept\nls: /bin/dd: No such file or directory\n7:8\n'
const CHANGED = ['D /bin/dd', 'A /srv/folder', 'A /srv/kept']
const AWAY_MS = 25_000

suite('what is kept', { skip, concurrency: 2, timeout: 1_500_000 }, () => {
  let site: Site
  let image: string
  before(async () => {
    site = await openSite({ name: 'kept' })
    pushImage(busyboxImage(), site.registry, 'busybox:1')
    image = `${site.registry}/busybox:1`
    await site.ok(['pull', '-q', image])
  })
  after(() => site?.[Symbol.asyncDispose]())

  for (const { rootfs, machine, other } of [
    { rootfs: 'lazy', machine: 'rack-1', other: 'rack-1' },
    { rootfs: 'ram', machine: 'rack-2', other: 'rack-2' },
  ])
    test(`${rootfs}: commit makes an image that has the changes, export the whole root`, async () => {
      const name = `written-${rootfs}`
      const kept = `localhost/kept:${rootfs}`
      await site.ok([
        'run',
        '-d',
        '-u',
        'root',
        '--machine',
        machine,
        '--rootfs',
        rootfs,
        '--name',
        name,
        image,
        'sleep 1000',
      ])
      await site.untilState(name, 'running')
      await site.ok(['exec', name, 'sh', '-c', CHANGE])
      await site.ok(['commit', '-q', name, kept])
      const changed = await site.ok(['image', 'diff', image, kept])
      assert.deepEqual(
        changed.split('\n').filter((line) => / \/(srv|bin)\//.test(line)),
        CHANGED,
        changed,
      )
      const archive = `${site.dir}/${rootfs}.tar.gz`
      await site.ok(['export', name, '-o', archive])
      const listed = spawnSync('tar', ['--numeric-owner', '-tvzf', archive], { encoding: 'utf8' })
      assert.equal(listed.status, 0, listed.stderr)
      assert.match(listed.stdout, / 7\/8 .* (\.\/)?srv\/folder\/$/m)
      assert.match(listed.stdout, / (\.\/)?srv\/kept$/m)
      assert.doesNotMatch(listed.stdout, / (\.\/)?bin\/dd( |$)/m)
      await site.ok(['rm', '-f', name])
      const again = await site.run(['run', '-q', '--rm', '-u', 'root', '--machine', other, kept, SHOW])
      assert.deepEqual([again.code, again.stdout], [0, SHOWN], again.stderr)
    })
})

suite('a machine that filled itself', { skip, timeout: 1_500_000 }, () => {
  test('its server goes away for good, and the workload reads what it never read before', async () => {
    await using site = await openSite({ name: 'filled' })
    pushImage(busyboxImage(), site.registry, 'busybox:1')
    const argv = ['-d', '-u', 'root', '--machine', 'rack-1', '--fill', '--name', 'filled']
    await site.ok(['run', ...argv, `${site.registry}/busybox:1`, READER])
    await site.untilState('filled', 'running')
    const isFilled = async () => (await site.inspect('filled')).filledAt
    assert.ok(
      await poll(isFilled, { everyMs: 500, deadlineMs: 300_000 }),
      await site.ok(['logs', '--console', 'filled']),
    )
    site.killServer()
    await sleep(AWAY_MS)
    await site.restartServer()
    // What it printed meanwhile comes with the next question.
    await sleep(3000)
    const times = (await site.ok(['logs', 'filled'])).split('\n').map(Number)
    const gaps = times.slice(1).map((time, at) => time - times[at]!)
    assert.ok(times.length > AWAY_MS / 2000, String(times))
    assert.ok(Math.max(...gaps) < AWAY_MS / 2000, String(gaps))
    await site.ok(['rm', '-f', 'filled'])
  })
})
