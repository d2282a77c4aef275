import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { poll, sleep } from '../../src/base/clock.ts'
import type { NbdSessions, Touched } from '../../src/servers/nbd/server.ts'
import { NbdClient } from '../fakes/nbd-client.ts'
import { makeDevice, type MadeDevice } from '../fakes/nbd-device.ts'
import { mutate, randomFrom } from '../fuzz/mutate.ts'
import { freePort, missingProgram } from './docker-registry.ts'
import { startNbd, type NbdProcess } from './nbd-process.ts'

const without = (...programs: string[]) => {
  const missing = missingProgram(...programs)
  return { skip: missing === undefined ? false : `no ${missing} here` }
}

interface Site extends MadeDevice, AsyncDisposable {
  readonly host: NbdProcess
  readonly port: number
  readonly directory: string
  readonly uri: string
}

async function open({ threads = 2, fileCount = 400 } = {}): Promise<Site> {
  const directory = mkdtempSync(join(tmpdir(), 'bareboat-nbd-'))
  const device = makeDevice(directory, fileCount)
  const port = await freePort()
  const host = await startNbd({ port, threads, exports: { token: device.files, other: device.files } })
  return {
    ...device,
    host,
    port,
    directory,
    uri: `nbd://127.0.0.1:${port}/token`,
    async [Symbol.asyncDispose]() {
      await host[Symbol.asyncDispose]()
      rmSync(directory, { recursive: true })
    },
  }
}

/** Runs a program to its end. nbdsh is the system's: another python3 on the PATH would lack its module. */
function run(program: string, ...args: string[]): Promise<{ status: number; stdout: string; stderr: string }> {
  const env = { ...process.env, PATH: `/usr/bin:/bin:${process.env['PATH'] ?? ''}` }
  return new Promise((resolve) => {
    execFile(program, args, { env, maxBuffer: 1 << 24, timeout: 120_000 }, (error, stdout, stderr) => {
      resolve({ status: error === null ? 0 : Number(error.code ?? -1), stdout, stderr })
    })
  })
}

async function shell(site: Site, script: string): Promise<string> {
  const { status, stdout, stderr } = await run('nbdsh', '-c', `port = ${site.port}\n${script}`)
  assert.equal(status, 0, stderr)
  return stdout
}

const sessionsOf = async (site: Site): Promise<NbdSessions[]> =>
  (await site.host.ask({ ask: 'sessions' })) as NbdSessions[]

test('nbd: nbdinfo sees what is served, and no list of exports', without('nbdinfo'), async () => {
  await using site = await open()
  const { stdout } = await run('nbdinfo', '--json', site.uri)
  const { protocol, structured, exports } = JSON.parse(stdout) as Record<string, unknown>
  assert.deepEqual([protocol, structured], ['newstyle-fixed', true])
  assert.partialDeepStrictEqual((exports as unknown[])[0], {
    'export-size': site.bytes.length,
    is_read_only: true,
    can_multi_conn: true,
    can_df: true,
    can_trim: false,
    can_zero: false,
    block_size_minimum: 1,
    block_size_preferred: 4096,
    block_size_maximum: 33_554_432,
  })
  const list = await run('nbdinfo', '--list', `nbd://127.0.0.1:${site.port}`)
  assert.notEqual(list.status, 0)
  assert.ok(!(list.stdout + list.stderr).includes('token'))
})

test('nbd: nbdcopy copies every byte, and what it read is noted', without('nbdcopy'), async () => {
  await using site = await open({ threads: 3 })
  const copy = join(site.directory, 'copy')
  const { status, stderr } = await run('nbdcopy', site.uri, copy)
  assert.equal(status, 0, stderr)
  assert.ok(readFileSync(copy).equals(site.bytes))
  const { touches, isComplete } = (await site.host.ask({ ask: 'touched', token: 'token' })) as Touched
  const seen = new Set(touches.flatMap(({ start, count }) => Array.from({ length: count }, (_, at) => start + at)))
  assert.ok(isComplete && seen.size <= site.bytes.length / 4096 && seen.size > site.bytes.length / 4096 / 2)
})

test('nbd: qemu-img finds the export equal to its bytes', without('qemu-img'), async () => {
  await using site = await open()
  const file = join(site.directory, 'bytes')
  writeFileSync(file, site.bytes)
  const { status, stdout, stderr } = await run('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', site.uri, file)
  assert.equal(status, 0, stdout + stderr)
})

test(
  'nbd: libnbd with hostile and unusual options is answered, and the next one is served',
  without('nbdsh'),
  async () => {
    await using site = await open()
    const said = await shell(
      site,
      `
import errno, socket, struct
uri = "nbd://127.0.0.1:%d/" % port
def refused(name):
    h = nbd.NBD()
    try: h.connect_uri(uri + name); print("OPEN", name)
    except nbd.Error as e: print("refused", e.errnum == errno.ENOENT)
for name in ("wrong", "tok", "tokens", "x" * 2000): refused(name)
h = nbd.NBD(); h.set_opt_mode(True); h.connect_uri(uri)
try: h.opt_list(lambda *a: print("LISTED", a))
except nbd.Error: print("no list")
h.set_export_name("token"); h.opt_info(); print("size", h.get_size()); h.opt_go()
h.set_strict_mode(0)
for what in (lambda: h.pwrite(b"x" * 4096, 0), lambda: h.trim(4096, 0), lambda: h.zero(4096, 0),
             lambda: h.pread(512, h.get_size()), lambda: h.pread(512, h.get_size() - 511), lambda: h.pread(512, 2**62)):
    try: what(); print("DONE")
    except nbd.Error as e: print(errno.errorcode[e.errnum])
h.flush(); h.cache(4096, 0)
whole = h.pread(65536, 0)
parts = []
h.pread_structured(65536, 0, lambda b, o, s, e: parts.append((o, bytes(b))) and 0)
print("structured", sum(len(b) for o, b in parts if b) <= 65536)
cookies = [(n, h.aio_pread(nbd.Buffer(4096), n * 4096)) for n in range(64)]
while h.aio_in_flight() > 0: h.poll(-1)
print("in flight", all(h.aio_command_completed(c) for _, c in cookies))
h.shutdown()
h = nbd.NBD(); h.set_request_structured_replies(False); h.connect_uri(uri + "token")
print("simple", h.get_structured_replies_negotiated(), h.pread(65536, 0) == whole); h.shutdown()
def raw(*parts):
    s = socket.create_connection(("127.0.0.1", port)); s.settimeout(20)
    got = s.recv(18)
    s.sendall(b"".join(parts))
    try:
        while True:
            d = s.recv(65536)
            if not d: return got
            got += d
    except ConnectionError: return got
flags = struct.pack(">I", 3)
opt = lambda code, length, data=b"": struct.pack(">QII", 0x49484156454F5054, code, length) + data
print("huge option", len(raw(flags, opt(7, 0xffffffff, b"x" * 100))))
print("huge name", len(raw(flags, opt(7, 20, struct.pack(">I", 0xfffffff0) + b"x" * 16), opt(2, 0))) > 18)
print("bad flags", len(raw(struct.pack(">I", 0xff))))
print("no magic", len(raw(flags, b"x" * 16)))
print("options without end", len(raw(flags, opt(3, 0) * 40)) > 18)
print("export name", len(raw(flags, opt(1, 5, b"wrong"))))
print("write of 4 GiB", len(raw(flags, opt(1, 5, b"token"), struct.pack(">IHHQQI", 0x25609513, 0, 1, 1, 0, 0xffffffff), b"x" * 1000)))
`,
    )
    assert.deepEqual(said.trim().split('\n'), [
      ...Array.from({ length: 4 }, () => 'refused True'),
      'no list',
      `size ${site.bytes.length}`,
      ...['EPERM', 'EPERM', 'EPERM', 'EINVAL', 'EINVAL', 'EINVAL'],
      'structured True',
      'in flight True',
      'simple False True',
      'huge option 18',
      'huge name True',
      'bad flags 18',
      'no magic 18',
      'options without end True',
      'export name 18',
      'write of 4 GiB 28',
    ])
    await using client = await NbdClient.open(site.port, 'token')
    assert.ok((await client.read(0, 100_000)).equals(site.bytes.subarray(0, 100_000)))
    assert.deepEqual(await linesOf(site, 'warn', 'error'), [])
  },
)

test(
  'nbd: 100 clients that stopped reading and 100 that say nothing do not slow one that reads',
  without('nbdcopy'),
  async () => {
    await using site = await open({ threads: 1 })
    const beforeBytes = (await site.host.ask({ ask: 'memory' })) as number
    const deaf = await Promise.all(
      Array.from({ length: 100 }, async (_, at) => {
        const client = await NbdClient.open(site.port, at % 4 === 0 ? 'other' : 'token', { structured: false }).catch(
          () => undefined,
        )
        client?.socket.pause()
        for (let n = 0; n < 50; n++) client?.send({ offset: 0, length: 8_000_000 })
        return client
      }),
    )
    const silent = await Promise.all(Array.from({ length: 100 }, () => opened(site.port)))
    await sleep(500)
    const copy = join(site.directory, 'copy')
    const { status, stderr } = await run('nbdcopy', '--connections=1', site.uri, copy)
    assert.equal(status, 0, stderr)
    assert.ok(readFileSync(copy).equals(site.bytes))
    const grownBytes = ((await site.host.ask({ ask: 'memory' })) as number) - beforeBytes
    assert.ok(grownBytes < 60e6, `${grownBytes} bytes of memory`)
    for (const client of deaf) await client?.[Symbol.asyncDispose]()
    for (const socket of silent) socket.destroy()
  },
)

test('nbd: drop ends the sessions of a token in all threads and of no other', async () => {
  await using site = await open({ threads: 3 })
  const clients = await Promise.all(Array.from({ length: 9 }, () => NbdClient.open(site.port, 'token')))
  await using other = await NbdClient.open(site.port, 'other')
  await site.host.ask({ ask: 'drop', token: 'token' })
  await Promise.all(clients.map((client) => client.closed()))
  await other.read(0, 4096)
  const gone = await poll(
    async () =>
      (await sessionsOf(site)).every(({ token, connections }) => connections === (token === 'other' ? 1 : 0)) ||
      undefined,
    { everyMs: 20, deadlineMs: 5000 },
  )
  assert.ok(gone)
})

test('nbd: a thread is killed while machines read: the others go on, and it comes back', async () => {
  await using site = await open({ threads: 2 })
  const clients = await Promise.all(Array.from({ length: 24 }, () => NbdClient.open(site.port, 'token')))
  await site.host.ask({ ask: 'kill-thread' })
  const alive = await Promise.all(
    clients.map((client) =>
      client.read(0, 100_000).then(
        () => 1,
        () => 0,
      ),
    ),
  )
  assert.ok(alive.some((one) => one === 1) && alive.some((one) => one === 0), String(alive))
  for (let n = 0; n < 16; n++) {
    const again = await poll(() => NbdClient.open(site.port, 'token').catch(() => undefined), {
      everyMs: 50,
      deadlineMs: 10_000,
    })
    assert.ok((await again!.read(0, 100_000)).equals(site.bytes.subarray(0, 100_000)))
    await again![Symbol.asyncDispose]()
  }
  assert.deepEqual(
    (await linesOf(site, 'error')).map(({ event }) => event),
    ['NBD thread ended and is started again'],
  )
})

const SEED = 10_809
test(`nbd: 20,000 mutated streams (seed ${SEED}) end no more than their own connection`, async () => {
  await using site = await open({ threads: 1 })
  const random = randomFrom(SEED)
  const streams = ['libnbd-structured', 'libnbd-simple', 'nbdinfo-list', 'qemu-io'].map((name) => {
    const bytes = readFileSync(new URL(`../packets/nbd/${name}.client.bin`, import.meta.url))
    // The recorded clients say `tok`: here it is a name that opens.
    return new Uint8Array(Buffer.from(bytes.toString('latin1'), 'latin1'))
  })
  const samples = [...streams, ...streams.map(named)]
  const waitedMs: number[] = []
  const send = async (count: number): Promise<void> => {
    for (let n = 0; n < count; n += 20) {
      await Promise.all(Array.from({ length: 20 }, () => throwAt(site.port, mutate(samples, random))))
      if (n % 500 === 0) waitedMs.push(await probe(site))
    }
  }
  // A thread's heap takes its size first.
  await send(8000)
  const beforeBytes = (await site.host.ask({ ask: 'memory' })) as number
  await send(20_000)
  const grownBytes = ((await site.host.ask({ ask: 'memory' })) as number) - beforeBytes
  assert.ok(grownBytes < 20e6, `${grownBytes} bytes of memory more`)
  // The system itself may be busy with others for a second now and then.
  const slow = waitedMs.filter((ms) => ms > 1000)
  assert.ok(slow.length <= 2, `clients waited ${slow.map(Math.round).join(', ')} ms`)
  assert.deepEqual(await linesOf(site, 'warn', 'error'), [])
})

/** A recorded client that asks for `token`: GO with the name's length and the option's two bytes longer. */
function named(stream: Uint8Array): Uint8Array {
  const bytes = Buffer.from(stream)
  const at = bytes.indexOf('tok')
  if (at < 0) return stream
  const go = bytes.lastIndexOf('IHAVEOPT', at)
  const copy = Buffer.concat([bytes.subarray(0, at), Buffer.from('token'), bytes.subarray(at + 3)])
  copy.writeUInt32BE(copy.readUInt32BE(go + 12) + 2, go + 12)
  copy.writeUInt32BE(5, go + 16)
  return new Uint8Array(copy)
}

/** Sends a stream and reads what comes, until the server ends it or nothing more happens. */
async function throwAt(port: number, bytes: Uint8Array): Promise<void> {
  const socket = await opened(port)
  socket.resume()
  socket.write(bytes)
  const closed = once(socket, 'close')
  await Promise.race([closed, sleep(20)])
  socket.destroy()
  await closed
}

/** How long a client waits for its first bytes while the noise goes on. */
async function probe(site: Site): Promise<number> {
  const startedMs = performance.now()
  await using client = await NbdClient.open(site.port, 'other')
  assert.ok((await client.read(0, 4096)).equals(site.bytes.subarray(0, 4096)))
  return performance.now() - startedMs
}

async function opened(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1').on('error', () => undefined)
  await once(socket, 'connect')
  return socket
}

async function linesOf(site: Site, ...levels: string[]): Promise<{ level: string; event: string }[]> {
  const lines = (await site.host.ask({ ask: 'log' })) as { level: string; event: string }[]
  return lines.filter(({ level }) => levels.includes(level))
}
