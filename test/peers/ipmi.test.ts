/** Our IPMI driver against OpenIPMI's BMC, and our BMC's packets against ipmitool and freeipmi. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { suite, test } from 'node:test'
import { promisify } from 'node:util'
import { poll } from '../../src/base/clock.ts'
import { quietLog, type Log } from '../../src/base/log.ts'
import { createIpmiBmc, type IpmiBmcOptions } from '../../src/drivers/bmc/ipmi/ipmi-bmc.ts'
import { openSolConsole } from '../../src/drivers/bmc/ipmi/sol-console.ts'
import type { BmcConsole } from '../../src/services/power/power-port.ts'
import { startBmcSim } from '../fakes/bmc-sim.ts'
import { hasProgram, startIpmiSim } from '../fakes/ipmi-sim.ts'

const run = promisify(execFile)
const needs = (name: string) => ({ skip: hasProgram(name) ? false : `no ${name} here` })
const open = (port: number, more: Partial<IpmiBmcOptions> = {}) =>
  createIpmiBmc({
    host: '127.0.0.1',
    port,
    user: 'admin',
    password: 'secret',
    log: quietLog,
    patience: { offMs: 50, pollMs: 50 },
    ...more,
  })

suite('our driver and ipmi_sim', needs('ipmi_sim'), () => {
  test('status, on, cycle, soft-off; it falls from suite 17 to 3 at once and says so', async () => {
    await using sim = await startIpmiSim()
    const said: string[] = []
    const log: Log = { ...quietLog, debug: (event) => void said.push(event), with: () => log }
    await using bmc = open(sim.port, { log })
    const startMs = performance.now()
    assert.equal(await bmc.status(), 'off')
    assert.ok(performance.now() - startMs < 5000, 'a refused cipher suite costs a round trip, not seconds')
    assert.ok(said.includes('weaker cipher suite used'))
    await bmc.set('on')
    await bmc.set('cycle')
    await bmc.set('soft-off')
    assert.equal(await bmc.status(), 'off')
    assert.deepEqual(sim.trace(), ['power 1', 'power 0', 'power 1', 'shutdown 1'])
  })

  test('a boot override reaches the chassis and is read back', async () => {
    await using sim = await startIpmiSim()
    await using bmc = open(sim.port)
    await bmc.setBoot({ device: 'pxe', firmware: 'uefi', once: true })
    await bmc.setBoot({ device: 'disk', firmware: 'bios', once: true })
    assert.deepEqual(sim.trace(), ['boot pxe', 'boot default'])
  })

  test('a wrong password, a wrong user and suite 17 alone are refused in words, within 2 s', async () => {
    await using sim = await startIpmiSim()
    const fails = async (more: Partial<IpmiBmcOptions>, error: object) => {
      await using bmc = open(sim.port, more)
      const startMs = performance.now()
      await assert.rejects(bmc.status(), error)
      assert.ok(performance.now() - startMs < 8000)
    }
    await fails(
      { password: 'canary' },
      { code: 'unauthorized', message: /as "admin": the password is not the BMC's(?!.*canary)/ },
    )
    await fails({ user: 'nobody' }, { code: 'unauthorized', message: /no such user/ })
    await fails(
      { cipherSuites: [17] },
      { code: 'unsupported', message: /refused cipher suites 17 .*allow cipher suite 3/ },
    )
  })

  test(
    'the serial console goes both ways, and a second one is refused unless it takes over',
    { timeout: 30_000 },
    async () => {
      await using sim = await startIpmiSim()
      await using bmc = open(sim.port)
      await using console = await bmc.console!()
      // ipmi_sim drops what is typed before its own connection to the serial port stands.
      assert.ok((await echo(console, 'bareboat')).includes('bareboat'))
      await console.sendBreak()
      await assert.rejects(bmc.console!(), { code: 'conflict', message: /another session has it/ })
      await using second = await bmc.console!({ takeOver: true })
      assert.ok((await echo(second, 'again')).includes('again'))
    },
  )

  test('ipmi_sim tells the session that has lost its console nothing: it is asked', { timeout: 30_000 }, async () => {
    await using sim = await startIpmiSim()
    const address = `127.0.0.1:${sim.port}`
    await using first = await openSolConsole(
      {
        ...{ host: '127.0.0.1', port: sim.port, address, log: quietLog },
        ...{ user: 'admin', password: Buffer.from('secret'), cipherSuites: [3], privilege: 'administrator' },
      },
      { takeOver: false, keepAliveMs: 50 },
    )
    await using bmc = open(sim.port)
    await using second = await bmc.console!({ takeOver: true })
    await assert.rejects(
      async () => {
        for await (const _ of first);
      },
      { code: 'conflict', message: /another session may have taken it/ },
    )
    assert.ok((await echo(second, 'again')).includes('again'))
  })

  test('ipmi_sim that stops answering is "unreachable" with address and tries', async () => {
    const sim = await startIpmiSim()
    await using bmc = open(sim.port)
    assert.equal(await bmc.status(), 'off')
    await sim[Symbol.asyncDispose]()
    await assert.rejects(bmc.status(), {
      code: 'unreachable',
      message: new RegExp(`"127.0.0.1:${sim.port}": the port is closed`),
    })
  })
})

suite('ipmitool and our BMC', needs('ipmitool'), () => {
  for (const suiteId of [17, 3] as const)
    test(`cipher suite ${suiteId}: status, on, boot override`, async () => {
      await using sim = await startBmcSim({ cipherSuites: [suiteId] })
      const ipmitool = async (...args: string[]) => {
        const where = [
          '-I',
          'lanplus',
          '-C',
          `${suiteId}`,
          '-H',
          '127.0.0.1',
          '-p',
          `${sim.port}`,
          '-U',
          'admin',
          '-P',
          'secret',
        ]
        return (await run('ipmitool', [...where, ...args])).stdout
      }
      assert.match(await ipmitool('chassis', 'power', 'status'), /is off/)
      await ipmitool('chassis', 'power', 'on')
      assert.equal(sim.isOn, true)
      await ipmitool('chassis', 'bootdev', 'pxe', 'options=efiboot')
      assert.match(await ipmitool('chassis', 'bootparam', 'get', '5'), /Boot Flag Valid[^]*EFI boot[^]*Force PXE/)
      assert.equal(sim.sessions, 0)
    })

  test('it finds the best cipher suite by itself, and a wrong password is refused', async () => {
    await using sim = await startBmcSim()
    const args = ['-I', 'lanplus', '-H', '127.0.0.1', '-p', `${sim.port}`, '-U', 'admin']
    assert.match((await run('ipmitool', [...args, '-P', 'secret', 'chassis', 'power', 'status'])).stdout, /is off/)
    await assert.rejects(run('ipmitool', [...args, '-P', 'wrong', 'chassis', 'power', 'status']))
  })
})

suite('freeipmi and our BMC', needs('ipmipower'), () => {
  for (const suiteId of [17, 3] as const)
    test(`cipher suite ${suiteId}: ipmipower reads and switches`, async () => {
      await using sim = await startBmcSim({ cipherSuites: [suiteId] })
      const where = ['-D', 'LAN_2_0', '-I', `${suiteId}`, '-h', `127.0.0.1:${sim.port}`, '-u', 'admin', '-p', 'secret']
      assert.match((await run('ipmipower', [...where, '--stat'])).stdout, /: off/)
      await run('ipmipower', [...where, '--on'])
      assert.equal(sim.isOn, true)
    })
})

/** Types `text` until it comes back, and yields what came. */
async function echo(console: BmcConsole, text: string): Promise<string> {
  let seen = ''
  const reading = (async () => {
    for await (const bytes of console) {
      seen += Buffer.from(bytes).toString('latin1')
      if (seen.includes(text)) return
    }
  })()
  reading.catch(() => {})
  await poll(
    async () => {
      if (!seen.includes(text)) await console.write(Buffer.from(`${text}\r`))
      return seen.includes(text) ? true : undefined
    },
    { everyMs: 250, deadlineMs: 20_000 },
  )
  return seen
}
