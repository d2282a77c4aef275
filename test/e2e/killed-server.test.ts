/** A server that is killed while machines boot, run and end: it goes on where it was, and no machine is acted on twice. */
import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { poll, sleep } from '../../src/base/clock.ts'
import { isBefore, type Stage } from '../../src/model/stage.ts'
import { busyboxImage, pushImage } from './images.ts'
import { FIRMWARES, openSite, skip, type Site } from './site.ts'

/** Counts on both streams until it finds the file. */
const COUNTER = `i=0; while [ ! -e /tmp/end ]; do i=$((i + 1)); echo $i; echo $i >&2; sleep 0.1; done; exit 9`
const names = FIRMWARES.map(({ machine }) => `count-${machine}`)

suite('a server that is killed', { skip, timeout: 1_500_000 }, () => {
  let site: Site
  before(async () => {
    site = await openSite({ name: 'killed' })
    pushImage(busyboxImage(), site.registry, 'busybox:1')
    await site.ok(['pull', `${site.registry}/busybox:1`])
  })
  after(() => site?.[Symbol.asyncDispose]())

  test('while machines are switched on and boot: each is switched on once, and comes up', async () => {
    const following: ReturnType<Site['start']>[] = []
    for (const [at, { machine }] of FIRMWARES.entries()) {
      const argv = [
        '-d',
        '-u',
        'root',
        '--name',
        names[at]!,
        '--machine',
        machine,
        `${site.registry}/busybox:1`,
        COUNTER,
      ]
      await site.ok(['run', ...argv])
      following.push(site.start(['attach', '--no-stdin', names[at]!]))
    }
    await killAndRestart(200)
    // Not between DHCP and the first script: firmware asks for that once, and iPXE cannot be told yet to ask again.
    for (const stage of ['power-on', 'kernel', 'initrd'] as const) {
      await untilStage(names[0]!, stage)
      await killAndRestart(500)
    }
    for (const name of names) await site.untilState(name, 'running')
    for (const { machine } of FIRMWARES) {
      const commands = site.powerCommands(machine)
      assert.deepEqual(
        commands.filter((line) => /power|reset/.test(line)),
        ['ipmi power-on'],
      )
    }
    for (const { done } of following) {
      const { code, stderr } = await done
      assert.equal(code, 6, stderr)
      assert.match(stderr, /the bareboat server at .*(broke|refused|no such socket)/)
    }
  })

  test('while workloads run: they go on, and nothing of what they print is lost or doubled', async () => {
    await counted(5)
    for (let round = 0; round < 3; round++) await killAndRestart(1000 * round)
    const reached = Number((await site.ok(['logs', '--tail', '1', names[0]!])).split('\n')[0])
    await counted(reached + 30)
    for (const name of names) {
      assert.equal((await site.inspect(name)).state, 'running')
      assert.equal((await site.run(['exec', name, 'sh', '-c', 'exit 3'])).code, 3)
      await site.ok(['cp', '/etc/hostname', `${name}:/tmp/`])
    }
  })

  test('while a workload ends: its exit code and its last output arrive, and the machine is switched off once', async () => {
    for (const name of names) await site.ok(['exec', name, 'sh', '-c', '(sleep 3; touch /tmp/end) >/dev/null 2>&1 &'])
    site.killServer()
    await sleep(6000)
    await site.restartServer()
    for (const [at, { machine }] of FIRMWARES.entries()) {
      assert.equal((await site.run(['wait', names[at]!])).stdout, '9\n')
      const { state, exitCode, machineOff } = await site.inspect(names[at]!)
      assert.deepEqual([state, exitCode, machineOff], ['exited', 9, true])
      assert.equal((await site.machine(machine)).state, 'off')
      const commands = site.powerCommands(machine)
      assert.deepEqual(
        commands.filter((line) => /power|reset/.test(line)),
        ['ipmi power-on', 'ipmi power-off'],
      )
    }
    await counted(1)
  })

  test('while a container is being stopped: the stop is carried out', async () => {
    const [name, { machine }] = [names[0]!, FIRMWARES[0]]
    await site.ok(['rm', name])
    const argv = ['-d', '--name', name, '--machine', machine, `${site.registry}/busybox:1`]
    await site.ok(['run', ...argv, `trap '' USR1; echo deaf; while :; do sleep 0.1; done`])
    await site.untilState(name, 'running')
    // The workload runs a moment before its shell has read what it should not listen to.
    assert.ok(
      await poll(async () => (await site.ok(['logs', name])) === 'deaf' || undefined, {
        everyMs: 100,
        deadlineMs: 60_000,
      }),
    )
    const stopping = site.start(['stop', '-t', '4', name])
    await site.untilState(name, 'stopping')
    await killAndRestart(0)
    assert.notEqual((await stopping.done).code, 0)
    const { state, exitCode } = await site.untilState(name, ['exited', 'failed'])
    assert.deepEqual([state, exitCode], ['exited', 137])
    assert.equal((await site.machine(machine)).state, 'off')
  })

  test('a server ends while a machine has lost its power, and finds it so when it is back', async () => {
    const [name, { machine }] = ['powerless', FIRMWARES[0]]
    await site.ok(['run', '-d', '--name', name, '--machine', machine, `${site.registry}/busybox:1`, 'exec sleep 1000'])
    await site.untilState(name, 'running')
    await site.ok(['exec', name, 'true'])
    await site.plug(machine, false)
    const startMs = performance.now()
    await site.endServer()
    assert.ok(performance.now() - startMs < 15_000, 'it had to be killed')
    await site.plug(machine, true)
    await site.restartServer()
    await assert.rejects(site.untilState(name, 'exited'), /the machine switched itself off/)
    assert.equal((await site.machine(machine)).state, 'off')
  })

  async function killAndRestart(pauseMs: number): Promise<void> {
    site.killServer()
    await sleep(pauseMs)
    await site.restartServer()
  }

  async function untilStage(name: string, stage: Stage): Promise<void> {
    const isThere = async (): Promise<true | undefined> => {
      const { stage: reached } = await site.inspect(name)
      return (reached !== undefined && !isBefore(reached, stage)) || undefined
    }
    assert.ok(await poll(isThere, { everyMs: 20, deadlineMs: 300_000 }), `${name} does not reach ${stage}`)
  }

  /** Waits until every workload has counted so far. What it printed must be 1, 2, 3 …, on both streams. */
  async function counted(least: number): Promise<void> {
    for (const name of names)
      for (const stream of ['stdout', 'stderr'] as const) {
        let numbers: number[] = []
        await poll(
          async () => {
            const text = (await site.run(['logs', name]))[stream]
            numbers = text.split('\n').slice(0, -1).map(Number)
            return numbers.length >= least || undefined
          },
          { everyMs: 300, deadlineMs: 120_000 },
        )
        assert.deepEqual(
          numbers,
          Array.from({ length: Math.max(least, numbers.length) }, (_, at) => at + 1),
          `${name} ${stream}`,
        )
      }
  }
})
