/** The drives of a rack's machines: QEMU's own firmware boots from them, told by Redfish; what they hold is a file or comes over HTTP. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { after, before, suite, test } from 'node:test'
import { poll } from '../../src/base/clock.ts'
import type { RackInfo } from '../../src/rack/info.ts'
import { rackDown, rackEject, rackInfo, rackInsert, rackPress, rackSpawn, rackUp } from '../../src/rack/rack.ts'
import { makeCd, makeStick, said } from '../fakes/boot-media.ts'

const PROGRAMS =
  'qemu-system-x86_64 ipmi_sim ip nsenter unshare setpriv openssl curl mformat mcopy xorriso lighttpd'.split(' ')
const missing = PROGRAMS.filter((program) => spawnSync('sh', ['-c', `command -v ${program}`]).status !== 0)
if (!existsSync('/usr/share/OVMF/OVMF_CODE_4M.fd')) missing.push('ovmf')
if (!existsSync('/usr/share/doc/qemu-block-extra')) missing.push('qemu-block-extra')
const skip = missing.length > 0 ? `not installed: ${missing.join(', ')}` : false

const SYSTEM = '/redfish/v1/Systems/1'
const CD = '/redfish/v1/Managers/1/VirtualMedia/Cd'
const ORIGIN = 'http://172.29.0.1:8080'

suite('rack media', { skip, timeout: 1_800_000 }, () => {
  const dir = mkdtempSync(join(tmpdir(), "rack's media, "))
  const place = { stateDir: join(dir, 'racks') }
  const stick = makeStick(dir, 'stick')
  makeCd(dir, 'disc')
  let rack: RackInfo

  before(async () => {
    rack = await rackUp({ ...place, firmware: ['bios', 'uefi'], memoryMiB: 256 })
    const config = join(dir, 'lighttpd.conf')
    writeFileSync(config, `server.document-root = "${dir}"\nserver.port = 8080\nserver.bind = "172.29.0.1"\n`)
    await rackSpawn(place, ['lighttpd', '-D', '-f', config], { stdio: 'ignore' })
  })
  after(async () => {
    await rackDown(place)
    rmSync(dir, { recursive: true })
  })

  async function redfish(
    index: number,
    path: string,
    body?: object,
    method = 'POST',
  ): Promise<{ status: number; body: any }> {
    const { bmcAddress, name } = rack.machines[index]!
    const login = `user = "admin:${readFileSync(rack.passwordFile, 'utf8').trim()}"`
    const sent =
      body === undefined ? [] : ['-X', method, '-H', 'content-type: application/json', '-d', JSON.stringify(body)]
    // The certificate is its own authority, and names the address.
    const argv = [
      'curl',
      '-sS',
      '-K',
      '-',
      '--cacert',
      join(rack.dir, name, 'bmc.pem'),
      '-w',
      '\n%{http_code}',
      ...sent,
    ]
    const child = await rackSpawn(place, [...argv, `https://${bmcAddress}${path}`], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    child.stdin!.end(login)
    const answer = await text(child.stdout!)
    const at = answer.lastIndexOf('\n')
    return { status: Number(answer.slice(at + 1)), body: at > 0 ? JSON.parse(answer.slice(0, at)) : undefined }
  }

  async function override(index: number, target: string, enabled: string): Promise<void> {
    const boot = { BootSourceOverrideTarget: target, BootSourceOverrideEnabled: enabled }
    const { status, body } = await redfish(index, SYSTEM, { Boot: boot }, 'PATCH')
    assert.deepEqual([status, body.Boot.BootSourceOverrideTarget], [200, target])
  }

  /** Waits until the serial line, from a byte on, has this. */
  async function until(index: number, from: number, pattern: RegExp): Promise<void> {
    const line = () => readFileSync(rack.machines[index]!.consoleLog, 'latin1').slice(from)
    const found = await poll(() => pattern.test(line()) || undefined, { everyMs: 100, deadlineMs: 300_000 })
    assert.ok(found, `no ${pattern} in ${JSON.stringify(line().slice(-500))}`)
  }
  const length = (index: number): number => readFileSync(rack.machines[index]!.consoleLog).length

  for (const [index, firmware] of (['bios', 'uefi'] as const).entries())
    test(`${firmware}: a CD over HTTP that Redfish inserts is booted once, then the network`, async () => {
      const insert = `${CD}/Actions/VirtualMedia.InsertMedia`
      assert.equal((await redfish(index, insert, { Image: `${ORIGIN}/none.iso` })).status, 400)
      assert.equal((await redfish(index, insert, { Image: `${ORIGIN}/disc.iso`, WriteProtected: true })).status, 204)
      const { body } = await redfish(index, CD)
      assert.deepEqual([body.Image, body.Inserted, body.ImageName], [`${ORIGIN}/disc.iso`, true, 'disc.iso'])
      await override(index, 'Cd', 'Once')
      const from = length(index)
      const reset = `${SYSTEM}/Actions/ComputerSystem.Reset`
      assert.equal((await redfish(index, reset, { ResetType: 'On' })).status, 204)
      await until(index, from, new RegExp(said(firmware, 'disc')))
      assert.equal((await redfish(index, SYSTEM)).body.Boot.BootSourceOverrideEnabled, 'Disabled')
      const again = length(index)
      assert.equal((await redfish(index, reset, { ResetType: 'ForceRestart' })).status, 204)
      await until(index, again, /iPXE initialising devices|Start PXE over IPv4/)
      // Pulled while the machine is on, and another one plugged in.
      assert.equal((await redfish(index, `${CD}/Actions/VirtualMedia.EjectMedia`, {})).status, 204)
      await rackInsert(place, rack.machines[index]!.name, { drive: 'usb', source: stick, isWritable: false })
      assert.equal((await redfish(index, CD)).body.Inserted, false)
      await rackEject(place, rack.machines[index]!.name, 'usb')
      assert.equal((await redfish(index, reset, { ResetType: 'ForceOff' })).status, 204)
      assert.doesNotMatch(readFileSync(rack.machines[index]!.chassisLog, 'utf8'), /died/)
    })

  test('a writable stick from a file boots as long as the override says; a lost server leaves the drive empty', async () => {
    await rackInsert(place, 'rack-1', { drive: 'usb', source: stick, isWritable: true })
    assert.deepEqual((await rackInfo(place)).machines[0]!.media, { usb: { source: stick, isWritable: true } })
    await override(0, 'Usb', 'Continuous')
    for (const button of ['power-on', 'reset'] as const) {
      const from = length(0)
      await rackPress(place, 'rack-1', button)
      await until(0, from, new RegExp(said('bios', 'stick')))
    }
    await rackPress(place, 'rack-1', 'power-off')
    rmSync(stick)
    const from = length(0)
    await rackPress(place, 'rack-1', 'power-on')
    await until(0, from, /iPXE initialising devices/)
    assert.match(readFileSync(rack.machines[0]!.chassisLog, 'utf8'), /qemu usb cannot be read/)
    await rackPress(place, 'rack-1', 'unplug')
    assert.deepEqual((await rackInfo(place)).machines[0]!.media, {})
  })
})
