/** Everything that can be wrong with a machine, its BMC or an image: each ends in `failed`, with stage and cause, machine off and free. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import type { Ran } from './command-line.ts'
import { busyboxImage, foreignImage, plainImage, pushImage } from './images.ts'
import { FIRMWARES, openSite, skip, type Site } from './site.ts'

suite('what goes wrong', { skip, concurrency: 1, timeout: 1_500_000 }, () => {
  let site: Site
  let busybox: string
  let password: string

  before(async () => {
    site = await openSite({ name: 'bad' })
    password = readFileSync(site.rack.passwordFile, 'utf8').trim()
    busybox = `${site.registry}/busybox:1`
    pushImage(busyboxImage(), site.registry, 'busybox:1')
    pushImage(plainImage(), site.registry, 'plain:1')
    pushImage(foreignImage(), site.registry, 'foreign:1')
    await site.ok(['pull', busybox])
    await site.ok(['pull', `${site.registry}/plain:1`])
  })
  after(() => site?.[Symbol.asyncDispose]())

  /** It exits 125 after having said each of the words, and leaves the machine free. */
  async function assertFailed(ran: Ran, machine: string, stage: string, ...words: RegExp[]): Promise<void> {
    assert.equal(ran.code, 125, ran.stderr)
    assert.match(ran.stderr, new RegExp(`failed at stage "${stage}"`))
    for (const word of words) assert.match(ran.stderr, word)
    const [last] = await site.client.containers.list({ all: true, filters: [`machine=${machine}`] })
    assert.deepEqual([last!.state, last!.failedStage], ['failed', stage])
    assert.equal((await site.client.machines.inspect(machine)).containerId, undefined)
  }

  async function assertOff(machine: string): Promise<void> {
    assert.equal((await site.machine(machine)).state, 'off')
  }

  suite('the BMC and the image, one after the other', { concurrency: 1 }, () => {
    const add = (name: string, bmc: string, secret: string): Promise<string> =>
      site.ok(['machine', 'add', name, '--mac', `52:54:00:aa:00:0${name.length % 10}`, '--bmc', bmc], {
        env: { BAREBOAT_BMC_PASSWORD: secret },
      })

    test('a wrong BMC password is told within seconds', async () => {
      await add('locked', site.rack.machines[0]!.bmc, 'wrong')
      const ran = await site.run(['run', '--machine', 'locked', busybox])
      await assertFailed(ran, 'locked', 'power-on', /password/)
      assert.ok(ran.tookMs < 60_000, `${ran.tookMs} ms`)
      assert.ok(!ran.stderr.includes(password))
    })

    test('a BMC that does not answer', async () => {
      await add('deaf', 'ipmi://admin@172.29.0.99', 'secret')
      const ran = await site.run(['run', '--machine', 'deaf', busybox])
      await assertFailed(ran, 'deaf', 'power-on', /172\.29\.0\.99/, /no answer|does not answer/)
      assert.ok(ran.tookMs < 120_000, `${ran.tookMs} ms`)
    })

    test('images that cannot run here are refused before power-on', async () => {
      const before = site.powerCommands('rack-1').length
      const plain = await site.run(['run', '--machine', 'rack-1', `${site.registry}/plain:1`])
      await assertFailed(plain, 'rack-1', 'prepare', /has no ENTRYPOINT, no CMD and no init/)
      const user = await site.run(['run', '--machine', 'rack-1', '-u', 'nobody', busybox])
      await assertFailed(user, 'rack-1', 'prepare', /user "nobody"/)
      const foreign = await site.run(['run', '--machine', 'rack-1', '--early', 'false', `${site.registry}/foreign:1`])
      await assertFailed(foreign, 'rack-1', 'prepare', /arm64/)
      const missing = await site.run(['run', '--machine', 'rack-1', '--early', 'false', `${site.registry}/missing:1`])
      await assertFailed(missing, 'rack-1', 'prepare', /missing:1.*404/)
      assert.equal(site.powerCommands('rack-1').length, before)
    })

    test('a machine that is too small is refused before power-on', async () => {
      await site.ok(
        [
          'machine',
          'add',
          'small',
          '--mac',
          '52:54:00:aa:00:77',
          '--memory',
          '128',
          '--bmc',
          site.rack.machines[1]!.bmc,
        ],
        {
          env: { BAREBOAT_BMC_PASSWORD: password },
        },
      )
      const before = site.powerCommands('rack-2').length
      const ran = await site.run(['run', '--machine', 'small', busybox])
      await assertFailed(ran, 'small', 'prepare', /it needs \d+ MiB and the machine has 128 MiB/)
      assert.equal(site.powerCommands('rack-2').length, before)
      await site.ok(['machine', 'rm', 'small'])
    })

    test('an image that turns out to be missing while the machine starts early', async () => {
      const ran = await site.run(['run', '--machine', 'rack-1', '--early', 'true', `${site.registry}/missing:1`])
      await assertFailed(ran, 'rack-1', 'prepare', /missing:1.*404/)
      await assertOff('rack-1')
    })
  })

  suite('on each machine', { concurrency: 2 }, () => {
    for (const { firmware, machine } of FIRMWARES)
      suite(firmware, { concurrency: 1 }, () => {
        // Nothing in these is of the firmware: on the machine that starts sooner.
        if (firmware === 'BIOS') {
          test('two runs at the same time: one gets the machine, the other an error', async () => {
            const runs = [1, 2].map(() => site.start(['run', '-q', '--rm', '--machine', machine, busybox, 'echo mine']))
            const [a, b] = await Promise.all(runs.map(({ done }) => done))
            const [won, lost] = a!.code === 0 ? [a!, b!] : [b!, a!]
            assert.deepEqual([won.code, won.stdout], [0, 'mine\n'], won.stderr)
            assert.equal(lost.code, 125, lost.stderr)
            assert.match(lost.stderr, new RegExp(`no machine is free \\(${machine} runs container`))
            await assertOff(machine)
          })

          test('Ctrl-C while it boots stops the container', async () => {
            const running = site.start(['run', '--machine', machine, busybox])
            await running.until(/ipxe /)
            running.kill('SIGINT')
            const { code, stderr } = await running.done
            assert.equal(code, 130, stderr)
            await assertOff(machine)
            const [last] = await site.client.containers.list({ all: true, filters: [`machine=${machine}`] })
            assert.equal(last!.state, 'exited')
          })

          test('a program that is not in the image: 127', async () => {
            const ran = await site.run(['run', '--machine', machine, '--entrypoint', '/no/such', busybox])
            assert.equal(ran.code, 127, ran.stderr)
            assert.match(ran.stderr, /\/no\/such.*(not found|no such file)/i)
            await assertOff(machine)
          })

          test('a kernel that panics', async () => {
            const ran = await site.run(['run', '--machine', machine, '--kernel-param', 'rdinit=/no/such', busybox])
            await assertFailed(ran, machine, 'initrd', /the kernel panicked/)
            await assertOff(machine)
          })
        }

        test('an initrd that is none', async () => {
          const file = join(site.dir, `${machine}.initrd`)
          writeFileSync(file, 'this is no initrd\n'.repeat(1000))
          await site.ok(['kit', 'import-initrd', `junk-${machine}`, file])
          const ran = await site.run(['run', '--machine', machine, '--initrd', `junk-${machine}`, busybox])
          await site.ok(['kit', 'rm-initrd', `junk-${machine}`])
          await assertFailed(ran, machine, 'initrd', /the kernel panicked/)
          await assertOff(machine)
        })

        test('a machine that never asks for an address', async () => {
          const { macs } = await site.client.machines.inspect(machine)
          await site.ok(['machine', 'set', machine, '--mac', `52:54:00:bb:00:0${machine.at(-1)}`])
          const ran = await site.run(['run', '--machine', machine, '--timeout', '15', busybox])
          await site.ok(['machine', 'set', machine, '--mac', macs[0]!])
          await assertFailed(ran, machine, 'dhcp', /waited 1\d s for a DHCP request/, /is its MAC the registered one/)
          assert.ok(ran.tookMs < 60_000, `${ran.tookMs} ms`)
          await assertOff(machine)
        })
      })
  })
})
