/** A machine that nobody knows is switched on: it shows itself with its hardware, is accepted under a name, and runs an image. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { poll } from '../../src/base/clock.ts'
import type { Inventory } from '../../src/model/inventory.ts'
import type { Machine } from '../../src/model/machine.ts'
import { machinePaths } from '../../src/rack/layout.ts'
import { busyboxImage, pushImage } from './images.ts'
import { openSite, skip, type Site } from './site.ts'

/** Emulated, with a kernel for every machine, on a busy host. */
const BOOT_MS = 600_000
/** Sectors of 512 bytes. */
const PARTITION = { from: 40_000, count: 30_000 }

/** Words everywhere, one partition, and a boot record that lets the firmware go on (INT 18h). */
function oldDisk(sizeMiB: number): Buffer {
  const disk = Buffer.alloc(sizeMiB << 20, 'an old file system')
  disk.fill(0, 0, 512)
  disk.write('cd18', 0, 'hex')
  disk.writeUInt8(0x83, 446 + 4)
  disk.writeUInt32LE(PARTITION.from, 446 + 8)
  disk.writeUInt32LE(PARTITION.count, 446 + 12)
  disk.write('55aa', 510, 'hex')
  return disk
}

suite('agent', { skip, concurrency: 1, timeout: 2_700_000 }, () => {
  let site: Site
  let busybox: string
  let name: string
  const BUTTON = 'rack-1'
  const DISK_MIB = 64

  before(async () => {
    site = await openSite({ name: 'agent', diskMiB: DISK_MIB, isEmpty: true })
    busybox = `${site.registry}/bareboat/busybox:1`
    pushImage(busyboxImage(), site.registry, 'bareboat/busybox:1')
    await site.ok(['pull', busybox])
  })
  after(() => site?.[Symbol.asyncDispose]())

  const machine = async (): Promise<Machine> => {
    const [found] = JSON.parse(await site.ok(['machine', 'inspect', name])) as Machine[]
    return found!
  }
  const consoleText = async (): Promise<string> => readFileSync((await site.machine(BUTTON)).consoleLog, 'latin1')
  const says = async (pattern: RegExp, deadlineMs = BOOT_MS): Promise<void> => {
    const found = await poll(async () => pattern.test(await consoleText()) || undefined, { everyMs: 200, deadlineMs })
    assert.ok(found, `the console never said ${pattern}: ${(await consoleText()).slice(-2000)}`)
  }
  const untilOff = () =>
    poll(async () => (await site.machine(BUTTON)).state === 'off' || undefined, { everyMs: 200, deadlineMs: BOOT_MS })

  test('an unknown machine boots the agent and is discovered, with what it is made of', async () => {
    const { mac, uuid, serial } = await site.machine(BUTTON)
    await site.press(BUTTON, 'power-on')
    name = `m-${mac.replaceAll(':', '')}`
    const isThere = await poll(async () => (await site.ok(['machine', 'ls', '-q'])) === name || undefined, {
      everyMs: 500,
      deadlineMs: BOOT_MS,
    })
    assert.ok(isThere, `no machine was discovered: ${(await consoleText()).slice(-3000)}`)
    assert.match(await site.ok(['machine', 'ls']), new RegExp(`^${name} +discovered +amd64`, 'm'))
    const found = await machine()
    assert.deepEqual(
      [found.admission, found.macs, found.uuid, found.firmware],
      ['discovered', [mac], uuid.toLowerCase(), 'bios'],
    )
    assert.ok(found.memoryMiB! > 900 && found.memoryMiB! <= 1024, `${found.memoryMiB} MiB`)
    const [inventory] = JSON.parse(await site.ok(['machine', 'inventory', '--json', name])) as Inventory[]
    assert.deepEqual(
      [inventory!.system.manufacturer, inventory!.system.model, inventory!.system.serial],
      ['Bareboat', 'Rack', serial],
    )
    assert.deepEqual(
      inventory!.disks.map(({ serial, sizeBytes }) => [serial, sizeBytes]),
      [['disk0', DISK_MIB << 20]],
    )
    assert.equal(inventory!.memory.totalMiB, 1024)
    assert.equal(inventory!.cpus.length, 1)
    const [nic] = inventory!.nics
    assert.deepEqual([nic!.mac, nic!.hasLink, nic!.driver], [mac, true, 'virtio_net'])
    const text = await site.ok(['machine', 'inventory', name])
    assert.match(text, new RegExp(`^nic +\\S+ +${mac} +virtio_net link`, 'm'))
    console.log(text)
  })

  test('no container goes on it, and the agent says what it waits for', async () => {
    const refused = await site.run(['run', '--rm', busybox])
    assert.equal(refused.code, 125)
    assert.match(refused.stderr, new RegExp(`no machine is free \\(${name} is not accepted yet\\)`))
    await says(new RegExp(`to be accepted: bareboat machine accept ${name}`))
  })

  test('accepted under a name and given its BMC, it switches itself off, and runs an image', async () => {
    const password = join(site.dir, 'bmc-password')
    writeFileSync(password, readFileSync(site.rack.passwordFile), { mode: 0o600 })
    const { bmc } = await site.machine(BUTTON)
    assert.equal(await site.ok(['machine', 'accept', '--name', 'ship', name]), 'ship')
    await site.ok(['machine', 'set', 'ship', '--bmc', bmc, '--bmc-password-file', password])
    assert.ok(await untilOff(), 'an accepted machine stays on')
    assert.match(await site.ok(['machine', 'ls']), /^ship +free/m)
    const ran = await site.run(['run', '--rm', busybox], { deadlineMs: BOOT_MS })
    assert.deepEqual([ran.stdout, ran.code], ['hello there from sailor:crew in /srv/deck\n', 0], ran.stderr)
  })

  test('cordoned, it boots the agent, and its disk is wiped when its name is typed', async () => {
    const { disk } = machinePaths(site.rack.dir, BUTTON)
    writeFileSync(disk, oldDisk(DISK_MIB))
    await site.ok(['machine', 'cordon', 'ship'])
    assert.match((await site.run(['run', busybox])).stderr, /ship is cordoned/)
    assert.match(await site.ok(['machine', 'ls']), /^ship +cordoned/m)
    await site.press(BUTTON, 'power-on')
    await says(/ship is cordoned and starts the agent/)
    await says(/ship is cordoned: bareboat machine uncordon ship/)
    const wipe = ['machine', 'wipe', 'ship', '--disk', 'disk0']
    const untyped = await site.run(wipe)
    assert.match(untyped.stderr, /standard input is not a terminal; use --confirm/)
    const wrong = await site.run([...wipe, '--confirm', 'shop'])
    assert.match(wrong.stderr, /Cannot wipe disks of "ship": "shop" was typed in confirmation, not its name/)
    assert.ok(readFileSync(disk).equals(oldDisk(DISK_MIB)))
    assert.equal(await site.ok([...wipe, '--confirm', 'ship']), 'disk0')
    const fast = oldDisk(DISK_MIB)
    for (const [from, count] of [
      [0, 32_768],
      [PARTITION.from, 2048],
      [(DISK_MIB << 11) - 32_768, 32_768],
    ] as const)
      fast.fill(0, from * 512, (from + count) * 512)
    assert.ok(readFileSync(disk).equals(fast), 'a fast wipe overwrites both ends and the start of the partition')
    assert.equal(await site.ok([...wipe, '--zeroes', '--confirm', 'ship']), 'disk0')
    assert.ok(readFileSync(disk).equals(Buffer.alloc(DISK_MIB << 20)))
  })

  test('it starts anew when it is told to', async () => {
    const starts = async () => (await consoleText()).split('starts the agent').length
    const before = await starts()
    await site.ok(['machine', 'reboot', 'ship'])
    await says(/told to start anew/)
    const isAgain = await poll(async () => (await starts()) > before || undefined, {
      everyMs: 500,
      deadlineMs: BOOT_MS,
    })
    assert.ok(isAgain)
  })

  test('rejected, it is told so', async () => {
    await site.ok(['machine', 'power', 'ship', 'off'])
    await site.ok(['machine', 'uncordon', 'ship'])
    await site.ok(['machine', 'reject', 'ship'])
    await site.press(BUTTON, 'power-on')
    await says(/Bareboat: ship is rejected/)
    assert.equal(await site.ok(['machine', 'power', 'ship', 'off']), 'off')
  })
})
