import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readLeast, readTree, TREES, treeGet } from '../fakes/redfish-tree.ts'
import { AppError } from '../../src/base/errors.ts'
import { inventory } from '../../src/model/inventory.ts'
import { crawlRedfish } from '../../src/services/discovery/redfish/crawl.ts'
import { macFrom } from '../../src/services/discovery/redfish/values.ts'

const now = () => 1_000
const least = readLeast()

for (const name of TREES)
  test(`crawlRedfish finds in ${name} at least what a plain walk finds`, async () => {
    const { get, asked } = treeGet(readTree(name))
    const found = await crawlRedfish(get, { now })
    assert.equal(new Set(asked.map((path) => path.toLowerCase())).size, asked.length, 'a resource was asked for twice')
    assert.equal(found.length, least[name].systems.length)
    for (const expected of least[name].systems) {
      const one = found.find(({ system }) => system.url === expected.id)
      assert.ok(one, `no inventory of ${expected.id}`)
      assert.deepEqual(inventory.parse(one).system.url, expected.id)
      const { system } = one
      assert.equal(system.manufacturer, expected.Manufacturer ?? undefined)
      assert.equal(system.model, expected.Model ?? undefined)
      assert.equal(system.serial, expected.SerialNumber ?? undefined)
      assert.equal(system.uuid, expected.UUID?.toLowerCase())
      assert.equal(system.biosVersion, expected.BiosVersion ?? undefined)
      assert.equal(system.powerState, expected.PowerState?.toLowerCase())
      // Where they disagree, the sockets of the list that are filled count, and a note tells.
      if (!one.notes.includes(`the system counts ${expected.cpu} processors and lists ${one.cpus.length}`))
        assert.equal(one.cpus.length, expected.cpu ?? 0)
      assert.equal(one.memory.totalMiB, expected.memGiB ? expected.memGiB * 1024 : undefined)
      const macs = one.nics.flatMap((nic) => [nic.mac, nic.permanentMac])
      for (const text of expected.macs) {
        const mac = macFrom(text)
        if (mac !== undefined) assert.ok(macs.includes(mac), `${text} is missing`)
        else
          assert.ok(
            one.notes.some((note) => /not the MAC address|no MAC address/.test(note)),
            `nothing notes ${text}`,
          )
      }
      const { capabilities } = one
      for (const type of expected.resetTypes ?? []) assert.ok(capabilities.resetTypes.includes(type), type)
      for (const target of expected.boot ?? [])
        if (target !== 'None') assert.ok(capabilities.bootTargets.includes(target), target)
      if (expected.bootMode) assert.ok(capabilities.bootModes.includes(expected.bootMode.toLowerCase() as 'uefi'))
    }
  })

const crawl = async (name: (typeof TREES)[number]) => await crawlRedfish(treeGet(readTree(name)).get, { now })

test('crawlRedfish knows the BMC, modules, TPM, readings, firmware, console and media of an iLO 5', async () => {
  const [one] = await crawl('hpe-ilo5-DL325')
  assert.equal(one!.at, 1_000)
  assert.deepEqual(one!.bmc, {
    manufacturer: undefined,
    model: 'iLO 5',
    serial: undefined,
    uuid: '1668bf7f-855a-5188-aece-3e5c1627ac7f',
    firmware: 'iLO 5 v2.46',
    mac: '94:40:c9:37:d3:fc',
    ip: '10.254.1.15',
    url: '/redfish/v1/Managers/1',
  })
  assert.equal(one!.memory.modules.length, 4)
  assert.equal(one!.memory.modules[0]!.name, 'PROC 1 DIMM 1')
  assert.deepEqual(one!.tpm, { version: '2.0', firmware: '73.64', isEnabled: true })
  assert.deepEqual(one!.readings[0], { name: 'power consumed', kind: 'power', value: 97, unit: 'W', health: undefined })
  assert.ok(one!.readings.some(({ kind, unit, value }) => kind === 'temperature' && unit === 'Cel' && value === 17))
  assert.ok(one!.readings.some(({ kind }) => kind === 'fan'))
  assert.ok(one!.firmware.some(({ name, version }) => name === 'iLO 5' && version === '2.46 May 11 2021'))
  assert.deepEqual(one!.capabilities.serialConsole, ['ssh', 'ipmi', 'oem'])
  assert.deepEqual(one!.capabilities.virtualMedia, ['Floppy', 'USBStick', 'CD', 'DVD'])
})

test('crawlRedfish takes reset types from ActionInfo, disks from Storage, and keeps neighbours apart', async () => {
  const [gigabyte] = await crawl('cray-Gigabyte')
  assert.deepEqual(gigabyte!.capabilities.resetTypes, ['GracefulShutdown', 'ForceRestart', 'ForceOff', 'On'])
  assert.deepEqual(
    gigabyte!.disks.map(({ serial, sizeBytes }) => [serial, sizeBytes]),
    [['S455NY0M831393', 2_013_667_524_608]],
  )
  const blades = await crawl('cray-EX425')
  assert.deepEqual(
    blades.map(({ system }) => system.url),
    ['/redfish/v1/Systems/Node0', '/redfish/v1/Systems/Node1'],
  )
  assert.equal(blades[0]!.cpus.length, 2)
  assert.notEqual(blades[0]!.nics[0]!.mac, blades[1]!.nics[0]!.mac)
  const [tower] = await crawl('dsp2043-public-tower')
  assert.ok(tower!.nics.some(({ mac, model }) => mac === '00:0c:29:9a:98:ed' && model === 'SuperNIC 2000'))
  assert.deepEqual(
    tower!.gpus.map(({ name, model }) => [name, model]),
    [
      ['GPU1', 'Nvidia(R) TU102'],
      ['GPU2', 'Nvidia(R) TU102'],
    ],
  )
})

test('crawlRedfish leaves a service without systems empty, and says what is no service', async () => {
  assert.deepEqual(await crawl('dsp2043-public-pdu'), [])
  const wrong = { code: 'bad_peer', message: /no Redfish service root/ }
  await assert.rejects(
    crawlRedfish(async () => ({ hello: 1 }), { now }),
    wrong,
  )
  await assert.rejects(
    crawlRedfish(async () => 'hello', { now }),
    wrong,
  )
})

test('crawlRedfish ends with a password that is refused, and goes on without a resource that is forbidden or broken', async () => {
  const { get } = treeGet(readTree('hpe-ilo5-DL325'))
  let refusals = 0
  const locked = async (path: string) => {
    if (path === '/redfish/v1/') return await get(path)
    refusals += 1
    throw new AppError('unauthorized', 'Cannot log in')
  }
  await assert.rejects(crawlRedfish(locked, { now }), { code: 'unauthorized' })
  assert.equal(refusals, 1, 'a refused password was sent again')
  const half = async (path: string) => {
    if (/Processors|Memory$/.test(path)) throw new AppError('forbidden', `Cannot GET "${path}" on BMC "b": 403`)
    return await get(path)
  }
  const [one] = await crawlRedfish(half, { now })
  assert.equal(one!.cpus.length, 1, 'the summary was not taken')
  assert.equal(one!.memory.totalMiB, 65_536)
  assert.ok(one!.notes.includes('/redfish/v1/Systems/1/Processors cannot be read: 403'))
  assert.equal(one!.system.serial, 'MXQ019020B')
})

test('crawlRedfish asks no more once a BMC has fallen silent', async () => {
  const { get } = treeGet(readTree('hpe-ilo5-DL325'))
  let silences = 0
  const dying = async (path: string) => {
    if (!/\/Processors/.test(path) && silences === 0) return await get(path)
    silences += 1
    throw new AppError('timeout', 'no answer in 15000 ms')
  }
  const [one] = await crawlRedfish(dying, { now })
  assert.equal(silences, 3)
  assert.ok(one!.notes.some((note) => note.startsWith('the BMC no longer answers')))
})

test('crawlRedfish is not led around: loops, endless pages, other hosts, too many resources', async () => {
  const asked: string[] = []
  const endless = async (path: string): Promise<unknown> => {
    asked.push(path)
    const page = Number(/page=(\d+)/.exec(path)?.[1] ?? 0)
    if (path === '/redfish/v1/') return { RedfishVersion: '1.0', Systems: { '@odata.id': '/redfish/v1/Systems' } }
    if (path.startsWith('/redfish/v1/Systems?') || path === '/redfish/v1/Systems')
      return {
        Members: [
          { '@odata.id': 'https://other/redfish/v1/Systems/1' },
          { '@odata.id': '//other/redfish/v1/Systems/1' },
          { '@odata.id': '/redfish/v1/../../admin' },
          { '@odata.id': '/ui/login' },
          { '@odata.id': `/redfish/v1/Systems/${page}` },
        ],
        'Members@odata.nextLink': `/redfish/v1/Systems?page=${page + 1}`,
      }
    return { Id: path, Links: { Chassis: [{ '@odata.id': path }] }, Memory: { '@odata.id': '/redfish/v1/Systems' } }
  }
  const found = await crawlRedfish(endless, { now, maxResources: 300 })
  assert.ok(found.length > 0)
  assert.ok(asked.length <= 300)
  assert.ok(asked.every((path) => path.startsWith('/redfish/v1') && !path.includes('..')))
  assert.ok(found[0]!.notes.some((note) => note.includes('does not end')))
})

test("crawlRedfish reports accounts with their maker's password and without a name, and never uses them", async () => {
  const tree = new Map<string, unknown>([
    [
      '/redfish/v1/',
      {
        RedfishVersion: '1.6.0',
        Systems: link('Systems'),
        Managers: link('Managers'),
        AccountService: link('AccountService'),
      },
    ],
    ['/redfish/v1/Systems', { Members: [link('Systems/1')] }],
    [
      '/redfish/v1/Systems/1',
      {
        '@odata.id': '/redfish/v1/Systems/1',
        Id: '1',
        SerialNumber: 'To be filled by O.E.M.',
        UUID: '00000000-0000-0000-0000-000000000000',
      },
    ],
    ['/redfish/v1/Managers', { Members: [link('Managers/bmc')] }],
    [
      '/redfish/v1/Managers/bmc',
      { '@odata.id': '/redfish/v1/Managers/bmc', NetworkProtocol: link('Managers/bmc/NetworkProtocol') },
    ],
    ['/redfish/v1/Managers/bmc/NetworkProtocol', { Telnet: { ProtocolEnabled: true } }],
    ['/redfish/v1/AccountService', { Accounts: link('AccountService/Accounts') }],
    [
      '/redfish/v1/AccountService/Accounts',
      { Members: ['1', '2', '3'].map((id) => link(`AccountService/Accounts/${id}`)) },
    ],
    ['/redfish/v1/AccountService/Accounts/1', { UserName: '', Enabled: true, RoleId: 'Administrator' }],
    ['/redfish/v1/AccountService/Accounts/2', { UserName: 'root', Enabled: true, PasswordChangeRequired: true }],
    ['/redfish/v1/AccountService/Accounts/3', { UserName: '', Enabled: false, RoleId: 'Administrator' }],
  ])
  const [one] = await crawlRedfish(async (path) => tree.get(path), { now })
  assert.deepEqual(
    one!.findings.map(({ kind }) => kind),
    ['null-user', 'default-password', 'no-encryption'],
  )
  assert.equal(one!.system.serial, undefined)
  assert.equal(one!.system.uuid, undefined)
  assert.ok(one!.notes.includes('the BMC does not say the serial number of this system'))
})

test('crawlRedfish finds disks of HPE Smart Storage, in MiB', async () => {
  const tree = new Map<string, unknown>([
    ['/redfish/v1/', { RedfishVersion: '1.6.0', Systems: link('Systems') }],
    ['/redfish/v1/Systems', { Members: [link('Systems/1')] }],
    [
      '/redfish/v1/Systems/1',
      {
        '@odata.id': '/redfish/v1/Systems/1',
        Oem: { Hpe: { Links: { SmartStorage: link('Systems/1/SmartStorage') } } },
      },
    ],
    [
      '/redfish/v1/Systems/1/SmartStorage',
      { Links: { ArrayControllers: link('Systems/1/SmartStorage/ArrayControllers') } },
    ],
    [
      '/redfish/v1/Systems/1/SmartStorage/ArrayControllers',
      { Members: [link('Systems/1/SmartStorage/ArrayControllers/0')] },
    ],
    ['/redfish/v1/Systems/1/SmartStorage/ArrayControllers/0', { Links: { PhysicalDrives: link('Systems/1/Disks') } }],
    ['/redfish/v1/Systems/1/Disks', { Members: [link('Systems/1/Disks/0')] }],
    [
      '/redfish/v1/Systems/1/Disks/0',
      {
        CapacityMiB: 1_000,
        InterfaceType: 'SAS',
        MediaType: 'SSD',
        Model: 'MO000800',
        SerialNumber: 'S1',
        Location: '1I:1:1',
      },
    ],
  ])
  const [one] = await crawlRedfish(async (path) => tree.get(path), { now })
  assert.equal(one!.disks.length, 1)
  const { name, serial, sizeBytes, kind } = one!.disks[0]!
  assert.deepEqual(
    { name, serial, sizeBytes, kind },
    { name: '1I:1:1', serial: 'S1', sizeBytes: 1_048_576_000, kind: 'ssd' },
  )
  assert.deepEqual(one!.capabilities.serialConsole, [])
  assert.ok(one!.notes.includes('the BMC does not say which resets this system takes'))
})

function link(path: string) {
  return { '@odata.id': `/redfish/v1/${path}` }
}
