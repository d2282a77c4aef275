/** Media in machines, in process: our services and SQLite, a BMC that behaves as told, daemons that die, and who gets what over HTTP. */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { poll } from '../../src/base/clock.ts'
import { AppError } from '../../src/base/errors.ts'
import { quietLog } from '../../src/base/log.ts'
import { startBootThread } from '../../src/daemon/network.ts'
import type { Container } from '../../src/model/container.ts'
import { attachOptions, type AttachOptions } from '../../src/model/media.ts'
import type { StoredMachine } from '../../src/services/machines/ports.ts'
import { createBootDesk } from '../../src/servers/boot/desk.ts'
import { createBootServer } from '../../src/servers/boot/server.ts'
import { openSmallSite, type SiteOptions, type SmallSite } from '../fakes/small-site.ts'
import { World, type Behaviour, type FakeMachine } from '../fakes/world.ts'

const MAC = '52:54:00:00:00:09'
const BYTES = randomBytes(3_000_000)

interface Bench {
  readonly site: SmallSite
  readonly machine: FakeMachine
  readonly world: World
  readonly folder: string
  /** The machine as it is known. */
  known(): Promise<StoredMachine>
  /** A daemon after this one. */
  next(options?: Partial<SiteOptions>): Promise<SmallSite>
}

async function bench(
  t: TestContext,
  does: Partial<Behaviour> = {},
  options: Partial<SiteOptions> = {},
): Promise<Bench> {
  const folder = mkdtempSync(join(tmpdir(), 'bareboat-media-life-'))
  const world = new World()
  const machine = world.machine(MAC, '10.0.0.9', { hasDrive: true, ...does })
  const site = await openSmallSite({ folder, world, ...options })
  const sites = [site]
  await site.addMachine('m1', MAC)
  t.after(async () => {
    world.end()
    for (const one of sites.toReversed()) await one[Symbol.asyncDispose]()
    rmSync(folder, { recursive: true })
  })
  return {
    site,
    machine,
    world,
    folder,
    known: async () => (await site.machineStore.list())[0]!,
    async next(more = {}) {
      sites.at(-1)!.kill()
      const after = await openSmallSite({ folder, world, ...more })
      sites.push(after)
      return after
    },
  }
}

/** A file as it lies when it was sent. */
function upload(folder: string): string {
  const path = join(mkdtempSync(join(folder, 'upload-')), 'upload')
  writeFileSync(path, BYTES)
  return path
}

const options = (given: Partial<AttachOptions> = {}): AttachOptions => attachOptions.parse(given)

function attach(
  { site, folder }: Pick<Bench, 'site' | 'folder'>,
  machine: StoredMachine,
  given: Partial<AttachOptions> = {},
) {
  return site.attachments.attach(machine, { upload: upload(folder), fileName: 'My Debian.iso' }, options(given))
}

async function ended(site: SmallSite, id: string): Promise<Container> {
  return site.containers.wait(id, AbortSignal.timeout(30_000))
}

/** Waits until nothing is in the drive nor in the books. */
async function isOut(site: SmallSite, machine: FakeMachine): Promise<boolean> {
  const seen = async () => (machine.drive === undefined && !(await site.attachments.opened()).length) || undefined
  return (await poll(seen, { everyMs: 5, deadlineMs: 10_000 })) === true
}

test('a container from a medium: the loader of this boot is in the drive before power-on, and out once it runs', async (t) => {
  const { site, machine } = await bench(t, { exitCode: undefined })
  const { id } = await site.run({ via: 'media' })
  await machine.booted.promise
  assert.deepEqual(machine.driveCommands.slice(0, 2), ['insert', 'boot-cd'])
  assert.ok(await isOut(site, machine))
  assert.equal((await site.store.byId(id))?.state, 'running')
  const over = await site.containers.stop(id)
  assert.deepEqual([over.state, over.exitCode, over.machineOff], ['exited', 143, true])
  assert.deepEqual(machine.driveCommands, ['insert', 'boot-cd', 'eject'])
})

test('a machine whose BMC has no drives cannot run from a medium, and nothing is made', async (t) => {
  const { site, known } = await bench(t, { hasDrive: false })
  const refusal = (error: AppError) =>
    error.code === 'unsupported' && /its BMC can only power, boot-override, console/.test(error.message)
  await assert.rejects(site.run({ via: 'media' }), refusal)
  await assert.rejects(site.attachments.list(await known()), refusal)
  assert.deepEqual(await site.stored(), [])
})

const failures: { name: string; does: Partial<Behaviour>; drive?: string; standsStill?: boolean; cause: RegExp }[] = [
  {
    name: 'something is in the drive',
    does: {},
    drive: 'http://files/secret/rescue.iso?sig=x',
    cause: /drive "CD1" holds "rescue.iso", which stays there; take it out with: bareboat media detach m1 --drive CD1/,
  },
  { name: 'the BMC shows nothing', does: { driveFault: 'ignores' }, cause: /Cannot insert: it shows nothing/ },
  {
    name: 'the BMC never fetches it',
    does: { driveFault: 'never-fetches' },
    standsStill: true,
    cause:
      /for the machine to start from the medium since stage "power-on"; the BMC took the medium but never fetched it: can it reach http:\/\/10.0.0.1:8080\?/,
  },
  {
    name: 'the firmware reads it and boots something else',
    does: { bootsTo: 'nothing', driveFault: 'never-fetches' },
    standsStill: true,
    cause: /never fetched it/,
  },
]

for (const { name, does, drive, standsStill, cause } of failures)
  test(`a container from a medium fails with a cause, and the drive is as it was: ${name}`, async (t) => {
    const { site, machine } = await bench(t, does)
    machine.drive = drive
    const { id } = await site.run({ via: 'media' })
    if (standsStill) {
      const isOn = async () => (await site.store.byId(id))?.state === 'booting' || undefined
      assert.ok(await poll(isOn, { everyMs: 2, deadlineMs: 10_000 }))
      await site.store.patch(id, { deadlineAt: Date.now() })
    }
    const over = await ended(site, id)
    assert.equal(over.state, 'failed')
    assert.match(over.cause ?? '', cause)
    assert.ok(!(over.cause ?? '').includes('secret'))
    assert.deepEqual([over.machineOff, machine.isOn, machine.drive], [true, false, drive])
    assert.deepEqual(await site.attachments.opened(), [])
  })

test('a drive that loses its medium at power-on has it again; one that loses it each time is named', async (t) => {
  const { site, machine } = await bench(t, { driveFault: 'loses-once', exitCode: 3 })
  const { id } = await site.run({ via: 'media' })
  assert.equal((await ended(site, id)).exitCode, 3)
  assert.deepEqual(machine.driveCommands, ['insert', 'boot-cd', 'insert', 'eject'])
})

test('a drive that was emptied by somebody while the machine stands still is named', async (t) => {
  const { site, machine } = await bench(t, { driveFault: 'never-fetches' })
  const { id } = await site.run({ via: 'media' })
  assert.ok(
    await poll(async () => (await site.store.byId(id))?.state === 'booting' || undefined, {
      everyMs: 2,
      deadlineMs: 10_000,
    }),
  )
  machine.drive = undefined
  await site.store.patch(id, { deadlineAt: Date.now() })
  assert.match((await ended(site, id)).cause ?? '', /drive "CD1" of its BMC has lost the medium/)
})

test('a BMC that does not let go of the medium does not keep the container from running, and is asked until it does', async (t) => {
  const { site, machine } = await bench(t, { driveFault: 'keeps', exitCode: 5 })
  const { id } = await site.run({ via: 'media' })
  assert.equal((await ended(site, id)).exitCode, 5)
  const [left] = await site.attachments.opened()
  assert.equal(left?.state, 'detaching')
  await assert.rejects(site.attachments.file(left!.token, left!.name), { code: 'not_found' })
  machine.does.driveFault = 'none'
  assert.ok(await isOut(site, machine))
})

test('a medium of a person: attached, seen, in the way of no second, detached; a foreign one only by its drive', async (t) => {
  const it = await bench(t)
  const { site, machine, folder } = it
  const known = await it.known()
  const medium = await attach(it, known)
  assert.deepEqual([medium.name, medium.drive, medium.kind, medium.state], ['My-Debian.iso', 'CD1', 'cd', 'attached'])
  const listed = await site.attachments.list(known)
  assert.deepEqual(listed.drives, [{ id: 'CD1', kinds: ['cd'], isOurs: true, inserted: 'My-Debian.iso' }])
  const { token } = (await site.attachments.opened())[0]!
  assert.ok(!JSON.stringify(listed).includes(token), 'what opens the medium is shown to nobody')
  await assert.rejects(attach(it, known), {
    code: 'conflict',
    message: /"My-Debian.iso" is attached in drive "CD1"; take it out/,
  })
  await assert.rejects(site.attachments.detach(known, 'USB9'), { code: 'not_found' })
  assert.equal(readdirSync(join(folder, 'media')).length, 1)
  assert.equal(await site.attachments.detach(known, undefined), 'My-Debian.iso')
  assert.deepEqual([machine.drive, readdirSync(join(folder, 'media'))], [undefined, []])
  machine.drive = 'http://files/other.iso?sig=secret'
  await assert.rejects(attach(it, known), { code: 'conflict', message: /holds "other.iso", which stays there/ })
  await assert.rejects(site.attachments.detach(known, undefined), (error: AppError) => {
    assert.match(
      error.message,
      /"CD1" holds "http:\/\/files\/other.iso", which this server has not attached.*--drive CD1/,
    )
    return error.code === 'not_found' && !error.message.includes('secret')
  })
  assert.equal(await site.attachments.detach(known, 'CD1'), 'http://files/other.iso')
  assert.equal(machine.drive, undefined)
  const events = (await site.events.history({ subjectId: known.id })).map(({ action }) => action)
  assert.deepEqual(
    events.filter((action) => action.startsWith('media')),
    ['media-attach', 'media-detach'],
  )
})

test('boot from it once: the override, then on; not of a machine that is on, unless it may be cycled', async (t) => {
  const it = await bench(t, { bootsTo: 'nothing' })
  const { site, machine } = it
  await attach(it, await it.known(), { boot: true })
  assert.deepEqual([machine.isOn, machine.bootDevice, machine.driveCommands], [true, 'cd', ['insert', 'boot-cd']])
  await site.attachments.detach(await it.known(), undefined)
  await assert.rejects(attach(it, await it.known(), { boot: true }), {
    code: 'conflict',
    message: /it is not off; --cycle/,
  })
  assert.equal(machine.drive, undefined)
  await attach(it, await it.known(), { boot: true, cycle: true })
  assert.deepEqual(machine.commands, ['on', 'off', 'on'])
  await site.attachments.detach(await it.known(), undefined)
  machine.does.ignores = 'on'
  await site.power.set(await it.known(), 'off')
  await assert.rejects(attach(it, await it.known(), { boot: true }), { code: 'timeout' })
  assert.ok(await isOut(site, machine), 'nothing half-done stays')
  assert.equal(machine.bootDevice, 'none')
})

test('a medium whose time is over is taken out, and its address opens nothing from that moment on', async (t) => {
  const ahead = { ms: 0 }
  const it = await bench(t, {}, { ahead })
  await attach(it, await it.known(), { expiresSeconds: 60 })
  const { token, name } = (await it.site.attachments.opened())[0]!
  assert.ok(await it.site.attachments.file(token, name))
  ahead.ms = 61_000
  await assert.rejects(it.site.attachments.file(token, name), { code: 'not_found' })
  assert.ok(await isOut(it.site, it.machine))
})

for (const verb of ['attach', 'detach'] as const)
  test(`a daemon that dies after any write of ${verb}: nothing is in a drive that is not in the books`, async (t) => {
    for (let diesAfter = 1; ; diesAfter++) {
      const it = await bench(t, {}, verb === 'attach' ? { diesAfter } : {})
      let { site } = it
      if (verb === 'detach') {
        await attach(it, await it.known())
        site = await it.next({ diesAfter })
      }
      const known = await it.known()
      const work = verb === 'attach' ? attach(it, known) : site.attachments.detach(known, undefined)
      const isDone = await Promise.race([
        work.then(() => true),
        poll(() => site.isDead() || undefined, { everyMs: 2, deadlineMs: 10_000 }).then(() => false),
      ])
      const after = await it.next()
      const settled = async () => {
        const [open] = await after.attachments.opened()
        return open === undefined || open.state === 'attached' ? { open } : undefined
      }
      const state = await poll(settled, { everyMs: 5, deadlineMs: 10_000 })
      assert.ok(state, `after write ${diesAfter}: never settled`)
      assert.equal(it.machine.drive === undefined, state.open === undefined, `after write ${diesAfter}`)
      if (verb === 'detach' && !isDone) assert.ok(await isOut(after, it.machine), `after write ${diesAfter}`)
      if (state.open && verb === 'attach') {
        const file = await after.attachments.file(state.open.token, state.open.name)
        assert.equal(file.sizeBytes, BYTES.length, 'the next daemon serves it as it was')
      }
      if (isDone) return
    }
  })

const hasCurl = spawnSync('curl', ['--version']).status === 0

test(
  'curl reads a medium: whole, in parts, again where it broke off; to anybody else there is nothing',
  { skip: !hasCurl && 'not installed: curl' },
  async (t) => {
    const it = await bench(t)
    await attach(it, await it.known())
    const { token } = (await it.site.attachments.opened())[0]!
    const port = await freePort()
    const stop = new AbortController()
    const http = createBootServer({
      log: quietLog,
      desk: createBootDesk(it.site.boot, it.site.agents, () => undefined, it.site.attachments),
      startThread: startBootThread,
      address: '127.0.0.1',
      port,
    })
    const ready = Promise.withResolvers<void>()
    const running = http.run(stop.signal, ready.resolve)
    await ready.promise
    t.after(async () => {
      stop.abort()
      await running
    })
    const at = (name: string, of = token): string => `http://127.0.0.1:${port}/media/${of}/${name}`
    const curl = async (...argv: string[]): Promise<Buffer> => {
      const child = spawn('curl', ['-sS', '--max-time', '30', ...argv], { stdio: ['ignore', 'pipe', 'ignore'] })
      return Buffer.concat(await Array.fromAsync(child.stdout as AsyncIterable<Buffer>))
    }
    const url = at('My-Debian.iso')
    const sha = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
    assert.equal((await it.site.attachments.list(await it.known())).medium?.readAt, undefined)
    const head = String(await curl('-I', url))
    assert.match(head, /^HTTP\/1.1 200/)
    assert.match(head, /content-length: 3000000/i)
    assert.match(head, /accept-ranges: bytes/i)
    const etag = /etag: ("\S+")/i.exec(head)![1]!
    assert.equal(sha(await curl(url)), sha(BYTES))
    assert.ok(
      (await it.site.attachments.list(await it.known())).medium?.readAt !== undefined,
      'that it was read is known',
    )
    for (const [range, from, to] of [
      ['0-0', 0, 1],
      ['2048-4095', 2048, 4096],
      ['2999999-', 2_999_999, 3_000_000],
      ['-512', 2_999_488, 3_000_000],
    ] as const) {
      const part = await curl('-r', range, url)
      assert.equal(sha(part), sha(BYTES.subarray(from, to)), range)
    }
    assert.match(String(await curl('-r', '3000000-', '-w', '%{http_code}', '-o', '/dev/null', url)), /416/)
    assert.match(String(await curl('-H', `If-None-Match: ${etag}`, '-w', '%{http_code}', url)), /304/)
    assert.equal((await curl('-H', `If-Range: "other"`, '-r', '0-9', url)).length, BYTES.length)
    const partial = join(it.folder, 'partial')
    writeFileSync(partial, BYTES.subarray(0, 1_000_000))
    await curl('-C', '-', '-o', partial, url)
    assert.equal(sha(readFileSync(partial)), sha(BYTES), 'what broke off goes on')
    const wrong = [at('other.iso'), at('My-Debian.iso', 'A'.repeat(43)), at(''), at('My-Debian.iso/..')]
    const answers = await Promise.all(wrong.map((one) => curl('-i', '--path-as-is', one)))
    await it.site.attachments.detach(await it.known(), undefined)
    answers.push(await curl('-i', url))
    const equal = new Set(answers.map((answer) => String(answer).replace(/^Date:.*$/im, '')))
    assert.equal(equal.size, 1, [...equal].join('\n---\n'))
    assert.match([...equal][0]!, /^HTTP\/1.1 404/)
  },
)

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}
