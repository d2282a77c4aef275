/** The real daemon in a folder, perhaps under a tracer, with changes asked of it until it ends. */
import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { request } from 'node:http'
import { join } from 'node:path'
import { poll } from '../../src/base/clock.ts'
import { SELF } from '../../src/cli/demo/place.ts'
import { openSecretBox } from '../../src/drivers/secrets/secret-box.ts'
import { openSqlite } from '../../src/drivers/store/sqlite/database.ts'
import { createEventBus } from '../../src/drivers/store/sqlite/events.ts'
import { createMachineStore } from '../../src/drivers/store/sqlite/machines.ts'
import { siteMigrations, type SiteTables } from '../../src/drivers/store/sqlite/site.ts'
import { checkIntegrity } from './durable-check.ts'

export interface Daemon extends AsyncDisposable {
  readonly child: ChildProcess
  readonly ended: Promise<number | null>
  /** @returns true once it answers; false when it has ended before */
  isReady(): Promise<boolean>
  said(): string
}

/**
 * @param under what it runs under, such as a tracer with its arguments
 * @param flags of its configuration
 */
export function startDaemon(folder: string, under: readonly string[] = [], flags: readonly string[] = []): Daemon {
  const socket = join(folder, 'api.sock')
  const server = [
    ...[...SELF, 'server'],
    ...['--data-dir', join(folder, 'data'), '--kit-dir', join(folder, 'kits'), '--socket', socket],
    ...flags,
  ]
  const [program, ...words] = [...under, ...server] as [string, ...string[]]
  // Its own process group: strace does not hand a KILL on.
  const child = spawn(program, words, {
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true,
    // As the launcher does.
    env: { ...process.env, HOME: folder, MALLOC_MMAP_THRESHOLD_: '131072' },
  })
  let said = ''
  child.stderr!.on('data', (bytes: Buffer) => (said = (said + bytes.toString()).slice(-20_000)))
  let isOver = false
  const ended = new Promise<number | null>((resolve) =>
    child.once('close', (code) => {
      isOver = true
      resolve(code)
    }),
  )
  return {
    child,
    ended,
    said: () => said,
    async isReady() {
      const found = await poll(
        async () => (isOver ? 'ended' : (await ask(socket, 'GET', '/readyz'))?.status === 200 ? 'ready' : undefined),
        { everyMs: 25, deadlineMs: 30_000 },
      )
      assert.ok(found, `neither ready nor ended: ${said}`)
      return found === 'ready'
    },
    async [Symbol.asyncDispose]() {
      kill(child)
      await ended
    },
  }
}

export function kill(child: ChildProcess): void {
  try {
    process.kill(-child.pid!, 'SIGKILL')
  } catch {
    // It has ended.
  }
}

/** @returns the answer, or undefined when none came */
export function ask(
  socketPath: string,
  method: string,
  path: string,
  body?: object,
): Promise<{ status: number; text: string } | undefined> {
  return new Promise((resolve) => {
    const text = body === undefined ? undefined : JSON.stringify(body)
    const headers =
      text === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }
    const asked = request({ socketPath, method, path, headers, agent: false, timeout: 10_000 }, (response) => {
      let answer = ''
      response.on('data', (part: Buffer) => (answer += part.toString()))
      response.on('end', () => resolve({ status: response.statusCode!, text: answer }))
      response.on('error', () => resolve(undefined))
    })
    asked.on('error', () => resolve(undefined)).on('timeout', () => asked.destroy())
    asked.end(text)
  })
}

const macOf = (n: number): string =>
  `52:54:00:${[n >> 16, n >> 8, n].map((byte) => (byte & 255).toString(16).padStart(2, '0')).join(':')}`

/**
 * Adds machines and changes them, one after the other, until no answer comes.
 * @param acknowledged name -> rank, filled as it goes
 * @returns how many changes were refused
 */
export async function load(
  folder: string,
  first: number,
  acknowledged: Map<string, number>,
  stop: () => boolean,
  count = Infinity,
): Promise<number> {
  const socket = join(folder, 'api.sock')
  let refused = 0
  for (let n = first; n < first + count && !stop(); n++) {
    const name = `m${n}`
    const added = await ask(socket, 'POST', '/v1/machines', {
      name,
      macs: [macOf(n)],
      bmc: 'http://127.0.0.1:9',
      bmcPassword: 'secret',
    })
    if (!added) return refused
    if (added.status === 201) acknowledged.set(name, 0)
    else refused++
    const changed = await ask(socket, 'PATCH', `/v1/machines/${name}`, { rank: n })
    if (!changed) return refused
    if (changed.status === 200) acknowledged.set(name, n)
    else refused++
  }
  return refused
}

/** A daemon starts in the folder and knows every change that was acknowledged. @returns how long it took to be ready, milliseconds */
export async function checkStart(folder: string, acknowledged: ReadonlyMap<string, number>): Promise<number> {
  const startMs = performance.now()
  await using daemon = startDaemon(folder)
  assert.ok(await daemon.isReady(), `does not start again: ${daemon.said()}`)
  const tookMs = performance.now() - startMs
  assert.ok(tookMs < 25_000, `restart took ${tookMs} ms`)
  const answer = await ask(join(folder, 'api.sock'), 'GET', '/v1/machines')
  const { machines } = JSON.parse(answer!.text) as { machines: { name: string; rank: number }[] }
  checkRanks(machines, acknowledged, 'after a start')
  kill(daemon.child)
  await daemon.ended
  return tookMs
}

/** The database opens, is whole, and has every change that was acknowledged; the secrets in it can be read. */
export async function checkState(folder: string, acknowledged: ReadonlyMap<string, number>, at: string): Promise<void> {
  const path = join(folder, 'data', 'state.db')
  {
    await using database = openSqlite<SiteTables>(path, siteMigrations)
    const secrets = openSecretBox(join(folder, 'data', 'secret.key'))
    const store = createMachineStore(database.db, createEventBus(database.db, Date.now), secrets, Date.now)
    const machines = await store.list()
    checkRanks(machines, acknowledged, at)
    for (const { id, name } of machines)
      assert.equal(await store.bmcPassword(id), 'secret', `${at}: password of ${name}`)
    // Each change and its event are one: as many `create` events as machines.
    const created = database.raw.prepare("SELECT count(*) n FROM event WHERE kind = 'machine' AND action = 'create'")
    assert.equal(created.get()!['n'], machines.length, at)
  }
  checkIntegrity(path, at)
}

/** A change that was not acknowledged may be there too. */
function checkRanks(
  machines: readonly { name: string; rank: number }[],
  acknowledged: ReadonlyMap<string, number>,
  at: string,
): void {
  const ranks = new Map(machines.map(({ name, rank }) => [name, rank]))
  for (const [name, rank] of acknowledged) {
    assert.ok(ranks.has(name), `${at}: ${name} was acknowledged and is lost`)
    if (rank !== 0) assert.equal(ranks.get(name), rank, `${at}: the change of ${name} was acknowledged and is lost`)
  }
}
