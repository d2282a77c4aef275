/** Every kind of root file system, on BIOS and on UEFI, with images that differ in all that a root can get wrong. */
import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { ROOTFS_KINDS } from '../../src/model/rootfs.ts'
import { busyboxImage, debianRoot, describeByUmoci, layeredImage, pushImage, scratchImage } from './images.ts'
import { FIRMWARES, openSite, skip, type Site } from './site.ts'

/** As a person asks for it, and the kind that the container then has. The default kind is what containers.test.ts and os-images.test.ts run on. */
const ROOTS = [
  ...ROOTFS_KINDS.filter((kind) => kind !== 'lazy').map((kind) => ({ name: kind, flags: ['--rootfs', kind], kind })),
  { name: 'image of squashfs', flags: ['--rootfs', 'image', '--image-format', 'squashfs'], kind: 'image' },
] as const

suite('roots', { skip, concurrency: 2, timeout: 1_500_000 }, () => {
  let site: Site
  let layered: string
  before(async () => {
    const root = debianRoot()
    layered = describeByUmoci(layeredImage())
    site = await openSite({ name: 'roots' })
    pushImage(busyboxImage(), site.registry, 'busybox:1')
    pushImage(scratchImage(), site.registry, 'scratch:1')
    pushImage(layeredImage(), site.registry, 'layered:1')
    for (const name of ['busybox', 'scratch', 'layered']) await site.ok(['pull', '-q', `${site.registry}/${name}:1`])
    await site.ok(['import', '-q', root, 'localhost/debian:12'])
  })
  after(() => site?.[Symbol.asyncDispose]())

  for (const { firmware, machine } of FIRMWARES)
    suite(firmware, { concurrency: 1 }, () => {
      for (const { name, flags, kind } of ROOTS) {
        const run = (image: string, ...argv: string[]) =>
          site.run(['run', '-q', '--rm', '--machine', machine, ...flags, image, ...argv])

        test(`${name}: the tree of many layers is what umoci unpacks`, async () => {
          const { code, stdout, stderr } = await run(`${site.registry}/layered:1`)
          assert.equal(code, 0, stderr)
          assert.equal(stdout, layered)
        })

        // How the file is packed is nothing that a program sees, once its tree is right.
        if (name !== 'image of squashfs') {
          test(`${name}: a program alone in its image`, async () => {
            const { code, stdout, stderr } = await run(`${site.registry}/scratch:1`, 'now', 'then')
            assert.deepEqual([code, stdout, stderr], [1, 'hello from scratch\n', 'and to stderr\n'])
          })

          test(`${name}: a user's program writes where it may, and reads what was there`, async () => {
            const script =
              'echo "$GREETING"; echo new >/tmp/file && cat /tmp/file; echo x >/etc/passwd || echo refused; exit 7'
            const { code, stdout, stderr } = await run(`${site.registry}/busybox:1`, script)
            assert.deepEqual([code, stdout], [7, 'hello there\nnew\nrefused\n'], stderr)
          })
        }

        if (name !== 'image of squashfs')
          test(`${name}: an operating system starts from it`, async () => {
            const id = `debian-${machine}-${name.replaceAll(' ', '-')}`
            const argv = ['--machine', machine, '--name', id, '--timeout', '400', ...flags, 'localhost/debian:12']
            await site.ok(['run', '-d', ...argv])
            const { rootfs } = await site.untilState(id, ['running', 'failed'], 400_000)
            assert.equal(rootfs, kind)
            await site.untilSystemRuns(id)
            await site.ok(['rm', '-f', id])
          })
      }
    })
})
