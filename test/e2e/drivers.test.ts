/** Every driver of a BMC with a machine behind it: switched on, booted over the network into an image, and seen off in the end. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, suite, test } from 'node:test'
import { plainImage, pushImage } from './images.ts'
import { openSite, skip, type Site } from './site.ts'

/** IPMI has tests of its own. By Wake-on-LAN first: a machine that has just lost its power is on for who can only look at the network. */
const KINDS = ['wol', 'redfish', 'pikvm', 'amt', 'http'] as const

/** What the BMC, or the machine itself, noted for one life of a container. What cannot choose boots as its firmware is set. */
const COMMANDS: Readonly<Record<(typeof KINDS)[number], readonly string[]>> = {
  redfish: ['redfish boot pxe', 'redfish power-on', 'redfish power-off'],
  pikvm: ['pikvm power-on', 'pikvm power-off'],
  amt: ['amt boot pxe', 'amt power-on', 'amt power-off'],
  // Nothing but what runs on it can switch it off.
  wol: ['wol power-on', 'guest power-off'],
  http: ['http boot pxe', 'http power-on', 'http power-off'],
}

suite('drivers', { skip, timeout: 1_800_000 }, () => {
  let site: Site
  let image: string

  before(async () => {
    site = await openSite({ name: 'drivers', isEmpty: true, memoryMiB: 768 })
    image = `${site.registry}/bareboat/plain:1`
    pushImage(plainImage(), site.registry, 'bareboat/plain:1')
    await site.ok(['pull', image])
  })
  after(async () => await site?.[Symbol.asyncDispose]())

  for (const kind of KINDS)
    test(`${kind}: run, output, kill, and the machine is seen off`, async (t) => {
      const { name, mac, uuid, bmcs } = site.rack.machines[0]!
      // Whatever becomes of it, the next kind has the machine for itself.
      t.after(async () => {
        await site.run(['rm', '-f', kind])
        await site.press(name, 'power-off')
        await site.run(['machine', 'rm', name])
      })
      const password = readFileSync(site.rack.passwordFile, 'utf8').trim()
      await site.client.machines.add({
        ...{ name, macs: [mac], uuid, firmware: 'bios', bmc: bmcs[kind] },
        ...(kind === 'wol' || kind === 'http' ? {} : { bmcPassword: password }),
      })
      const before = site.powerCommands(name).length
      const argv = ['run', '--machine', name, '--name', kind, '--timeout', '600', image]
      const running = site.start([...argv, 'sh', '-c', `echo "by ${kind}"; exec sleep 1000`], { deadlineMs: 900_000 })
      await running.until(new RegExp(`^by ${kind}$`, 'm'), 800_000)
      assert.equal((await site.machine(name)).state, 'on')
      await site.ok(['kill', kind], { deadlineMs: 300_000 })
      assert.equal((await running.done).code, 137, running.stderr())
      const container = await site.untilState(kind, 'exited', 300_000)
      assert.equal(container.machineOff, true)
      assert.equal((await site.machine(name)).state, 'off')
      assert.deepEqual(site.powerCommands(name).slice(before), COMMANDS[kind])
    })
})
