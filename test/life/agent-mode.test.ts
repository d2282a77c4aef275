/** A machine that nobody knows, from its first script to its first container: what it is told, and what it is never given. */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { openSmallSite } from '../fakes/small-site.ts'
import { World } from '../fakes/world.ts'

const MAC = '52:54:00:00:aa:01'
const OTHER_MAC = '52:54:00:00:aa:02'
const ADDRESS = '10.0.0.77'
const TABLE = readFileSync(join(import.meta.dirname, '../packets/smbios/Dell-PowerEdge-R630-Dual-Xeon.dmi'))
const UUID = '4c4c4544-0039-3010-8048-b7c04f384432'

const report = (macs: readonly string[] = [MAC], table: Uint8Array = TABLE): Uint8Array =>
  Buffer.from(
    [
      'bareboat-hardware 1',
      'system\tarch=x86_64\tkernel=6.12\tfirmware=uefi\tmemory_kib=2097152',
      ...macs.map((mac, index) => `nic\tname=eth${index}\tmac=${mac}\tdriver=e1000\tcarrier=1\tspeed=1000`),
      'disk\tname=sda\tbytes=1000000\ttransport=sata\tserial=S-1\trotational=1',
      `smbios\tentry=${Buffer.from('5f534d335fab180303000100', 'hex').toString('base64')}\ttable=${Buffer.from(table).toString('base64')}`,
      '',
    ].join('\n'),
  )

async function open(t: TestContext, hasAgentMode = true) {
  const folder = mkdtempSync(join(tmpdir(), 'bareboat-agent-'))
  const world = new World()
  const site = await openSmallSite({ folder, world, hasAgentMode })
  t.after(async () => {
    world.end()
    await site[Symbol.asyncDispose]()
    rmSync(folder, { recursive: true })
  })
  const tokenFor = async (mac: string): Promise<string> => {
    const script = await site.boot.waiting(mac)
    const token = /^kernel --name kernel http:\/\/10\.0\.0\.1:8080\/agent\/([\w-]{43})\/kernel /m.exec(script)?.[1]
    assert.ok(token, script)
    return token
  }
  /** Boots the agent and lets it report. */
  const agent = async (mac = MAC, bytes = report([mac])) => {
    const token = await tokenFor(mac)
    await site.agents.report(token, ADDRESS, bytes)
    return { token, order: async () => (await site.agents.order(token, ADDRESS)).trimEnd().split('\n') }
  }
  return { site, world, tokenFor, agent }
}

const lost = { code: 'not_found', message: 'Cannot find what this address stood for' }

test('an unknown machine becomes a discovered one with its inventory; accepted under a name, it may run containers', async (t) => {
  const { site, agent } = await open(t)
  const { token, order } = await agent(MAC, report([MAC, OTHER_MAC]))
  const [machine] = await site.machines.list()
  assert.deepEqual(
    { ...machine, id: '', createdAt: 0 },
    {
      ...{ id: '', createdAt: 0, name: 'm-52540000aa01', macs: [MAC, OTHER_MAC], uuid: UUID, arch: 'amd64', rank: 0 },
      ...{ groups: [], labels: {}, enabled: true, hasBmcPassword: false, firmware: 'uefi', memoryMiB: 2048 },
      ...{ admission: 'discovered', cordoned: false },
    },
  )
  const [inventory] = await site.inventories.of(machine!.id)
  assert.deepEqual(
    [inventory!.source, inventory!.system.serial, inventory!.disks[0]!.serial, inventory!.nics[1]!.mac],
    ['agent', '790H8D2', 'S-1', OTHER_MAC],
  )
  assert.deepEqual(await order(), ['wait', 'to be accepted: bareboat machine accept m-52540000aa01'])
  await assert.rejects(site.run(), /no machine is free \(m-52540000aa01 is not accepted yet\)/)

  await site.machines.decide('m-52540000aa01', 'accept', 'rack1-07')
  assert.deepEqual(await order(), [
    'wait',
    'rack1-07 is accepted and needs a BMC: bareboat machine set rack1-07 --bmc URL',
  ])
  await site.machines.change('rack1-07', { bmc: 'http://10.0.0.9:80' })
  assert.equal((await order())[0], 'power-off')
  assert.equal((await site.run()).machineName, 'rack1-07')
  assert.deepEqual(
    (await site.events.history({ subjectId: machine!.id })).map((event) => event.action),
    ['discover', 'accept', 'update'],
  )
  await assert.rejects(site.boot.spec(token, ADDRESS), lost, 'the token of an agent opens no orders of a container')
})

test('what an agent is told is of this boot alone: who it is, a host key, who may log in; its token is for the first address', async (t) => {
  const { site, tokenFor } = await open(t)
  const token = await tokenFor(MAC)
  const told = await site.agents.spec(token, ADDRESS)
  assert.match(told, new RegExp(`^BB_ID='agent'\\nBB_NAME='${MAC}'\\nBB_MODE='agent'\\nBB_SSH_PORT='\\d+'\\n`))
  const keysOf = (spec: string) => [...spec.matchAll(/^BB_SSH_(HOST_KEY|AUTHORIZED)='(.+)'$/gm)].map(([, , key]) => key)
  assert.equal(keysOf(told).length, 2)
  const next = await site.agents.spec(await tokenFor(MAC), ADDRESS)
  for (const key of keysOf(told)) assert.ok(!next.includes(key!), 'keys are of one boot')
  assert.equal(site.agents.file(token, 'kernel').sizeBytes, 4)
  const calls = [
    () => site.agents.spec(token, '10.0.0.78'),
    () => site.agents.report(token, '10.0.0.78', report()),
    () => site.agents.order(token, '10.0.0.78'),
    () => site.agents.order('A'.repeat(43), ADDRESS),
    async () => site.agents.file('A'.repeat(43), 'kernel'),
  ]
  for (const call of calls) await assert.rejects(call, lost)
  await assert.rejects(site.agents.report(token, ADDRESS, Buffer.from('x')), {
    code: 'invalid',
    message: 'Cannot keep the report of a machine',
  })
  assert.deepEqual(await site.machines.list(), [])
})

test('a rejected machine is switched off, and its script says that it is rejected', async (t) => {
  const { site, agent } = await open(t)
  const { order } = await agent()
  await site.machines.decide('m-52540000aa01', 'reject')
  assert.deepEqual(await order(), ['power-off', 'm-52540000aa01 is rejected'])
  const script = await site.boot.waiting(MAC)
  assert.match(script, /^echo Bareboat: m-52540000aa01 is rejected\necho Bareboat: .*machine accept m-52540000aa01$/m)
  assert.doesNotMatch(script, /kernel/)
  await assert.rejects(site.run(), /m-52540000aa01 is rejected/)
})

test('a cordoned machine keeps its container and gets no other; its script says so', async (t) => {
  const { site, world, agent } = await open(t)
  world.machine(MAC, ADDRESS, { bootsTo: 'nothing' })
  await site.addMachine('m1', MAC)
  const container = await site.run()
  await site.machines.decide('m1', 'cordon')
  await assert.rejects(site.run(), /no machine is free \(m1 is cordoned\)/)
  assert.ok(['preparing', 'powering', 'booting'].includes((await site.store.byId(container.id))!.state))
  await site.containers.stop(container.id, 0)
  assert.match(await site.boot.waiting(MAC), /^echo Bareboat: m1 is cordoned and starts the agent/m)
  assert.deepEqual(await (await agent()).order(), ['wait', 'm1 is cordoned: bareboat machine uncordon m1'])
  await assert.rejects(site.containers.restart(container.id), /Cannot restart container ".*": machine "m1" is cordoned/)
  await site.machines.decide('m1', 'uncordon')
  assert.match(await site.boot.waiting(MAC), /m1 has no container to boot/)
})

test('a machine that says that it is an accepted one gets nothing of it: a person adds its card', async (t) => {
  const { site, agent } = await open(t)
  await site.addMachine('m1', '52:54:00:00:00:01')
  await site.machines.change('m1', { uuid: UUID })
  const { order } = await agent()
  assert.deepEqual(await order(), [
    'wait',
    `it says that it is a machine that is known already: add its MAC ${MAC} to that`,
  ])
  const [machine, ...rest] = await site.machines.list()
  assert.deepEqual([machine!.macs, rest.length], [['52:54:00:00:00:01'], 0])
  await site.machines.change('m1', { macs: ['52:54:00:00:00:01', MAC], bmc: 'http://10.0.0.9:80' })
  assert.equal((await order())[0], 'power-off', 'a person has added the card')
})

test('without agent mode, a cordoned machine waits in iPXE and says why', async (t) => {
  const { site } = await open(t, false)
  await site.addMachine('m1', MAC)
  await site.machines.decide('m1', 'cordon')
  assert.match(await site.boot.waiting(MAC), /^echo Bareboat: m1 is cordoned\n/m)
})

test('a discovered machine that boots from its other card is the same one, and is known by both', async (t) => {
  const { site, agent } = await open(t)
  await agent(MAC)
  await agent(OTHER_MAC)
  const machines = await site.machines.list()
  assert.deepEqual(
    machines.map(({ name, macs }) => ({ name, macs })),
    [{ name: 'm-52540000aa01', macs: [MAC, OTHER_MAC] }],
  )
})

test('a machine does not take cards of another one with it', async (t) => {
  const { site, agent } = await open(t)
  await site.addMachine('m1', '52:54:00:00:00:01')
  const { order } = await agent(MAC, report([MAC, '52:54:00:00:00:01'], Buffer.from('7f0400000000', 'hex')))
  assert.equal((await order())[0], 'wait')
  assert.deepEqual((await site.machines.get('m1')).macs, ['52:54:00:00:00:01'])
})

test('a machine in the agent starts anew when somebody asks for it, once, and when it was removed', async (t) => {
  const { site, agent } = await open(t)
  const { order } = await agent()
  const { id } = await site.machines.get('m-52540000aa01')
  assert.equal(site.agents.reboot(id), true)
  assert.deepEqual(await order(), ['reboot', 'somebody asked for it'])
  assert.equal((await order())[0], 'wait')
  await site.machines.remove('m-52540000aa01')
  assert.deepEqual(await order(), ['reboot', 'it was removed from the server'])
  assert.equal(site.agents.reboot('nobody'), false)
})

test('without agent mode, an unknown machine and one that is not accepted wait in iPXE and say why', async (t) => {
  const { site } = await open(t, false)
  assert.match(await site.boot.waiting(MAC), /this machine is unknown here: its MAC is 52:54:00:00:aa:01/)
  await site.addMachine('m1', MAC)
  const { id } = await site.machines.get('m1')
  await site.machineStore.update(id, (seen) => ({ ...seen, admission: 'discovered' }), undefined, {
    ...{ kind: 'machine', action: 'test', subjectId: id, name: 'm1', source: 'daemon', attributes: {} },
  })
  assert.match(await site.boot.waiting(MAC), /m1 is not accepted yet\n/)
})

test('disks are wiped only of a machine that is in the agent and on which nothing can be started', async (t) => {
  const { site, agent } = await open(t)
  const request = (confirm = 'm1') => ({ disks: ['S-1'], method: 'fast' as const, confirm })
  const m1 = async () => (await site.machines.get('m1')) as Parameters<typeof site.agents.wipe>[0]
  await site.addMachine('m1', MAC)
  await assert.rejects(site.agents.wipe(await m1(), request()), /cordon it first: bareboat machine cordon m1/)
  await site.machines.decide('m1', 'cordon')
  await assert.rejects(site.agents.wipe(await m1(), request()), /not in the agent now; .* bareboat machine reboot m1/)
  const { token, order } = await agent()
  await assert.rejects(site.agents.wipe(await m1(), request('m2')), /"m2" was typed in confirmation, not its name/)
  assert.equal((await order())[0], 'wait')

  const [wipe] = await site.agents.wipe(await m1(), request())
  await assert.rejects(site.agents.refuseWhileWiping(await m1(), 'uncordon'), /Cannot uncordon machine "m1": a disk/)
  const wanted = ['wipe', 'to wipe the disk with serial number "S-1"', `${wipe!.id} fast 1000000 S-1`]
  assert.deepEqual([await order(), await order()], [wanted, wanted])
  await assert.rejects(site.agents.wiped(token, ADDRESS, wipe!.id, 'perhaps'), /neither "ok" nor "failed"/)
  await site.agents.wiped(token, ADDRESS, wipe!.id, 'failed\ncannot write: I/O error\n')
  assert.equal((await order())[0], 'wait')
  assert.deepEqual(
    (await site.agents.wipesOf(await m1())).map(({ state, cause }) => [state, cause]),
    [['failed', 'cannot write: I/O error']],
  )
  assert.deepEqual((await site.events.history({ subjectId: (await m1()).id })).map((event) => event.action).slice(-2), [
    'wipe',
    'wipe-failed',
  ])
  await site.agents.refuseWhileWiping(await m1(), 'uncordon')
})
