/** `run --via media`, on BIOS and on UEFI: a machine whose firmware is told nothing by the network starts from a virtual drive of its Redfish BMC. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { after, before, suite, test } from 'node:test'
import { busyboxImage, pushImage } from './images.ts'
import { FIRMWARES, openSite, skip as siteSkip, type Site } from './site.ts'

const skip = siteSkip || (!existsSync('/usr/share/doc/qemu-block-extra') && 'not installed: qemu-block-extra')

suite('run --via media', { skip, concurrency: 1, timeout: 900_000 }, () => {
  let site: Site
  before(async () => {
    site = await openSite({ name: 'viamedia', bmc: 'redfish', flags: ['--tftp', 'false'] })
    pushImage(busyboxImage(), site.registry, 'busybox:1')
    await site.ok(['pull', '-q', `${site.registry}/busybox:1`])
  })
  after(() => site?.[Symbol.asyncDispose]())

  for (const { firmware, machine } of FIRMWARES)
    test(`${firmware}: the workload runs, its exit code arrives, and the drive is empty again`, async () => {
      const argv = ['run', '-q', '--via', 'media', '--timeout', '300', '--machine', machine, '--name', `via-${machine}`]
      const { code, stdout, stderr } = await site.run(
        [...argv, `${site.registry}/busybox:1`, 'echo from a medium; exit 7'],
        {
          deadlineMs: 400_000,
        },
      )
      assert.deepEqual([code, stdout], [7, 'from a medium\n'], stderr)
      const drives = JSON.parse(await site.ok(['media', 'ls', '--json', machine])) as {
        drives: { inserted?: string }[]
        medium?: object
      }
      assert.deepEqual(
        [drives.medium, drives.drives.map(({ inserted }) => inserted)],
        [undefined, drives.drives.map(() => undefined)],
      )
      const { chassisLog } = site.rack.machines.find(({ name }) => name === machine)!
      assert.match(readFileSync(chassisLog, 'utf8'), /redfish boot cd/i)
      assert.doesNotMatch(
        readFileSync(site.serverLog, 'utf8'),
        /\/media\/[A-Za-z0-9_-]{43}\//,
        'the address is in no log',
      )
    })
})
