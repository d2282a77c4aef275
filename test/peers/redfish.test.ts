/** Our Redfish driver and DMTF's redfishtool on one service: each sees what the other did, and so the service is one for both. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { quietLog } from '../../src/base/log.ts'
import { openBmc } from '../../src/drivers/bmc/open.ts'
import { hasProgram } from '../fakes/ipmi-sim.ts'
import { type RedfishSimOptions, startRedfishSim } from '../fakes/redfish-sim.ts'

const skip = hasProgram('redfishtool') ? false : 'no redfishtool here'

async function rig(options: RedfishSimOptions) {
  const stack = new AsyncDisposableStack()
  const sim = stack.use(await startRedfishSim(options))
  const bmc = stack.use(openBmc(`redfish+http://admin@127.0.0.1:${sim.port}?system=1`, 'secret', quietLog))
  const login = ['-r', `127.0.0.1:${sim.port}`, '-u', 'admin', '-p', 'secret', '-S', 'Never', '-n']
  const redfishtool = async (auth: 'Session' | 'Basic', ...args: string[]): Promise<string> =>
    (
      await promisify(execFile)('redfishtool', [...login, '-A', auth, 'Systems', '-I', '1', ...args], {
        timeout: 30_000,
      })
    ).stdout
  return { sim, bmc, redfishtool, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

for (const auth of ['Session', 'Basic'] as const)
  test(`redfishtool (${auth}) and the driver see each other's power and boot override`, { skip }, async () => {
    await using it = await rig({ systems: ['1', '2'] })
    await it.redfishtool(auth, 'reset', 'On')
    assert.equal(await it.bmc.status(), 'on')
    await it.bmc.set('cycle')
    await it.bmc.set('soft-off')
    assert.match(await it.redfishtool(auth, '-P', 'PowerState', 'get'), /"PowerState": "Off"/)
    assert.deepEqual(it.sim.resets, ['On', 'ForceOff', 'On', 'GracefulShutdown'])

    await it.bmc.setBoot({ device: 'pxe', firmware: 'bios', once: true })
    const boot = await it.redfishtool(auth, '-P', 'Boot', 'get')
    assert.match(boot, /"BootSourceOverrideEnabled": "Once"/)
    assert.match(boot, /"BootSourceOverrideMode": "Legacy"/)
    assert.match(boot, /"BootSourceOverrideTarget": "Pxe"/)
    await it.redfishtool(auth, 'setBootOverride', 'Continuous', 'Hdd')
    await it.bmc.setBoot({ device: 'none', firmware: 'bios', once: true })
    assert.match(await it.redfishtool(auth, '-P', 'Boot', 'get'), /"BootSourceOverrideEnabled": "Disabled"/)
  })
