/** A machine with 32-bit UEFI (DHCP's client architecture 6): its firmware loads GRUB by TFTP, and GRUB what iPXE loads elsewhere. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { after, before, suite, test } from 'node:test'
import { poll } from '../../src/base/clock.ts'
import { OVMF } from '../../src/rack/qemu-line.ts'
import { busyboxImage, pushImage } from './images.ts'
import { openSite, skip as siteSkip, type Site } from './site.ts'

const skip = siteSkip || (!existsSync(OVMF.uefi32.code) && `not installed: ${OVMF.uefi32.package}`)

suite('32-bit UEFI', { skip, concurrency: 1, timeout: 900_000 }, () => {
  let site: Site
  before(async () => {
    site = await openSite({ name: 'uefi32', firmware: ['uefi32'] })
    pushImage(busyboxImage(), site.registry, 'busybox:1')
    await site.ok(['pull', '-q', `${site.registry}/busybox:1`])
  })
  after(() => site?.[Symbol.asyncDispose]())

  const consoleText = (): string => readFileSync(site.rack.machines[0]!.consoleLog, 'latin1')

  test('GRUB says why there is nothing to boot, and asks again until there is', async () => {
    await site.ok(['machine', 'power', 'on', 'rack-1'])
    const said = /rack-1 has no container to boot[^]*asking again in 10 s[^]*rack-1 has no container to boot/
    assert.ok(await poll(() => said.test(consoleText()) || undefined, { everyMs: 200, deadlineMs: 180_000 }))
  })

  test('a container boots with a lazy root, its output and its exit code arrive, and the machine is off', async () => {
    const argv = ['run', '-q', '--timeout', '300', '--name', 'small', `${site.registry}/busybox:1`]
    const { code, stdout, stderr } = await site.run(
      [...argv, 'cat /sys/firmware/efi/fw_platform_size; uname -m; exit 7'],
      {
        deadlineMs: 400_000,
      },
    )
    assert.deepEqual([code, stdout], [7, '32\nx86_64\n'], stderr)
    const { rootfs, stage } = await site.inspect('small')
    assert.deepEqual([rootfs, stage], ['lazy', 'running'])
    assert.equal((await site.machine('rack-1')).state, 'off')
  })
})
