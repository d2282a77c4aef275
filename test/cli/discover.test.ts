/** `discover` against a fake server: what is asked, what is printed, and that no password is on a command line. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { discoveredBmc } from '../../src/model/discovery.ts'
import { failure, startFakeApi } from '../fakes/api-server.ts'
import { run } from '../fakes/terminal.ts'

const lines = (...values: unknown[]) => ({
  headers: { 'content-type': 'application/x-ndjson' },
  body: values.map((value) => `${JSON.stringify(value)}\n`).join(''),
})
const bmc = discoveredBmc.parse({
  address: '10.0.3.7',
  seenAt: 1,
  redfish: { origin: 'https://10.0.3.7', version: '1.6.0', vendor: 'HPE', product: 'ProLiant DL325' },
})
const both = {
  ...bmc,
  ipmi: { port: 623, version: '2.0' },
  findings: [{ kind: 'null-user', what: 'IPMI has a user without a name enabled: disable it' }],
}

test('discover scan asks for what was said and prints each BMC once, as it was last seen', async () => {
  await using api = await startFakeApi()
  api.on('POST /v1/discovery/scan', lines({ ...bmc, address: '10.0.3.12' }, bmc, both))
  const { stdout, stderr, code } = await run(api, [
    ...['discover', 'scan', '10.0.3.0/24', '10.0.4.1', '--port', '8443', '--concurrency', '64'],
    ...['--timeout', '0.5', '--probe', 'redfish,ipmi'],
  ])
  assert.equal(code, 0, stderr)
  assert.deepEqual(api.requests[0]!.json(), {
    subnets: ['10.0.3.0/24', '10.0.4.1'],
    port: 8443,
    concurrency: 64,
    timeoutMs: 500,
    probes: ['redfish', 'ipmi'],
  })
  assert.deepEqual(
    stdout.split('\n').map((line) => line.split(/ {2,}/)),
    [
      ['ADDRESS', 'REDFISH', 'IPMI', 'VENDOR', 'PRODUCT', 'SYSTEMS', 'FINDINGS'],
      ['10.0.3.7', '1.6.0', '2.0', 'HPE', 'ProLiant DL325', 'not crawled', '1'],
      ['10.0.3.12', '1.6.0', 'HPE', 'ProLiant DL325', 'not crawled', '0'],
      [''],
    ],
  )
  assert.match(stderr, /^finding: 10\.0\.3\.7: IPMI has a user without a name/m)
  const wrong = await run(api, ['discover', 'scan', '10.0.3.0/24', '--probe', 'snmp'])
  assert.equal(wrong.code, 2)
  assert.match(wrong.stderr, /"snmp" is neither redfish, ipmi nor ssdp/)
})

test('discover crawl takes the password from a file or the environment, prints systems and tells of each failure', async () => {
  await using api = await startFakeApi()
  const system = {
    source: 'redfish',
    at: 1,
    system: { manufacturer: 'HPE', model: 'DL325', serial: 'S1', powerState: 'on' },
    cpus: [{}],
    memory: { totalMiB: 65_536, modules: [] },
    nics: [{ mac: '02:00:00:00:00:01' }],
    disks: [],
    gpus: [],
    readings: [],
    firmware: [],
    capabilities: {},
    findings: [],
    notes: ['a', 'b'],
  }
  api.on(
    'POST /v1/discovery/crawl',
    lines(
      { address: '10.0.3.7', bmc: { ...bmc, crawledAt: 2, systems: [system] } },
      { address: '10.0.3.8', error: { code: 'unauthorized', message: 'Cannot log in to BMC "10.0.3.8" as "root"' } },
    ),
  )
  const file = join(dirname(api.socketPath), 'password')
  writeFileSync(file, 'correct horse\n')
  const { stdout, stderr, code } = await run(api, [
    'discover',
    'crawl',
    '--password-file',
    file,
    '--trust',
    'first-use',
    '10.0.3.7',
    '10.0.3.8',
  ])
  assert.deepEqual(api.requests[0]!.json(), {
    bmcs: ['10.0.3.7', '10.0.3.8'],
    user: 'root',
    password: 'correct horse',
    trust: 'first-use',
  })
  assert.match(stdout, /10\.0\.3\.7 +S1 +HPE DL325 +1 +65536MiB +0 +02:00:00:00:00:01 +on +2\n/)
  assert.match(stderr, /Cannot log in to BMC "10\.0\.3\.8"/)
  assert.equal(code, 3)
  const none = await run(api, ['discover', 'crawl'])
  assert.equal(none.code, 2)
  assert.match(none.stderr, /password of the BMCs is missing; give --password-file/)
})

test('discover import prints its steps; a conflict is told and ends with its exit code', async () => {
  await using api = await startFakeApi()
  const steps = [
    {
      action: 'add',
      machine: 'n1',
      address: '10.0.3.7',
      system: '/redfish/v1/Systems/1',
      matchedBy: [],
      changes: ['MAC 02:00:00:00:00:01'],
    },
    { action: 'update', machine: 'n2', address: '10.0.3.8', matchedBy: ['serial', 'mac'], changes: [] },
    { action: 'skip', address: '10.0.3.9', matchedBy: [], changes: [], why: 'its BMC knows no MAC address' },
  ]
  api.on('POST /v1/discovery/import', { json: { steps, isDryRun: true } })
  const { stdout } = await run(api, ['discover', 'import', '--dry-run', '10.0.3.7'])
  assert.deepEqual(api.requests[0]!.json(), { bmcs: ['10.0.3.7'], dryRun: true })
  assert.match(stdout, /add +n1 +10\.0\.3\.7 +1 +MAC 02:00:00:00:00:01\n/)
  assert.match(stdout, /update +n2 +10\.0\.3\.8 +serial,mac +inventory\n/)
  assert.match(stdout, /skip +10\.0\.3\.9 +its BMC knows no MAC address\n/)
  const json = await run(api, ['discover', 'import', '--json'])
  assert.deepEqual(JSON.parse(json.stdout), { steps, isDryRun: true })
  api.on(
    'POST /v1/discovery/import',
    failure(409, 'conflict', 'Cannot import system "S1": it is machine "a" and machine "b"'),
  )
  const conflict = await run(api, ['discover', 'import'])
  assert.equal(conflict.code, 5)
  assert.match(conflict.stderr, /machine "a" and machine "b"/)
})

test('machine inspect shows the inventory where there is one', async () => {
  await using api = await startFakeApi()
  api.on('GET /v1/machines/n1', { json: { id: 'id-1', name: 'n1' } })
  api.on('GET /v1/machines/id-1/inventories', { json: { inventories: [] } })
  assert.deepEqual(JSON.parse((await run(api, ['machine', 'inspect', 'n1'])).stdout), [{ id: 'id-1', name: 'n1' }])
  api.on('GET /v1/machines/id-1/inventories', { json: { inventories: [{ source: 'redfish' }, { source: 'agent' }] } })
  const { stdout } = await run(api, ['machine', 'inspect', '-f', '{{.inventory.source}}', 'n1'])
  assert.equal(stdout, 'redfish\n')
})
