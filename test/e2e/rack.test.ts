/** A whole rack with real QEMU and ipmi_sim, judged by ipmitool, curl and ip. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { text } from 'node:stream/consumers'
import { after, before, suite, test } from 'node:test'
import { poll } from '../../src/base/clock.ts'
import type { RackInfo, RackMachine } from '../../src/rack/info.ts'
import { listen } from '../../src/rack/listening.ts'
import { markedProcesses } from '../../src/rack/processes.ts'
import {
  rackConsole,
  rackDown,
  rackExec,
  rackInfo,
  rackList,
  rackPlug,
  rackPress,
  rackSpawn,
  rackUnplug,
  rackUp,
} from '../../src/rack/rack.ts'

const PROGRAMS = ['qemu-system-x86_64', 'ipmi_sim', 'ipmitool', 'curl', 'ip', 'nsenter', 'unshare', 'setpriv', 'script']
const missing = PROGRAMS.filter((program) => spawnSync('sh', ['-c', `command -v ${program}`]).status !== 0)
if (!existsSync('/usr/share/OVMF/OVMF_CODE_4M.fd')) missing.push('ovmf')
const skip = missing.length > 0 ? `not installed: ${missing.join(', ')}` : false

suite('rack', { skip, timeout: 900_000 }, () => {
  // With everything that a shell, ipmi_sim's or QEMU's option parser could stumble over.
  const stateDir = mkdtempSync(join(tmpdir(), "rack's, "))
  const place = { stateDir }
  const wish = { machines: 2, firmware: ['bios', 'uefi'], memoryMiB: 512, diskMiB: 16 } as const
  let rack: RackInfo

  before(async () => {
    rack = await rackUp({ stateDir, ...wish })
  })
  after(async () => {
    await rackDown(place)
    rmSync(stateDir, { recursive: true })
  })

  /** What a program inside the rack says, and its exit code. */
  async function inside(...argv: string[]): Promise<{ code: number | null; out: string }> {
    const child = await rackSpawn(place, argv, { stdio: ['ignore', 'pipe', 'pipe'] })
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
    const [out, err, code] = await Promise.all([text(child.stdout!), text(child.stderr!), ended])
    return { code, out: (out + err).trim() }
  }

  async function ipmi(index: number, command: string): Promise<string> {
    const address = ['-H', rack.machines[index]!.bmcAddress, '-U', 'admin', '-f', rack.passwordFile]
    const { code, out } = await inside('ipmitool', '-I', 'lanplus', '-C', '3', ...address, ...command.split(' '))
    assert.equal(code, 0, `ipmitool ${command}: ${out}`)
    return out
  }

  async function curl(index: number, ...args: string[]): Promise<string> {
    const [path, ...options] = args.toReversed()
    const url = `${rack.machines[index]!.bmcs.http}${path}`
    return (await inside('curl', '-s', '-w', ' %{http_code}', '--max-time', '10', ...options, url)).out
  }

  async function machine(index: number): Promise<RackMachine> {
    return (await rackInfo(place)).machines[index]!
  }

  function trace(index: number): string[] {
    const lines = readFileSync(rack.machines[index]!.chassisLog, 'utf8').trimEnd().split('\n')
    return lines.map((line) => line.split(' ').slice(1).join(' '))
  }

  test('rackUp gives machines that are off, a network without a way out, and a working egress', async () => {
    assert.deepEqual(
      rack.machines.map(({ name, mac, state, firmware }) => [name, mac, state, firmware]),
      [
        ['rack-1', '52:54:00:29:00:01', 'off', 'bios'],
        ['rack-2', '52:54:00:29:00:02', 'off', 'uefi'],
      ],
    )
    assert.deepEqual(
      (await rackList({ stateDir })).map(({ name, isUp }) => [name, isUp]),
      [['default', true]],
    )
    assert.equal((await inside('ip', 'route')).out, '172.29.0.0/24 dev br0 proto kernel scope link src 172.29.0.1')
    const links = (await inside('ip', '-brief', 'link')).out.split('\n').map((line) => line.split(/[ @]/)[0]!)
    assert.deepEqual(new Set(links), new Set(['lo', 'br0', 'always-on', 'always-on-end', 'tap1', 'tap2']))
    assert.doesNotMatch((await inside('ip', '-6', 'address')).out, /tentative/)

    const server = createServer((_request, response) => response.end('from the host'))
    await using _listening = await listen(server, { host: '127.0.0.1', port: 0 })
    const address = server.address()
    const url = `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}/`
    assert.notEqual((await inside('curl', '-s', '--noproxy', '*', url)).code, 0)
    assert.equal((await inside('curl', '-s', '--noproxy', '', '-x', rack.egress.url, url)).out, 'from the host')
    assert.equal((await inside('curl', '-s', '--noproxy', '', '-p', '-x', rack.egress.url, url)).out, 'from the host')
  })

  test('rackExec gives the exit code', async () => {
    assert.equal(await rackExec(place, ['sh', '-c', 'exit 7']), 7)
    assert.equal(await rackExec(place, ['sh', '-c', 'kill -9 $$']), 137)
  })

  test('IPMI: power on by PXE, serial line, status, cycle, off', async () => {
    assert.match(await ipmi(0, 'chassis power status'), /Chassis Power is off/)
    await ipmi(0, 'chassis bootdev pxe')
    assert.equal((await machine(0)).boot, 'pxe')
    await ipmi(0, 'chassis power on')
    const line = watch(await rackConsole(place, 'rack-1'))
    await line.until(/SeaBIOS[^]*UUID ed2f8541-e9e8-8951-8b64-6bb191b38102[^]*iPXE[^]*52:54:00:29:00:01/)
    assert.match(await ipmi(0, 'chassis power status'), /Chassis Power is on/)
    assert.deepEqual([(await machine(0)).state, (await machine(0)).boot], ['on', 'none'])
    await ipmi(0, 'chassis power reset')
    await line.until(/(SeaBIOS[^]*){2}/)
    await ipmi(0, 'chassis power off')
    assert.match(await ipmi(0, 'chassis power status'), /Chassis Power is off/)
    line.end()
    assert.deepEqual(trace(0), ['ipmi boot pxe', 'ipmi power-on', 'ipmi reset', 'ipmi power-off'])
  })

  test('a guest that reboots stays on and boots again; SOL reaches it', async () => {
    await rackPress(place, 'rack-1', 'power-on')
    const line = watch(await rackConsole(place, 'rack-1', { from: 'now' }))
    const { bmcAddress } = rack.machines[0]!
    const activate = `ipmitool -I lanplus -C 3 -H ${bmcAddress} -U admin -f "${rack.passwordFile}" sol activate`
    const sol = await rackSpawn(place, ['script', '-qec', activate, '/dev/null'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    const seen = { text: '' }
    sol.stdout!.on('data', (bytes: Buffer) => (seen.text += bytes.toString('latin1')))
    await line.until(/No bootable device|Ctrl-B for the iPXE command line/)
    // iPXE listens for Ctrl-B for two seconds; through SOL, so that both ways of SOL are seen.
    const prompt = await poll(
      () => {
        sol.stdin!.write('\x02')
        return /iPXE> /.test(seen.text) || undefined
      },
      { everyMs: 200, deadlineMs: 60_000 },
    )
    assert.ok(prompt, `no iPXE prompt over SOL: ${JSON.stringify(seen.text.slice(-300))}`)
    sol.stdin!.write('reboot\r')
    // The last letters of the echo may be lost with the reset.
    await line.until(/iPXE> reb[^]*SeaBIOS/)
    assert.equal((await machine(0)).state, 'on')
    assert.ok(trace(0).includes('guest reset'))
    sol.stdin!.end('~.')
    sol.kill('SIGKILL')
    line.end()
    await rackPress(place, 'rack-1', 'power-off')
  })

  test('HTTP power API: five routes, wrong method 501, unknown 404', async () => {
    assert.equal(await curl(1, '/status'), '{"PoweredOn":false} 200')
    assert.equal(await curl(1, '-XPOST', '/pxeboot'), '200')
    assert.equal((await machine(1)).boot, 'pxe')
    assert.equal(await curl(1, '-XPOST', '/poweron'), '200')
    assert.equal(await curl(1, '/status'), '{"PoweredOn":true} 200')
    const line = watch(await rackConsole(place, 'rack-2'))
    await line.until(/Start PXE over IPv4/)
    line.end()
    assert.ok((await machine(1)).rssBytes! > 0)
    assert.equal(await curl(1, '-XPOST', '/reboot'), '200')
    assert.equal(await curl(1, '-XPOST', '/poweroff'), '200')
    assert.equal(await curl(1, '/status'), '{"PoweredOn":false} 200')
    assert.match(await curl(1, '/poweron'), / 501$/)
    assert.match(await curl(1, '-XPOST', '/status'), / 501$/)
    assert.match(await curl(1, '-XPOST', '/format'), / 404$/)
    assert.match(await curl(1, '/__proto__'), / 404$/)
    assert.deepEqual(trace(1), ['http boot pxe', 'http power-on', 'http reset', 'http power-off'])
  })

  test('a guest that switches itself off is off', async () => {
    await ipmi(1, 'chassis bootdev disk')
    const line = watch(await rackConsole(place, 'rack-2', { from: 'now' }))
    await ipmi(1, 'chassis power on')
    // Its disk is empty, so that OVMF ends in its own shell, which counts down first. What is typed while it starts can be lost.
    await line.until(/seconds to skip/)
    const escape = setInterval(() => line.type('\x1b'), 1000)
    await line.until(/Shell> /).finally(() => clearInterval(escape))
    const isOff = async (): Promise<true | undefined> => {
      line.type('reset -s\r')
      return (await machine(1)).state === 'off' || undefined
    }
    assert.ok(await poll(isOff, { everyMs: 1000, deadlineMs: 60_000 }))
    line.end()
    assert.deepEqual(trace(1).slice(-3), ['ipmi boot disk', 'ipmi power-on', 'guest power-off'])
    assert.match(await ipmi(1, 'chassis power status'), /Chassis Power is off/)
  })

  test('without mains power the machine and its BMCs are dead; with it the machine is off', async () => {
    await ipmi(0, 'chassis power on')
    await rackUnplug(place, 'rack-1')
    const { pid, state } = await machine(0)
    assert.deepEqual([pid, state], [undefined, 'unplugged'])
    const { bmcAddress } = rack.machines[0]!
    const tried = await inside(
      'ipmitool',
      '-I',
      'lanplus',
      '-C',
      '3',
      '-N',
      '1',
      '-R',
      '1',
      '-H',
      bmcAddress,
      '-U',
      'admin',
      '-f',
      rack.passwordFile,
      'power',
      'status',
    )
    assert.notEqual(tried.code, 0)
    assert.notEqual((await inside('curl', '-s', '--max-time', '1', rack.machines[0]!.bmcs.http)).code, 0)
    await assert.rejects(rackPress(place, 'rack-1', 'power-on'), /Cannot command "rack-1": it has no mains power/)
    await rackPlug(place, 'rack-1')
    assert.match(await ipmi(0, 'power status'), /is off/)
  })

  test('a second rackUp keeps the set, another kind is refused, an unknown machine is named', async () => {
    const again = await rackUp({ stateDir, ...wish })
    assert.deepEqual(again, rack)
    await assert.rejects(
      rackUp({ stateDir, ...wish, memoryMiB: 1024 }),
      /Cannot set up rack "default": it is there already, and the memory in MiB is 512, not 1024; run `rack down` first/,
    )
    await assert.rejects(rackPress(place, 'rack-9', 'power-on'), /no such machine/)
    await assert.rejects(rackConsole(place, 'rack-9'), /no such machine/)
    await assert.rejects(rackInfo({ stateDir, name: 'other' }), /Cannot find rack "other"/)
  })

  test('a keeper that was killed takes QEMU and the BMCs with it; rackUp recovers the same machines', async () => {
    await ipmi(0, 'chassis power on')
    const { pid } = await machine(0)
    process.kill(rack.keeperPid!, 'SIGKILL')
    const isGone = (): true | undefined => !existsSync(`/proc/${pid}`) || undefined
    assert.ok(await poll(isGone, { everyMs: 10, deadlineMs: 20_000 }), 'QEMU outlived its keeper')
    assert.deepEqual(
      (await rackInfo(place)).machines.map(({ state }) => state),
      ['down', 'down'],
    )
    const again = await rackUp({ stateDir, ...wish })
    assert.deepEqual({ ...again, keeperPid: 0 }, { ...rack, keeperPid: 0 })
    rack = again
    assert.match(await ipmi(0, 'power status'), /is off/)
  })

  test('rackDown leaves no process, no namespace and no file, also after a crash and with programs inside', async () => {
    const { rackId } = JSON.parse(readFileSync(join(rack.dir, 'rack.json'), 'utf8')) as { rackId: string }
    const namespace = readlinkSync(`/proc/${rack.keeperPid}/ns/net`)
    await rackSpawn(place, ['sleep', '600'], { stdio: 'ignore', detached: true })
    await ipmi(0, 'chassis power on')
    assert.ok(markedProcesses(rackId).length >= 6)
    process.kill(rack.keeperPid!, 'SIGSTOP')
    process.kill(rack.keeperPid!, 'SIGKILL')
    assert.equal(await rackDown(place), true)
    assert.deepEqual(markedProcesses(rackId), [])
    assert.ok(!namespaces().includes(namespace))
    assert.deepEqual(
      readdirSync(stateDir).filter((name) => name !== 'kvm.json'),
      [],
    )
    assert.equal(await rackDown(place), false)
    const again = await rackUp({ stateDir, machines: 1 })
    assert.deepEqual([again.machines[0]!.mac, again.machines[0]!.uuid], [rack.machines[0]!.mac, rack.machines[0]!.uuid])
    assert.equal(await rackDown(place), true)
  })
})

/** The network namespaces of all processes. */
function namespaces(): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        return [readlinkSync(`/proc/${pid}/ns/net`)]
      } catch {
        return []
      }
    })
}

interface Watched {
  until(pattern: RegExp): Promise<void>
  type(keys: string): void
  end(): void
}

function watch(line: Duplex): Watched {
  let seen = ''
  line.on('data', (bytes: Buffer) => (seen += bytes.toString('latin1')))
  return {
    async until(pattern) {
      const found = await poll(() => pattern.test(seen) || undefined, { everyMs: 20, deadlineMs: 180_000 })
      assert.ok(found, `no ${pattern} in ${JSON.stringify(seen.slice(-500))}`)
    },
    type: (keys) => void line.write(keys),
    end: () => line.destroy(),
  }
}
