/** The whole life of containers, in process: our services and SQLite, and a world that behaves as told. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { poll, sleep } from '../../src/base/clock.ts'
import { AppError } from '../../src/base/errors.ts'
import type { Container } from '../../src/model/container.ts'
import { STAGES, type Stage } from '../../src/model/stage.ts'
import type { Event } from '../../src/model/event.ts'
import { openSmallSite, type SiteOptions, type SmallSite } from '../fakes/small-site.ts'
import { World, type Behaviour, type FakeMachine } from '../fakes/world.ts'

const MAC = '52:54:00:00:00:01'

interface Bench {
  readonly site: SmallSite
  readonly machine: FakeMachine
  readonly world: World
}

async function bench(
  t: TestContext,
  does: Partial<Behaviour> = {},
  options: Partial<SiteOptions> = {},
): Promise<Bench> {
  const folder = mkdtempSync(join(tmpdir(), 'bareboat-life-'))
  const world = new World()
  const machine = world.machine(MAC, '10.0.0.7', does)
  const site = await openSmallSite({ folder, world, ...options })
  await site.addMachine('m1', MAC)
  t.after(async () => {
    world.end()
    await site[Symbol.asyncDispose]()
    rmSync(folder, { recursive: true })
  })
  return { site, machine, world }
}

async function untilState(site: SmallSite, id: string, state: Container['state']): Promise<Container> {
  const found = await poll(
    async () => {
      const seen = await site.store.byId(id)
      return seen?.state === state ? seen : undefined
    },
    { everyMs: 2, deadlineMs: 20_000 },
  )
  assert.ok(found, `never came to "${state}" but is ${JSON.stringify(await site.store.byId(id))}`)
  return found
}

async function untilStage(site: SmallSite, id: string, stage: Stage): Promise<void> {
  const reached = async () => {
    const seen = await site.store.byId(id)
    return seen?.stage === stage && seen.state === 'booting' ? true : undefined
  }
  assert.ok(await poll(reached, { everyMs: 2, deadlineMs: 20_000 }), `never came to stage "${stage}"`)
}

async function actions(site: SmallSite, id: string): Promise<string[]> {
  const all: Event[] = await site.events.history({ subjectId: id })
  return all.map(({ action, attributes }) => (action === 'stage' ? `stage ${attributes['stage']}` : action))
}

const ons = (machine: FakeMachine): number => machine.commands.filter((command) => command === 'on').length

test('an application runs: stages in order, output, exit code, machine off and free', async (t) => {
  const { site, machine } = await bench(t, { exitCode: 7 })
  const { id } = await site.run()
  const ended = await site.containers.wait(id)
  assert.equal(ended.state, 'exited')
  assert.equal(ended.exitCode, 7)
  assert.equal(ended.machineOff, true)
  assert.equal(await site.output(id), 'hello\n')
  assert.deepEqual(machine.commands, ['on', 'off'])
  assert.equal((await site.machineStore.list())[0]?.containerId, undefined)
  const seen = await actions(site, id)
  const stages = seen.filter((action) => action.startsWith('stage '))
  assert.deepEqual(
    stages.map((stage) => stage.slice(6)),
    ['power-on', 'dhcp', 'tftp', 'ipxe', 'kernel', 'initrd', 'rootfs', 'init', 'running'],
  )
  assert.equal(seen[0], 'create')
  assert.ok(seen.indexOf('start') < seen.lastIndexOf('state'))
  assert.equal(seen.filter((action) => action === 'die').length, 1)
  assert.ok(!seen.includes('stop'), 'nobody stopped it')
})

test('an operating system that switches itself off has exited with 0', async (t) => {
  const { site, machine } = await bench(t, { exitCode: undefined }, { mode: 'os' })
  const { id } = await site.run()
  await untilState(site, id, 'running')
  machine.setPower(false)
  const ended = await site.containers.wait(id)
  assert.deepEqual([ended.state, ended.exitCode, ended.mode], ['exited', 0, 'os'])
})

test('stop of an operating system asks it to shut down', async (t) => {
  const { site, machine } = await bench(t, { exitCode: undefined }, { mode: 'os' })
  const { id } = await site.run()
  await untilState(site, id, 'running')
  const ended = await site.containers.stop(id)
  assert.deepEqual([ended.state, ended.exitCode], ['exited', 0])
  assert.deepEqual(machine.commands, ['on'], 'the BMC had nothing to do')
})

const failures: {
  name: string
  does?: Partial<Behaviour>
  options?: Partial<SiteOptions>
  run?: object
  /** Once it has come so far, its time is over. */
  standsAt?: Stage
  stage: string
  cause: RegExp
  isOff?: boolean
}[] = [
  {
    name: 'a BMC that does not answer',
    does: { isDeaf: true },
    stage: 'power-on',
    cause: /Cannot switch off "m1".*no answer/,
  },
  {
    name: 'a BMC that takes "on" and does nothing',
    does: { ignores: 'on' },
    stage: 'power-on',
    cause: /still says "off"/,
    isOff: true,
  },
  {
    name: 'a machine that never asks for DHCP',
    does: { bootsTo: 'nothing' },
    standsAt: 'power-on',
    stage: 'dhcp',
    cause: /a DHCP request.*network boot first/,
    isOff: true,
  },
  {
    name: 'a machine that stops after DHCP',
    does: { bootsTo: 'dhcp' },
    standsAt: 'dhcp',
    stage: 'tftp',
    cause: /boot loader by TFTP/,
    isOff: true,
  },
  {
    name: 'a machine that hangs in iPXE',
    does: { bootsTo: 'ipxe' },
    standsAt: 'ipxe',
    stage: 'kernel',
    cause: /fetch the kernel/,
    isOff: true,
  },
  {
    name: 'a kernel that never reports',
    does: { bootsTo: 'kernel' },
    standsAt: 'kernel',
    stage: 'initrd',
    cause: /the kernel to start/,
    isOff: true,
  },
  {
    name: 'an initrd that reports why it fails',
    does: { bootsTo: 'initrd', fails: { stage: 'rootfs', cause: 'no space' } },
    stage: 'rootfs',
    cause: /^no space$/,
    isOff: true,
  },
  {
    name: 'a root file system that never arrives',
    does: { bootsTo: 'initrd' },
    standsAt: 'initrd',
    stage: 'rootfs',
    cause: /root file system/,
    isOff: true,
  },
  {
    name: 'a workload that does not start',
    does: { bootsTo: 'init' },
    standsAt: 'init',
    stage: 'running',
    cause: /finish its start/,
    isOff: true,
  },
  {
    name: 'an image for another architecture',
    options: { arch: 'arm64', onPull: () => Promise.resolve() },
    stage: 'prepare',
    cause: /the image is for arm64, the machine is amd64/,
  },
  {
    name: 'a pull that fails',
    options: { onPull: () => Promise.reject(new AppError('not_found', 'Cannot pull "hello": no such image')) },
    stage: 'prepare',
    cause: /no such image/,
  },
  {
    name: 'a pull that hangs, whatever it is told',
    options: { onPull: () => new Promise(() => {}) },
    run: { timeoutSeconds: 0.2 },
    stage: 'prepare',
    cause: /not ready within 0.2 s/,
  },
  {
    name: 'a pull that hangs while the machine is on early',
    options: { onPull: () => new Promise(() => {}) },
    run: { timeoutSeconds: 0.2, early: 'true' },
    stage: 'prepare',
    cause: /not ready within 0.2 s/,
    isOff: true,
  },
  {
    name: 'an early power-on that fails, at once and not after the pull',
    does: { ignores: 'on' },
    options: { onPull: () => new Promise(() => {}) },
    run: { timeoutSeconds: 60, early: 'true' },
    stage: 'power-on',
    cause: /still says "off"/,
    isOff: true,
  },
  {
    name: 'a machine that cannot be switched off again',
    does: { bootsTo: 'initrd', ignores: 'off', fails: { stage: 'rootfs', cause: 'no space' } },
    stage: 'rootfs',
    cause: /no space; the machine could not be switched off.*still says "on"/,
    isOff: false,
  },
]
for (const c of failures)
  test(`${c.name}: failed with stage and cause`, async (t) => {
    const { site, machine } = await bench(t, c.does, c.options)
    const { id } = await site.run(c.run)
    if (c.standsAt) {
      await untilStage(site, id, c.standsAt)
      await site.store.patch(id, { deadlineAt: Date.now() })
    }
    const ended = await site.containers.wait(id, AbortSignal.timeout(30_000))
    assert.equal(ended.state, 'failed')
    assert.equal(ended.failedStage, c.stage)
    assert.match(ended.cause ?? '', c.cause)
    assert.equal(ended.exitCode, 125)
    assert.equal(ended.machineOff, c.isOff)
    if (c.isOff !== false) assert.equal(machine.isOn, false)
    assert.equal((await site.machineStore.list())[0]?.containerId, undefined, 'the machine is free')
    assert.ok((await actions(site, id)).includes('fail'))
    assert.equal(await site.boots.byContainer(id), undefined, 'its token opens nothing')
  })

test('a machine whose firmware gave up while no server was there is booted once more', async (t) => {
  const { site, machine, world } = await bench(t, { isImpatient: true, stageMs: 20, exitCode: 7 })
  const { id } = await site.run()
  await untilStage(site, id, 'dhcp')
  site.kill()
  const givenUp = () => Promise.resolve(machine.hasGivenUp || undefined)
  assert.ok(await poll(givenUp, { everyMs: 2, deadlineMs: 20_000 }), 'the firmware asked on')
  await using next = await openSmallSite({ folder: site.folder, world })
  await next.containers.resume()
  assert.deepEqual(machine.commands, ['on'])
  await next.store.patch(id, { stagedAt: Date.now() - STAGES.tftp.budgetSeconds * 1000 })
  const ended = await next.containers.wait(id, AbortSignal.timeout(30_000))
  assert.deepEqual([ended.state, ended.exitCode], ['exited', 7])
  assert.deepEqual(machine.commands, ['on', 'off', 'on', 'off'])
  const [event] = (await next.events.history({ subjectId: id })).filter(({ action }) => action === 'boot-again')
  assert.match(event?.attributes['reason'] ?? '', /server was started anew.*waited 45 s for the firmware to fetch/)
})

test('a kernel panic on the console ends the boot at once', async (t) => {
  const { site, machine } = await bench(t, { bootsTo: 'kernel' })
  const { id } = await site.run()
  await poll(async () => ((await site.store.byId(id))?.stage === 'kernel' ? true : undefined), {
    everyMs: 2,
    deadlineMs: 3000,
  })
  machine.print('[1.0] Kernel panic - not syncing: no root\r\n')
  const ended = await site.containers.wait(id)
  assert.match(ended.cause ?? '', /kernel panicked: "Kernel panic - not syncing: no root"/)
  assert.deepEqual([ended.failedStage, ended.machineOff], ['initrd', true])
})

test('a console that never opens holds nothing up', async (t) => {
  const { site } = await bench(t, { consoleHangs: true }, {})
  const { id } = await site.run()
  assert.equal((await site.containers.wait(id, AbortSignal.timeout(30_000))).state, 'exited')
})

test('a machine that goes away while it runs: failed', async (t) => {
  const { site, machine } = await bench(t, { exitCode: undefined })
  const { id } = await site.run()
  await untilState(site, id, 'running')
  machine.setPower(false)
  const ended = await site.containers.wait(id)
  assert.match(ended.cause ?? '', /the machine switched itself off after stage "running"/)
  assert.deepEqual([ended.state, ended.machineOff], ['failed', true])
})

test('stop sends STOPSIGNAL; the code is the workload`s own', async (t) => {
  const { site, machine } = await bench(t, { exitCode: undefined })
  const { id } = await site.run()
  await untilState(site, id, 'running')
  const ended = await site.containers.stop(id)
  assert.deepEqual([ended.state, ended.exitCode, machine.isOn], ['exited', 143, false])
  const seen = await actions(site, id)
  assert.ok(seen.indexOf('die') < seen.indexOf('stop'))
})

test('a workload that ignores STOPSIGNAL is killed after its time', async (t) => {
  const { site } = await bench(t, { exitCode: undefined, ignoresSignals: true })
  const { id } = await site.run()
  await untilState(site, id, 'running')
  assert.equal((await site.containers.stop(id, 0)).exitCode, 137)
})

test('kill cuts the grace of a stop short', async (t) => {
  const { site } = await bench(t, { exitCode: undefined, ignoresSignals: true })
  const { id } = await site.run()
  await untilState(site, id, 'running')
  const stopping = site.containers.stop(id, 60)
  await untilState(site, id, 'stopping')
  const startMs = performance.now()
  assert.equal((await site.containers.kill(id, 'KILL')).exitCode, 137)
  assert.equal((await stopping).exitCode, 137)
  assert.ok(performance.now() - startMs < 2000)
})

test('an agent that hangs holds neither stop nor kill up', async (t) => {
  const { site, machine } = await bench(t, { exitCode: undefined })
  const { id } = await site.run()
  await untilState(site, id, 'running')
  machine.does.agentHangs = true
  const ended = await site.containers.stop(id, 60)
  assert.deepEqual([ended.state, ended.exitCode, machine.isOn], ['exited', 137, false])
})

for (const [state, does] of [
  ['preparing', {}],
  ['powering', { powerLagMs: 60 }],
  ['booting', { bootsTo: 'dhcp' }],
  ['running', { exitCode: undefined }],
] as const)
  for (const verb of ['stop', 'kill', 'rm -f'] as const)
    test(`${verb} while ${state}: machine off and free`, async (t) => {
      const options = state === 'preparing' ? { onPull: () => new Promise<void>(() => {}) } : {}
      const { site, machine } = await bench(t, does, options)
      const { id } = await site.run()
      await untilState(site, id, state)
      if (verb === 'rm -f') await site.containers.remove(id, true)
      else if (verb === 'stop') await site.containers.stop(id)
      else await site.containers.kill(id, 'KILL')
      const seen = await site.store.byId(id)
      if (verb === 'rm -f') assert.equal(seen, undefined)
      else assert.equal(seen?.state, 'exited')
      assert.equal(machine.isOn, false)
      assert.equal((await site.machineStore.list())[0]?.containerId, undefined)
      await sleep(80)
      assert.equal(machine.isOn, false, 'and it stays off')
    })

test('restart boots again on the same machine; its output is all kept', async (t) => {
  const { site, machine } = await bench(t, { exitCode: undefined })
  const { id, name } = await site.run()
  await untilState(site, id, 'running')
  machine.does.output = 'again\n'
  await site.containers.restart(name)
  await untilState(site, id, 'running')
  machine.does.output = ''
  const ended = await site.containers.stop(id)
  assert.equal(ended.exitCode, 143)
  assert.equal(await site.output(id), 'hello\nagain\n')
  assert.equal(ons(machine), 2)
})

test('restart of a container whose machine was removed is refused', async (t) => {
  const { site } = await bench(t)
  const { id } = await site.run()
  await site.containers.wait(id)
  await site.machines.remove('m1')
  await assert.rejects(site.containers.restart(id), /machine "m1" was removed/)
  assert.equal((await site.store.byId(id))?.state, 'exited')
})

test('--restart on-failure:2 starts twice more, --restart always ends by stop only', async (t) => {
  const { site, machine } = await bench(t, { exitCode: 3 })
  const first = await site.run({ restart: 'on-failure:2' })
  const ended = await site.containers.wait(first.id)
  assert.deepEqual([ended.exitCode, ended.restartCount, ons(machine)], [3, 2, 3])
  assert.equal(await site.output(first.id), 'hello\nhello\nhello\n')

  const second = await site.run({ restart: 'always' })
  await poll(async () => ((await site.store.byId(second.id))?.restartCount === 1 ? true : undefined), {
    everyMs: 2,
    deadlineMs: 20_000,
  })
  // Whatever it does just now (boots, waits for its next start), this ends it.
  assert.equal((await site.containers.stop(second.id)).state, 'exited')
  const count = ons(machine)
  await sleep(700)
  assert.equal(ons(machine), count)
})

test('stop during the pause before a restart ends it at once', async (t) => {
  const { site } = await bench(t, { exitCode: 3 })
  const { id } = await site.run({ restart: 'always' })
  await poll(async () => ((await site.store.byId(id))?.state === 'stopping' ? true : undefined), {
    everyMs: 1,
    deadlineMs: 20_000,
  })
  assert.equal((await site.containers.stop(id)).state, 'exited')
})

test('kill -s KILL of a container with --restart always does not start it again', async (t) => {
  const { site, machine } = await bench(t, { exitCode: undefined })
  const { id } = await site.run({ restart: 'always' })
  await untilState(site, id, 'running')
  const ended = await site.containers.kill(id, 'KILL')
  assert.deepEqual([ended.state, ended.exitCode, ons(machine)], ['exited', 137, 1])
})

test('--rm removes the container and its logs; wait yields the exit code in any case', async (t) => {
  const { site } = await bench(t, { exitCode: 5 })
  for (let round = 0; round < 10; round++) {
    const { id, name } = await site.run({ remove: true })
    const waits = [site.containers.wait(id), site.containers.wait(name)]
    assert.deepEqual(
      (await Promise.all(waits)).map((end) => end.exitCode),
      [5, 5],
    )
    assert.equal(await site.store.byId(id), undefined)
    assert.ok((await actions(site, id)).includes('destroy'))
  }
})

test('100 creates for 10 machines: each machine has one live container, the others are refused', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'bareboat-life-'))
  const world = new World()
  const site = await openSmallSite({ folder, world })
  t.after(async () => {
    world.end()
    await site[Symbol.asyncDispose]()
    rmSync(folder, { recursive: true })
  })
  for (let n = 0; n < 10; n++) {
    world.machine(`52:54:00:00:01:0${n}`, `10.0.1.${n + 1}`, { exitCode: undefined })
    await site.addMachine(`m${n}`, `52:54:00:00:01:0${n}`)
  }
  const made = await Promise.allSettled(Array.from({ length: 100 }, () => site.run()))
  const good = made.filter((result) => result.status === 'fulfilled').map((result) => result.value)
  assert.equal(good.length, 10)
  assert.equal(new Set(good.map((container) => container.machineId)).size, 10)
  assert.equal(new Set(good.map((container) => container.name)).size, 10)
  for (const result of made) if (result.status === 'rejected') assert.match(String(result.reason), /no machine is free/)
  for (const { id } of good) await untilState(site, id, 'running')
  await Promise.all(good.map(({ id }) => site.containers.stop(id)))
  for (const machine of world.machines.values()) assert.deepEqual([machine.isOn, ons(machine)], [false, 1])
})

test('concurrent changes of one machine all count', async (t) => {
  const { site } = await bench(t)
  await Promise.all([
    ...Array.from({ length: 20 }, (_, n) => site.machines.change('m1', { labels: { [`k${n}`]: 'v' }, rank: n })),
    site.machines.learn((await site.machines.get('m1')).id, { memoryMiB: 512 }),
    site.machines.change('m1', { groups: ['rack1'] }),
  ])
  const machine = await site.machines.get('m1')
  assert.deepEqual([machine.groups, machine.memoryMiB], [['rack1'], 512])
})

test('a database that refuses writes for a while delays a container and does not lose it', async (t) => {
  let failsLeft = 0
  const { site, machine } = await bench(
    t,
    { exitCode: undefined },
    {
      failWrite: () =>
        failsLeft-- > 0 ? new AppError('exhausted', 'Cannot write the database: the disk is full') : undefined,
    },
  )
  const { id } = await site.run()
  await untilState(site, id, 'running')
  const stopping = site.containers.stop(id)
  await untilState(site, id, 'stopping')
  failsLeft = 4
  const ended = await stopping
  assert.ok(ended.state === 'exited' || ended.state === 'failed', ended.state)
  assert.equal(machine.isOn, false)
  assert.equal((await site.machineStore.list())[0]?.containerId, undefined)
})

test('a BMC that loses replies, or lags: one command each, and the truth', async (t) => {
  const { site, machine } = await bench(t, { losesReplies: true, powerLagMs: 40 })
  const { id } = await site.run()
  assert.equal((await site.containers.wait(id)).state, 'exited')
  assert.deepEqual(machine.commands, ['on', 'off'])
})
