/** The verbs that decide about machines and show what they are made of: what is printed, and what is asked. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Inventory } from '../../src/model/inventory.ts'
import type { Wipe } from '../../src/model/machine.ts'
import { failure, startFakeApi } from '../fakes/api-server.ts'
import { runCli } from '../../src/cli/program.ts'
import { fakeTerminal, run } from '../fakes/terminal.ts'
import { aMachine, NOW_MS } from '../fakes/things.ts'

test('machine ls says which machines wait, are rejected or cordoned', async () => {
  await using api = await startFakeApi()
  const containerId = 'b'.repeat(64)
  api.on('GET /v1/machines', {
    json: {
      machines: [
        aMachine({ name: 'm1', admission: 'discovered' }),
        aMachine({ name: 'm2', admission: 'rejected' }),
        aMachine({ name: 'm3', cordoned: true }),
        aMachine({ name: 'm4', cordoned: true, containerId }),
        aMachine({ name: 'm5', enabled: false, admission: 'discovered' }),
      ],
    },
  })
  const { stdout } = await run(api, ['machine', 'ls', '--format', '{{.Name}} {{.Status}}'])
  assert.equal(stdout, 'm1 discovered\nm2 rejected\nm3 cordoned\nm4 in use (bbbbbbbbbbbb), cordoned\nm5 disabled\n')
})

test('machine accept, reject, cordon, uncordon and reboot: several at once, and the rest goes on where one is refused', async () => {
  await using api = await startFakeApi()
  for (const verb of ['accept', 'reject', 'cordon', 'uncordon'])
    api.on(`POST /v1/machines/:name/${verb}`, ({ params: [name] }) =>
      name === 'm2' ? failure(409, 'conflict', `Cannot ${verb} machine "m2": no`) : { json: aMachine({ name: name! }) },
    )
  for (const verb of ['accept', 'reject', 'cordon', 'uncordon']) {
    const ran = await run(api, ['machine', verb, 'm1', 'm2', 'm3'])
    assert.deepEqual([ran.stdout, ran.stderr, ran.code], ['m1\nm3\n', `bareboat: Cannot ${verb} machine "m2": no\n`, 5])
  }
  await run(api, ['machine', 'accept', '--name', 'r7', 'm1'])
  assert.deepEqual(api.requests.at(-1)!.json(), { name: 'r7' })
  const two = await run(api, ['machine', 'accept', '--name', 'r7', 'm1', 'm3'])
  assert.deepEqual([two.code, two.stderr], [2, 'bareboat: Cannot accept 2 machines as "r7": --name is for one\n'])
  api.on('POST /v1/machines/:name/reboot', { json: { by: 'agent' } })
  assert.equal((await run(api, ['machine', 'reboot', 'm1'])).stdout, 'm1\n')
  assert.equal((await run(api, ['machine', 'reboot', '--json', 'm1'])).stdout, '{"machine":"m1","by":"agent"}\n')
})

test('machine inventory shows one thing a line, and nothing of a vendor steers the terminal', async () => {
  await using api = await startFakeApi()
  const inventory: Inventory = {
    source: 'agent',
    at: NOW_MS - 60_000,
    system: { manufacturer: 'Dell Inc.', model: 'R630\u001b[2J', serial: '790H8D2', biosVersion: '2.3.4' },
    cpus: [{ name: 'CPU1', model: 'E5-2630', cores: 8, threads: 16 }],
    memory: { totalMiB: 4096, modules: [{ name: 'A1', sizeMiB: 4096, kind: 'DDR4', serial: 'M1' }] },
    nics: [
      { name: 'eth0', mac: '52:54:00:12:34:56', driver: 'igb', hasLink: true, speedMbps: 1000 },
      { name: '0000:02:00.0', model: '15b3:1017' },
    ],
    disks: [{ name: 'sda', serial: 'S1', sizeBytes: 4_000_787_030_016, kind: 'hdd', model: 'WDC' }],
    gpus: [{ pci: '0000:06:00.0', manufacturer: 'NVIDIA', model: '10de:15f8' }],
    tpm: { version: '2.0' },
    bmc: { firmware: '2.41' },
    readings: [],
    firmware: [],
    capabilities: { serialConsole: [], virtualMedia: [], bootTargets: [], bootModes: [], resetTypes: [] },
    findings: [],
    notes: ['network controller 0000:02:00.0 (15b3:1017) has no driver in this kit'],
  }
  api.on('GET /v1/machines/:name/inventories', { json: { inventories: [inventory] } })
  const { stdout } = await run(api, ['machine', 'inventory', 'm1'], { nowMs: NOW_MS })
  assert.equal(
    stdout,
    [
      'As agent told About a minute ago',
      'PART     NAME           SERIAL              WHAT',
      'system                  790H8D2             Dell Inc. R630?[2J BIOS 2.3.4',
      'bmc                                         firmware 2.41',
      'cpu      CPU1                               E5-2630 cores: 8 threads: 16',
      'memory                                      4096MiB',
      'module   A1             M1                  4096MiB DDR4',
      'nic      eth0           52:54:00:12:34:56   igb link 1000Mb/s',
      'nic      0000:02:00.0                       15b3:1017',
      'disk     sda            S1                  4TB hdd WDC',
      'gpu      0000:06:00.0                       NVIDIA 10de:15f8',
      'tpm                                         2.0',
      'note: network controller 0000:02:00.0 (15b3:1017) has no driver in this kit',
      '',
    ].join('\n'),
  )
  api.on('GET /v1/machines/:name/inventories', { json: { inventories: [] } })
  const none = await run(api, ['machine', 'inventory', 'm1'])
  assert.deepEqual([none.stdout, none.stderr], ['', 'Nobody has told of the hardware of m1 yet\n'])
})

test('machine wipe: disks by serial number, the name typed or given, each outcome told', async () => {
  await using api = await startFakeApi()
  const wipe = (serial: string, over: Partial<Wipe>): Wipe => ({
    ...{ id: serial, machineId: 'm', serial, sizeBytes: 1, method: 'fast', state: 'waiting', askedAt: 0 },
    ...over,
  })
  api.on('GET /v1/machines/:name', { json: aMachine({ name: 'm1' }) })
  api.on('POST /v1/machines/:name/wipes', { status: 202, json: { wipes: [wipe('S1', {}), wipe('S2', {})] } })
  const ended = [
    wipe('old', { state: 'failed', cause: 'of yesterday' }),
    wipe('S1', { state: 'done' }),
    wipe('S2', { state: 'failed', cause: 'cannot write: I/O error' }),
  ]
  api.on('GET /v1/machines/:name/wipes', { json: { wipes: ended } })
  api.on('GET /v1/machines/:name/inventories', {
    json: { inventories: [{ source: 'agent', disks: [{ serial: 'S1', name: 'sda', sizeBytes: 4e12, model: 'WDC' }] }] },
  })
  const posts = () => api.requests.filter(({ method }) => method === 'POST')
  const argv = ['machine', 'wipe', 'm1', '--disk', 'S1', '--disk', 'S2']
  for (const [more, stderr] of [
    [[], /standard input is not a terminal; use --confirm/],
    [['--fast', '--zeroes', '--confirm', 'm1'], /--fast and --zeroes exclude each other/],
  ] as const)
    assert.match((await run(api, [...argv, ...more])).stderr, stderr)
  assert.match((await run(api, ['machine', 'wipe', 'm1'])).stderr, /name each one with --disk SERIAL/)
  assert.equal(posts().length, 0)

  const ran = await run(api, [...argv, '--zeroes', '--confirm', 'm1'])
  assert.deepEqual(
    [ran.stdout, ran.stderr, ran.code],
    ['S1\n', 'bareboat: Cannot wipe disk "S2" of "m1": cannot write: I/O error\n', 6],
  )
  assert.deepEqual(posts().at(-1)!.json(), { disks: ['S1', 'S2'], method: 'zeroes', confirm: 'm1' })
  const terminal = fakeTerminal(api, { isTty: true, nowMs: NOW_MS, input: 'm1 \n' })
  await runCli(argv, terminal.io)
  assert.match(
    terminal.stderr(),
    /^What is on these disks of m1 will be lost:\n {2}S1 {2}sda {2}4TB {2}WDC\n {2}S2\nType the name of the machine to go on: /,
  )
  assert.deepEqual(posts().at(-1)!.json(), { disks: ['S1', 'S2'], method: 'fast', confirm: 'm1' })
  api.on('GET /v1/machines/:name/wipes', { json: { wipes: [] } })
  assert.match(
    (await run(api, [...argv, '--confirm', 'm1'])).stderr,
    /the server was started anew; look at the machine/,
  )
})
