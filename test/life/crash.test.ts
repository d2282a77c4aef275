/**
 * P3 and P4 in process: for every write k of a run, the daemon dies right after it; the next one begins with what is in the
 * folder. The container must end right, with one power-on for each boot, and no machine left on.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { poll } from '../../src/base/clock.ts'
import type { Container, RunOptions } from '../../src/model/container.ts'
import { openSmallSite, type SiteOptions, type SmallSite } from '../fakes/small-site.ts'
import { World, type Behaviour, type FakeMachine } from '../fakes/world.ts'

const MAC = '52:54:00:00:00:02'

interface Scenario {
  readonly name: string
  readonly does?: Partial<Behaviour>
  readonly run?: Partial<RunOptions>
  readonly options?: Partial<SiteOptions>
  /** What a person does once the container has come this far; done again where the daemon died of it, as a person would. */
  readonly stopsAt?: Container['state']
  readonly ends: { readonly state: Container['state']; readonly exitCode: number; readonly powerOns: number }
}

/** Output must not be lost to a busy computer. */
const PATIENCE = { drainMs: 10_000 }

const SCENARIOS: readonly Scenario[] = [
  { name: 'an application', does: { exitCode: 7 }, ends: { state: 'exited', exitCode: 7, powerOns: 1 } },
  {
    name: 'an application on a BMC that needs its time and loses replies',
    does: { exitCode: 7, powerLagMs: 60, losesReplies: true },
    ends: { state: 'exited', exitCode: 7, powerOns: 1 },
  },
  {
    name: 'an application that was powered on early',
    does: { exitCode: 7 },
    run: { early: 'true' },
    ends: { state: 'exited', exitCode: 7, powerOns: 1 },
  },
  {
    name: 'an application that is stopped',
    does: { exitCode: undefined },
    stopsAt: 'running',
    ends: { state: 'exited', exitCode: 143, powerOns: 1 },
  },
  {
    name: 'an application that is started again once',
    does: { exitCode: 3 },
    run: { restart: 'on-failure:1' },
    ends: { state: 'exited', exitCode: 3, powerOns: 2 },
  },
  {
    name: 'an application from a medium',
    does: { exitCode: 7, hasDrive: true },
    run: { via: 'media' },
    ends: { state: 'exited', exitCode: 7, powerOns: 1 },
  },
  {
    name: 'a boot that fails',
    does: { bootsTo: 'initrd', fails: { stage: 'rootfs', cause: 'no space' } },
    ends: { state: 'failed', exitCode: 125, powerOns: 1 },
  },
]

for (const scenario of SCENARIOS)
  test(`a daemon that dies after any write of ${scenario.name}`, async () => {
    const whole = await runOnce(scenario, undefined)
    assert.ok(whole.writes > 15, `${whole.writes} writes`)
    // Eight at a time: each has a folder and a world of its own.
    const numbers = Array.from({ length: whole.writes }, (_, index) => index + 1)
    const next = numbers.values()
    await Promise.all(
      Array.from({ length: 8 }, async () => {
        for (const number of next) await runOnce(scenario, number)
      }),
    )
    console.log(`  ${scenario.name}: died after each of ${whole.writes} writes`)
  })

async function runOnce(scenario: Scenario, diesAfter: number | undefined): Promise<{ writes: number }> {
  const folder = mkdtempSync(join(tmpdir(), 'bareboat-crash-'))
  const world = new World()
  const machine = world.machine(MAC, '10.0.0.8', scenario.does)
  const at = `died after write ${diesAfter}`
  let site = await openSmallSite({
    ...scenario.options,
    folder,
    world,
    patience: PATIENCE,
    ...(diesAfter === undefined ? {} : { diesAfter }),
  })
  const sites = [site]
  try {
    await site.addMachine('m1', MAC)
    const created = site.run(scenario.run).catch(() => undefined)
    let ended = await follow(site, scenario, created)
    if (!ended) {
      site.kill()
      site = await openSmallSite({ ...scenario.options, folder, world, patience: PATIENCE })
      sites.push(site)
      await site.containers.resume()
      const [left] = await site.stored()
      assert.ok(left, `${at}: the container is known`)
      ended = await follow(site, scenario, Promise.resolve(left))
    }
    assert.ok(ended, `${at}: never ended: ${JSON.stringify((await site.stored())[0])}`)
    check(scenario, ended, machine, at)
    const isOut = async () => (machine.drive === undefined && !(await site.attachments.opened()).length) || undefined
    assert.ok(
      await poll(isOut, { everyMs: 5, deadlineMs: 10_000 }),
      `${at}: a medium is left in the drive, or in the books`,
    )
    const text = await site.output(ended.id)
    const output = machine.does.output.repeat(scenario.ends.powerOns)
    if (ended.state === 'exited') assert.equal(text, output, `${at}: output`)
    assert.equal(await site.boots.byContainer(ended.id), undefined, `${at}: a token is open`)
    assert.equal((await site.machineStore.list())[0]?.containerId, undefined, `${at}: the machine is not free`)
    return { writes: site.writes() }
  } finally {
    world.end()
    for (const one of sites.toReversed()) await one[Symbol.asyncDispose]()
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Until the container has ended, or the daemon has died. */
async function follow(
  site: SmallSite,
  { stopsAt }: Scenario,
  created: Promise<Container | undefined>,
): Promise<Container | undefined> {
  let isStopped = false
  void created
  return poll(
    async () => {
      if (site.isDead()) return 'dead' as const
      const [seen] = await site.stored()
      if (seen && seen.state === stopsAt && !isStopped) {
        isStopped = true
        site.containers.stop(seen.id).catch(() => {})
      }
      return seen && ['exited', 'failed'].includes(seen.state) ? seen : undefined
    },
    { everyMs: 3, deadlineMs: 40_000 },
  ).then((found) => (found === 'dead' ? undefined : found))
}

function check({ ends }: Scenario, ended: Container, machine: FakeMachine, at: string): void {
  const { state, exitCode, cause } = ended
  assert.deepEqual({ state, exitCode }, { state: ends.state, exitCode: ends.exitCode }, `${at}: ${cause}`)
  assert.equal(machine.isOn, false, `${at}: the machine is on`)
  assert.equal(ended.machineOff, true, at)
  const ons = machine.commands.filter((command) => command === 'on').length
  assert.equal(ons, ends.powerOns, `${at}: commands were ${machine.commands.join(' ')}`)
}
