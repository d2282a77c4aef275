/** Discovery as a person does it: scan, crawl, import; against OpenIPMI's ipmi_sim and recorded Redfish services over TLS. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { quietLog } from '../../src/base/log.ts'
import { openBmc } from '../../src/drivers/bmc/open.ts'
import { bmcUrlOf } from '../../src/drivers/discovery/bmc-url.ts'
import { createCrawlPort, scanPort } from '../../src/drivers/discovery/crawl-port.ts'
import { openSecretBox } from '../../src/drivers/secrets/secret-box.ts'
import { openSqlite } from '../../src/drivers/store/sqlite/database.ts'
import { createDiscoveryStore } from '../../src/drivers/store/sqlite/discovery.ts'
import { createEventBus } from '../../src/drivers/store/sqlite/events.ts'
import { createInventoryStore } from '../../src/drivers/store/sqlite/inventories.ts'
import { createMachineStore } from '../../src/drivers/store/sqlite/machines.ts'
import { siteMigrations, type SiteTables } from '../../src/drivers/store/sqlite/site.ts'
import { crawlRequest, type DiscoveredBmc, importRequest, scanRequest } from '../../src/model/discovery.ts'
import { machineSpec } from '../../src/model/machine.ts'
import type { ScanPort } from '../../src/services/discovery/ports.ts'
import { createDiscovery } from '../../src/services/discovery/discovery.ts'
import { createMachines } from '../../src/services/machines/machines.ts'
import { SIM_INVENTORY } from '../fakes/ipmi-inventory.ts'
import { hasProgram, startIpmiSim } from '../fakes/ipmi-sim.ts'
import { startRedfishSim } from '../fakes/redfish-sim.ts'
import { readTree, type TreeName } from '../fakes/redfish-tree.ts'
import { selfSigned } from '../fakes/self-signed.ts'

const { signal } = new AbortController()

function openSite(port: ScanPort = scanPort) {
  const folder = mkdtempSync(join(tmpdir(), 'discovery-'))
  const stack = new AsyncDisposableStack()
  stack.defer(() => rmSync(folder, { recursive: true, force: true }))
  const database = stack.use(openSqlite<SiteTables>(join(folder, 'state.db'), siteMigrations))
  const secrets = openSecretBox(join(folder, 'secret.key'))
  let clock = 1_000
  const now = () => (clock += 1)
  const machineStore = createMachineStore(database.db, createEventBus(database.db, now), secrets, now)
  const machines = createMachines({ store: machineStore, checkBmc: () => {}, leasedIp: () => undefined, now })
  const store = createDiscoveryStore(database.db, secrets)
  const inventories = createInventoryStore(database.db)
  const crawlPort = createCrawlPort(quietLog)
  const discovery = createDiscovery({
    log: quietLog,
    now,
    store,
    inventories,
    scanPort: port,
    crawlPort,
    machines,
    bmcUrl: bmcUrlOf,
  })
  const scan = async (request: object) => {
    const found = new Map<string, DiscoveredBmc>()
    for await (const bmc of discovery.scan(scanRequest.parse(request), signal)) found.set(bmc.address, bmc)
    return [...found.values()]
  }
  const crawl = async (request: object) =>
    await Array.fromAsync(
      discovery.crawl(crawlRequest.parse({ user: 'admin', password: 'secret', ...request }), signal),
    )
  const take = async (request: object = {}) => await discovery.import(importRequest.parse(request))
  return {
    machines,
    machineStore,
    inventories,
    discovery,
    database,
    scan,
    crawl,
    take,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}

const startTree = async (name: TreeName) =>
  await startRedfishSim({
    tls: selfSigned(),
    tree: Object.fromEntries(
      [...readTree(name)].map(([path, bytes]) => [path, JSON.parse(bytes.toString()) as unknown]),
    ),
  })

test('scan finds a BMC of OpenIPMI by its presence pong, and tells of its user without a name', async (t) => {
  if (!hasProgram('ipmi_sim')) return t.skip('ipmi_sim')
  await using sim = await startIpmiSim()
  await using site = openSite()
  const found = await site.scan({ subnets: ['127.0.0.1'], probes: ['ipmi'], ipmiPort: sim.port, timeoutMs: 900 })
  assert.equal(found.length, 1)
  assert.deepEqual(found[0]!.ipmi, { port: sim.port, version: '2.0', enterprise: 4542 })
  assert.ok(found[0]!.findings.some(({ kind }) => kind === 'null-user'))
  assert.ok(found[0]!.findings.some(({ kind }) => kind === 'no-authentication'))
  assert.deepEqual(sim.trace(), [''], 'the scan changed something')
  assert.deepEqual(
    (await site.discovery.list()).map(({ address }) => address),
    ['127.0.0.1'],
  )
})

test('crawl and import of a BMC that has no Redfish: who it is, its power and sensors, and the machine that it is', async (t) => {
  if (!hasProgram('ipmi_sim')) return t.skip('ipmi_sim is missing')
  await using sim = await startIpmiSim(undefined, SIM_INVENTORY)
  await using site = openSite()
  const [seen] = await site.scan({ subnets: ['127.0.0.1'], ipmiPort: sim.port, probes: ['ipmi'], timeoutMs: 5000 })
  assert.ok(seen && !seen.redfish)
  const [wrong] = await site.crawl({ password: 'another password' })
  assert.equal(wrong?.error?.code, 'unauthorized')
  // All that were found; it is read over what it speaks.
  const [result] = await site.crawl({})
  assert.equal(result?.error, undefined)
  const [system] = result!.bmc!.systems
  assert.equal(system?.source, 'ipmi')
  assert.equal(system.system.powerState, 'off')
  assert.equal(system.system.serial, 'SN-778')
  assert.equal(system.bmc?.manufacturer, 'MontaVista')
  assert.equal(system.bmc.mac, '0c:c4:7a:00:00:05')
  assert.equal(system.system.uuid, 'efcdab89-6745-23a1-efcd-ab89674523a1')
  assert.ok(system.readings.some(({ kind, unit }) => kind === 'temperature' && unit === 'Cel'))
  assert.ok(system.notes.some((note) => /does not tell the network interfaces/.test(note)))
  // Without a MAC address nobody knows which machine netboots: it has to be known already.
  const [skipped] = (await site.take()).steps
  assert.equal(skipped?.action, 'skip')
  await site.machines.add(
    machineSpec.parse({ name: 'old', macs: ['52:54:00:00:00:07'], uuid: 'efcdab89-6745-23a1-efcd-ab89674523a1' }),
  )
  const [step] = (await site.take()).steps
  assert.deepEqual([step?.action, step?.machine, step?.matchedBy], ['update', 'old', ['uuid']])
  const machine = (await site.machineStore.list()).find(({ name }) => name === 'old')!
  assert.equal(machine.bmc, `ipmi://admin@127.0.0.1:${sim.port}`)
  await using bmc = openBmc(machine.bmc, await site.machineStore.bmcPassword(machine.id), quietLog)
  assert.equal(await bmc.status(), 'off')
})

test('a BMC is crawled over IPMI where it is named so, and a name that is none says what it looks like', async (t) => {
  if (!hasProgram('ipmi_sim')) return t.skip('ipmi_sim is missing')
  await using sim = await startIpmiSim()
  await using site = openSite()
  const [result] = await site.crawl({ bmcs: [`ipmi://127.0.0.1:${sim.port}`] })
  assert.equal(result?.bmc?.systems[0]?.source, 'ipmi')
  for (const bmcs of [['ipmi://admin@127.0.0.1'], ['ipmi://127.0.0.1:0'], ['ipmi://127.0.0.1/x']]) {
    const [wrong] = await site.crawl({ bmcs })
    assert.match(wrong?.error?.message ?? '', /ipmi:\/\/HOST/)
  }
})

test('who says by SSDP that it is a Redfish service is asked for it; others than those of the subnets are left out', async () => {
  await using sim = await startRedfishSim()
  const said = [
    { address: '127.0.0.1', port: sim.port, plainHttp: true },
    { address: '127.0.0.9', port: 1, plainHttp: true },
  ]
  await using site = openSite({ ...scanPort, ssdp: () => Readable.from(said) })
  const [found, ...others] = await site.scan({ probes: ['ssdp'], timeoutMs: 2000 })
  assert.deepEqual([found?.address, found?.redfish?.origin], [`127.0.0.1:${sim.port}`, `http://127.0.0.1:${sim.port}`])
  assert.deepEqual(others, [])
  assert.deepEqual(await site.scan({ subnets: ['127.0.0.9'], probes: ['ssdp'], timeoutMs: 500 }), [])
  await assert.rejects(site.scan({ probes: ['ssdp', 'ipmi'] }), { code: 'invalid', message: /no addresses are named/ })
})

test('scan asks only who it was told to ask, and finds nobody where nobody is', async () => {
  await using site = openSite()
  assert.deepEqual(await site.scan({ subnets: ['127.0.0.2/31'], port: 1, ipmiPort: 1, timeoutMs: 200 }), [])
})

test('scan, crawl, import: a machine is made with the certificate that was seen and the password, sealed', async (t) => {
  if (!hasProgram('openssl')) return t.skip('openssl')
  await using sim = await startTree('hpe-ilo5-DL325')
  await using site = openSite()
  const address = `127.0.0.1:${sim.port}`
  const [seen] = await site.scan({ subnets: ['127.0.0.1'], port: sim.port, probes: ['redfish'] })
  assert.equal(seen!.address, address)
  assert.match(seen!.redfish!.fingerprint!, /^[0-9a-f]{64}$/)

  const [distrusted] = await site.crawl({})
  assert.match(distrusted!.error!.message, /Cannot trust BMC .* signed its certificate itself/)
  assert.ok(!sim.requests.some((request) => request.startsWith('POST')), 'the password was sent to who is not trusted')
  const [wrong] = await site.crawl({ trust: 'first-use', password: 'canary' })
  assert.equal(wrong!.error!.code, 'unauthorized')
  assert.ok(!JSON.stringify(wrong).includes('canary'))

  const [crawled] = await site.crawl({ trust: 'first-use' })
  assert.equal(crawled!.error, undefined)
  assert.equal(crawled!.bmc!.systems[0]!.system.serial, 'MXQ019020B')
  assert.equal(sim.sessions, 0, 'a session was left open')
  assert.ok(sim.requests.every((request) => /^(GET|POST|DELETE) /.test(request)))

  const plan = await site.take({ dryRun: true })
  assert.deepEqual(
    plan.steps.map(({ action, machine }) => [action, machine]),
    [['add', 'ncn-m003']],
  )
  assert.deepEqual(await site.machines.list(), [])
  assert.deepEqual((await site.take()).steps, plan.steps)
  const machine = await site.machines.get('ncn-m003')
  assert.equal(machine.uuid, '36383150-3630-584d-5130-313930323042')
  assert.equal(machine.memoryMiB, 65_536)
  assert.equal(machine.macs.length, 4)
  assert.equal(machine.bmc, `redfish://admin@${address}/?fingerprint=${seen!.redfish!.fingerprint}`)
  const password = await site.machineStore.bmcPassword(machine.id)
  await using bmc = openBmc(machine.bmc!, password, quietLog)
  assert.equal(await bmc.status(signal), 'off')
  assert.equal((await site.inventories.of(machine.id))[0]!.cpus[0]!.cores, 16)
  const stored = await site.database.db.selectFrom('discovered_bmc').selectAll().execute()
  assert.ok(stored[0]!.password !== null && !JSON.stringify(stored).includes('"secret"'))

  const again = await site.take()
  assert.deepEqual(
    again.steps.map(({ action, matchedBy, changes }) => [action, matchedBy, changes]),
    [['update', ['serial', 'uuid', 'mac'], []]],
  )
  assert.equal((await site.machines.list()).length, 1)
})

test('a certificate that has changed since the first scan is a finding, and gets no password', async (t) => {
  if (!hasProgram('openssl')) return t.skip('openssl')
  await using sim = await startTree('cray-Intel')
  await using site = openSite()
  const request = { subnets: ['127.0.0.1'], port: sim.port, probes: ['redfish'] }
  const [first] = await site.scan(request)
  const fingerprint = first!.redfish!.fingerprint!
  const another = JSON.stringify(first).replace(fingerprint, '0'.repeat(64))
  await site.database.db.updateTable('discovered_bmc').set({ record: another }).execute()
  const [seen] = await site.scan(request)
  assert.deepEqual(
    seen!.findings.map(({ kind }) => kind),
    ['certificate-changed'],
  )
  const [refused] = await site.crawl({ trust: 'first-use' })
  assert.match(refused!.error!.message, /its certificate has the SHA-256 fingerprint/)
  assert.ok(!sim.requests.some((request) => request.startsWith('POST')))
  await site.discovery.forget(seen!.address)
  const [fresh] = await site.crawl({ trust: 'first-use', bmcs: [seen!.address] })
  assert.equal(fresh!.error, undefined)
})

test('import joins by MAC, keeps what a person wrote, and refuses a system that is two machines, naming both', async (t) => {
  if (!hasProgram('openssl')) return t.skip('openssl')
  await using sim = await startTree('hpe-ilo5-DL325')
  await using site = openSite()
  const spec = { name: 'by-mac', macs: ['14:02:ec:d9:3a:a0'], bmc: 'ipmi://op@10.9.9.9', memoryMiB: 1 }
  await site.machines.add(machineSpec.parse(spec))
  await site.crawl({ bmcs: [sim.origin], trust: 'first-use' })
  const { steps } = await site.take()
  assert.deepEqual(
    steps.map(({ action, machine, matchedBy }) => [action, machine, matchedBy]),
    [['update', 'by-mac', ['mac']]],
  )
  const machine = await site.machines.get('by-mac')
  assert.deepEqual(
    [machine.bmc, machine.memoryMiB, machine.macs[0], machine.macs.length],
    [spec.bmc, 1, spec.macs[0], 4],
  )

  const [second] = machine.macs.slice(-1)
  await site.machines.change('by-mac', { macs: machine.macs.slice(0, -1) })
  await site.machines.add(machineSpec.parse({ name: 'other', macs: [second] }))
  await assert.rejects(site.take(), {
    code: 'conflict',
    message: /is machine "by-mac" \(by serial number and UUID and MAC address\) and machine "other" \(by MAC address\)/,
  })
  assert.deepEqual((await site.machines.get('other')).macs, [second])
})

test('import keeps the blades of one board apart that share a serial number', async (t) => {
  if (!hasProgram('openssl')) return t.skip('openssl')
  await using sim = await startTree('cray-EX425')
  await using site = openSite()
  await site.crawl({ bmcs: [sim.origin], trust: 'first-use' })
  const first = await site.take()
  assert.deepEqual(
    first.steps.map(({ action, machine }) => [action, machine]),
    [
      ['add', '0040a683525f'],
      ['add', '0040a6835260'],
    ],
  )
  assert.ok(first.steps[0]!.changes.some((change) => change.includes('HA19340017 is not its own')))
  const again = await site.take()
  assert.deepEqual(
    again.steps.map(({ action, machine, matchedBy }) => [action, machine, matchedBy]),
    [
      ['update', first.steps[0]!.machine, ['mac']],
      ['update', first.steps[1]!.machine, ['mac']],
    ],
  )
})

test('crawl never uses a password that makers put into every BMC, nor sends one without TLS unasked', async () => {
  await using sim = await startRedfishSim({ user: 'ADMIN', password: 'ADMIN' })
  await using site = openSite()
  await assert.rejects(site.crawl({ bmcs: [sim.origin], user: 'ADMIN', password: 'ADMIN', trust: 'anyone' }), {
    code: 'invalid',
    message: /password that BMCs of Supermicro are delivered with/,
  })
  const [plain] = await site.crawl({ bmcs: [sim.origin] })
  assert.match(plain!.error!.message, /without TLS/)
  assert.deepEqual(sim.requests, [])
})
