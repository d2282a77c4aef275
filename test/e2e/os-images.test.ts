/** An operating system as an image: an unmodified Debian, with systemd or an older init, booted, used and shut down. */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { poll } from '../../src/base/clock.ts'
import { debianRoot } from './images.ts'
import { FIRMWARES, openSite, skip, type Site } from './site.ts'

suite('an operating system', { skip, concurrency: 2, timeout: 1_500_000 }, () => {
  let site: Site
  before(async () => {
    const [root, openrc] = [debianRoot(), debianRoot('openrc')]
    site = await openSite({ name: 'os' })
    await site.ok(['import', '-q', root, 'localhost/debian:12'])
    await site.ok(['import', '-q', openrc, 'localhost/openrc:12'])
  })
  after(() => site?.[Symbol.asyncDispose]())

  for (const { firmware, machine } of FIRMWARES)
    suite(firmware, { concurrency: 1 }, () => {
      const name = `debian-${firmware.toLowerCase()}`
      const exec = (...argv: string[]) => site.run(['exec', name, ...argv])

      test('systemd runs as process 1, and finds its system running', async () => {
        const argv = [
          '--machine',
          machine,
          '--name',
          name,
          '--hostname',
          name,
          '--timeout',
          '300',
          'localhost/debian:12',
        ]
        await site.ok(['run', '-d', ...argv])
        const { mode } = await site.untilState(name, ['running', 'failed', 'exited'], 300_000)
        assert.equal(mode, 'os')
        assert.equal((await exec('readlink', '/proc/1/exe')).stdout, '/usr/lib/systemd/systemd\n')
        await site.untilSystemRuns(name)
        assert.equal((await exec('hostname')).stdout, `${name}\n`)
        assert.match((await exec('cat', '/etc/os-release')).stdout, /Debian/)
      })

      test('exec, cp both ways, and the console in the log', async () => {
        assert.equal((await exec('sh', '-c', 'exit 7')).code, 7)
        const [out, back] = ['blob', 'back'].map((leaf) => join(site.dir, `${name}-${leaf}`)) as [string, string]
        const blob = randomBytes(10 << 20)
        writeFileSync(out, blob)
        await site.ok(['cp', out, `${name}:/root/blob`])
        const sum = createHash('sha256').update(blob).digest('hex')
        assert.equal((await exec('sha256sum', '/root/blob')).stdout, `${sum}  /root/blob\n`)
        await site.ok(['cp', `${name}:/root/blob`, back])
        assert.ok(readFileSync(back).equals(blob))
        const isThere = async (): Promise<true | undefined> =>
          new RegExp(`${name} login:`).test(await site.ok(['logs', '--console', name])) || undefined
        assert.ok(
          await poll(isThere, { everyMs: 500, deadlineMs: 300_000 }),
          await site.ok(['logs', '--console', name]),
        )
        const console = await site.ok(['logs', name])
        assert.match(console, /iPXE/)
      })

      if (firmware === 'BIOS')
        test('stop shuts it down in its own way, and the machine switches itself off', async () => {
          const following = site.start(['logs', '-f', '--console', name])
          await site.ok(['stop', '-t', '300', name])
          assert.match((await following.done).stdout, /Power down/)
          await assertExited()
        })
      else
        test('an operating system that shuts itself down ends its container', async () => {
          const attached = site.start(['attach', '--no-stdin', name])
          await exec('systemctl', 'poweroff')
          const { code, stdout } = await attached.done
          assert.equal(code, 0)
          assert.match(stdout, /Power down/)
          await assertExited()
        })

      if (firmware === 'BIOS')
        test("sysvinit's init runs as process 1, OpenRC starts what it starts, and stop shuts them down", async () => {
          const before = site.powerCommands(machine).length
          await site.ok([
            'run',
            '-d',
            '--machine',
            machine,
            '--name',
            'old',
            '--hostname',
            'old',
            'localhost/openrc:12',
          ])
          const { mode } = await site.untilState('old', ['running', 'failed', 'exited'], 300_000)
          assert.equal(mode, 'os')
          assert.equal(await site.ok(['exec', 'old', 'readlink', '/proc/1/exe']), '/usr/sbin/init')
          assert.equal(await site.ok(['exec', 'old', 'hostname']), 'old')
          const isUp = async () =>
            (await site.run(['exec', 'old', 'rc-status', '-r'])).stdout === 'default\n' ? true : undefined
          assert.ok(
            await poll(isUp, { everyMs: 3000, deadlineMs: 400_000 }),
            await site.ok(['logs', '--console', 'old']),
          )
          await site.ok(['stop', '-t', '300', 'old'])
          assert.match(await site.ok(['logs', '--console', 'old']), /Power down/)
          const { state, exitCode, machineOff } = await site.inspect('old')
          assert.deepEqual([state, exitCode, machineOff], ['exited', 0, true])
          const commands = site
            .powerCommands(machine)
            .slice(before)
            .filter((line) => /power|reset/.test(line))
          assert.deepEqual(commands, ['ipmi power-on', 'guest power-off'])
        })

      async function assertExited(): Promise<void> {
        const { state, exitCode, machineOff } = await site.inspect(name)
        assert.deepEqual([state, exitCode, machineOff], ['exited', 0, true])
        assert.equal((await site.machine(machine)).state, 'off')
        const commands = site.powerCommands(machine).filter((line) => /power|reset/.test(line))
        assert.deepEqual(commands, ['ipmi power-on', 'guest power-off'])
        assert.equal((await site.client.machines.inspect(machine)).containerId, undefined)
      }
    })
})
