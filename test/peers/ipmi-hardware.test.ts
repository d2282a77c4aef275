/** Sensors, FRU, event log, users and findings of OpenIPMI's BMC, as we read them and as ipmitool and freeipmi do. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { promisify } from 'node:util'
import { quietLog } from '../../src/base/log.ts'
import { createIpmiBmc } from '../../src/drivers/bmc/ipmi/ipmi-bmc.ts'
import type { BmcSensor } from '../../src/model/bmc.ts'
import { SIM_POWER, startBmcSim } from '../fakes/bmc-sim.ts'
import { SIM_INVENTORY } from '../fakes/ipmi-inventory.ts'
import { hasProgram, startIpmiSim, type IpmiSim } from '../fakes/ipmi-sim.ts'

const run = promisify(execFile)
const needs = (...names: string[]) => {
  const missing = names.find((name) => !hasProgram(name))
  return { skip: missing === undefined ? false : `no ${missing} here` }
}

async function rig(more: { password?: string; user?: string } = {}) {
  const stack = new AsyncDisposableStack()
  const sim = stack.use(await startIpmiSim(undefined, SIM_INVENTORY))
  const bmc = stack.use(
    createIpmiBmc({
      host: '127.0.0.1',
      port: sim.port,
      user: 'admin',
      password: 'secret',
      log: quietLog,
      paceMs: 0,
      ...more,
    }),
  )
  return { sim, hardware: bmc.hardware!, bmc, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

async function ipmitool(sim: IpmiSim, ...args: string[]): Promise<string> {
  const where = ['-I', 'lanplus', '-C', '3', '-H', '127.0.0.1', '-p', `${sim.port}`, '-U', 'admin', '-P', 'secret']
  return (await run('ipmitool', [...where, ...args])).stdout
}

suite('hardware of ipmi_sim as ipmitool reads it', needs('ipmi_sim', 'ipmitool'), () => {
  test('every sensor: name, value, unit, status and thresholds', async () => {
    await using it = await rig()
    const sensors = await it.hardware.sensors()
    const lines = (await ipmitool(it.sim, 'sensor')).trim().split('\n')
    assert.deepEqual(
      sensors.filter((s) => s.states.length === 0).map(asIpmitool),
      lines.filter((l) => !/discrete/.test(l)).map(squeezed),
    )
    const elist = await ipmitool(it.sim, 'sdr', 'elist')
    for (const { name, states } of sensors.filter((s) => s.states.length > 0)) {
      const theirs = elist.split('\n').find((line) => line.startsWith(name))!
      for (const state of states)
        assert.match(theirs.toLowerCase(), new RegExp(state.toLowerCase().replace('input', '(input|ac)')))
    }
  })

  test('the FRU inventory, field by field', async () => {
    await using it = await rig()
    const [fru, ...others] = await it.hardware.fru()
    assert.deepEqual(others, [])
    const theirs = new Map(
      [...(await ipmitool(it.sim, 'fru')).matchAll(/^ (\S[^:]*?) *: (.*)$/gm)].map(([, key, value]) => [
        key!,
        value!.trim(),
      ]),
    )
    const { chassis, board, product } = fru!
    assert.deepEqual(
      [fru!.problems, chassis?.type, chassis?.partNumber, chassis?.serial],
      [[], ...['Type', 'Part Number', 'Serial'].map((key) => theirs.get(`Chassis ${key}`)!)],
    )
    assert.deepEqual(
      [
        board?.manufacturer,
        board?.name,
        board?.serial,
        board?.partNumber,
        new Date(board!.madeAt!).toUTCString().slice(5, 22),
      ],
      [...['Mfg', 'Product', 'Serial', 'Part Number'].map((key) => theirs.get(`Board ${key}`)), '01 Mar 2024 12:00'],
    )
    assert.match(theirs.get('Board Mfg Date')!, /Mar +1 12:00:00 2024/)
    assert.deepEqual(
      [
        product?.manufacturer,
        product?.name,
        product?.partNumber,
        product?.version,
        product?.serial,
        product?.assetTag,
        ...product!.custom,
      ],
      ['Manufacturer', 'Name', 'Part Number', 'Version', 'Serial', 'Asset Tag', 'Extra'].map((key) =>
        theirs.get(`Product ${key}`),
      ),
    )
  })

  test('the event log, entry by entry; then it is emptied and seen to be empty', async () => {
    await using it = await rig()
    const { entries, hasOverflowed } = await it.hardware.sel()
    const theirs = (await ipmitool(it.sim, 'sel', 'elist')).trim().split('\n')
    assert.equal(entries.length, theirs.length)
    assert.equal(hasOverflowed, false)
    const [temperature, supply, oem] = entries
    assert.match(
      theirs[0]!,
      /Inlet Temp \| Upper Non-critical going high \| Asserted \| Reading 38 > Threshold 35 degrees C/,
    )
    assert.deepEqual(
      [
        temperature!.sensor,
        temperature!.event,
        temperature!.isAsserted,
        temperature!.value,
        temperature!.threshold,
        temperature!.unit,
      ],
      ['Inlet Temp', 'Upper Non-critical going high', true, 38, 35, 'degrees C'],
    )
    assert.match(theirs[1]!, /PS1 Status/)
    assert.deepEqual([supply!.sensor, supply!.event], ['PS1 Status', 'Input Lost'])
    assert.match(theirs[2]!, /OEM record c1/)
    assert.equal(oem!.type, 'OEM record C1h')
    await it.hardware.clearSel()
    assert.deepEqual((await it.hardware.sel()).entries, [])
    assert.match(await ipmitool(it.sim, 'sel', 'info'), /Entries +: 0/)
  })

  test('who it is, its users, and its identify light', async () => {
    await using it = await rig()
    const info = await it.hardware.info()
    const mc = await ipmitool(it.sim, 'mc', 'info')
    assert.match(mc, new RegExp(`Firmware Revision +: ${info.firmware!.replace('.', '\\.')}`))
    assert.match(mc, new RegExp(`Product ID +: \\d+ \\(${info.product}\\)`))
    assert.match(mc, new RegExp(`Manufacturer Name +: ${info.manufacturer}`))
    assert.equal(info.cipherSuite, 3)
    assert.equal(info.power, undefined)
    assert.deepEqual(
      (await it.hardware.users()).map(({ id, name, privilege }) => [id, name, privilege]),
      [
        [1, '', 'user'],
        [2, 'admin', 'administrator'],
      ],
    )
    await it.hardware.identify(20)
    await it.hardware.identify(undefined)
    await it.hardware.identify(0)
    assert.equal(it.sim.trace().filter((line) => line.startsWith('identify')).length, 3, it.sim.trace().join())
  })

  test('what is insecure about it: suite 0 is open, and ipmitool gets in by it without a password', async () => {
    await using it = await rig()
    const findings = (await it.bmc.check!()).map(({ finding }) => finding)
    for (const name of [
      'cipher-suite-0',
      'null-user',
      'ipmi-1.5',
      'weak-cipher-suites',
      'short-password',
      'cipher-suite-3',
    ])
      assert.ok(findings.includes(name), `${name} is in ${findings.join(', ')}`)
    assert.ok(!findings.includes('vendor-default-password'))
    const where = ['-I', 'lanplus', '-C', '0', '-H', '127.0.0.1', '-p', `${it.sim.port}`, '-U', 'admin', '-P', 'wrong']
    assert.match((await run('ipmitool', [...where, 'chassis', 'power', 'status'])).stdout, /Power is off/)
  })

  test("a maker's own password is a finding and is never sent", async () => {
    await using it = await rig({ user: 'ADMIN', password: 'ADMIN' })
    const [worst] = await it.bmc.check!()
    assert.equal(worst?.finding, 'vendor-default-password')
    for (const ask of [
      () => it.bmc.status(),
      () => it.bmc.set('on'),
      () => it.hardware.sensors(),
      () => it.bmc.console!(),
    ])
      await assert.rejects(ask(), { code: 'forbidden', message: /shipped with, which is in every attacker/ })
    assert.deepEqual(it.sim.trace(), [''])
  })
})

suite('our BMC as ipmitool reads it', needs('ipmitool'), () => {
  test('power by DCMI, GUID and a BMC with few findings', async () => {
    await using sim = await startBmcSim({ password: 'a long password 20by' })
    const where = { host: '127.0.0.1', port: sim.port, user: 'admin', password: 'a long password 20by' }
    await using bmc = createIpmiBmc({ ...where, log: quietLog, paceMs: 0 })
    const { power, guid, cipherSuite } = await bmc.hardware!.info()
    const { currentWatts, minimumWatts, maximumWatts, averageWatts, periodMs } = SIM_POWER
    assert.deepEqual(power, { currentWatts, minimumWatts, maximumWatts, averageWatts, periodSeconds: periodMs / 1000 })
    const args = [
      '-I',
      'lanplus',
      '-C',
      '17',
      '-H',
      '127.0.0.1',
      '-p',
      `${sim.port}`,
      '-U',
      'admin',
      '-P',
      where.password,
    ]
    const theirs = async (...more: string[]) => (await run('ipmitool', [...args, ...more])).stdout
    assert.match(
      await theirs('dcmi', 'power', 'reading'),
      /Instantaneous power reading: +182 Watts[^]*Minimum[^]*11 Watts[^]*Maximum[^]*301 Watts[^]*Average[^]*155 Watts/,
    )
    assert.match(await theirs('mc', 'guid'), new RegExp(guid!, 'i'))
    assert.equal(cipherSuite, 17)
    assert.deepEqual(await bmc.check!(), [])
  })
})

suite('hardware of ipmi_sim as freeipmi reads it', needs('ipmi_sim', 'ipmi-sensors'), () => {
  test('ipmi-sensors has the same readings', async () => {
    await using it = await rig()
    const where = [
      '-D',
      'LAN_2_0',
      '-I',
      '3',
      '-W',
      'opensesspriv',
      '-h',
      `127.0.0.1:${it.sim.port}`,
      '-u',
      'admin',
      '-p',
      'secret',
    ]
    const cache = mkdtempSync(join(tmpdir(), 'ipmi-sdr-'))
    try {
      const output = ['--quiet-cache', '--comma-separated-output', '--no-header-output']
      const { stdout } = await run('ipmi-sensors', [...where, ...output, '--sdr-cache-directory', cache])
      const theirs = stdout
        .trim()
        .split('\n')
        .map((line) => line.split(',').slice(1, 4))
      const ours = (await it.hardware.sensors()).map(({ name, type, value }) => [
        name,
        type === 'Other Units' ? 'Other Units Based Sensor' : type,
        value === undefined ? 'N/A' : value.toFixed(2),
      ])
      assert.deepEqual(ours, theirs)
    } finally {
      rmSync(cache, { recursive: true })
    }
  })
})

/** A sensor as `ipmitool sensor` prints its line, blanks squeezed. */
function asIpmitool({ name, value, unit, status, thresholds: t }: BmcSensor): string {
  const number = (n: number | undefined) => (n === undefined ? 'na' : n.toFixed(3))
  const word = { ok: 'ok', warning: 'nc', critical: 'cr', 'non-recoverable': 'nr', unavailable: 'na' }[status]
  const limits = [
    t.lowerNonRecoverable,
    t.lowerCritical,
    t.lowerNonCritical,
    t.upperNonCritical,
    t.upperCritical,
    t.upperNonRecoverable,
  ]
  return [name, number(value), unit, word, ...limits.map(number)].join('|')
}

function squeezed(line: string): string {
  return line
    .split('|')
    .map((cell) => cell.trim())
    .join('|')
}
