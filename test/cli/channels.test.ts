/** run, exec, attach and console: bytes both ways, keys, interrupts and exit codes. */
import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'node:test'
import { runCli } from '../../src/cli/program.ts'
import type { Container } from '../../src/model/container.ts'
import { ndjson, failure, sse, startFakeApi, type ChannelHandler, type FakeApi } from '../fakes/api-server.ts'
import { fakeTerminal, run } from '../fakes/terminal.ts'
import { aContainer } from '../fakes/things.ts'

const CREATED_MS = Date.parse('2026-11-21T06:00:00Z')

/** A server on which one container boots, then does what `attach` says. */
function serveRun(
  api: FakeApi,
  attach: ChannelHandler,
  end: Partial<Container> = { state: 'exited', exitCode: 0 },
): void {
  const container = aContainer({ state: 'preparing', createdAt: CREATED_MS })
  api.on('POST /v1/containers', ({ json }) => ({
    status: 201,
    json: { ...container, options: { ...container.options, ...(json() as object) } },
  }))
  api.on('GET /v1/containers/:id', { json: { ...container, ...end } })
  api.on('GET /v1/containers/:id/wait', { json: end })
  api.on('GET /v1/events', {
    headers: { 'content-type': 'text/event-stream' },
    stream: (response) => {
      let id = 0
      for (const [afterMs, action, attributes] of [
        [100, 'state', { transition: 'begin' }],
        [3200, 'stage', { stage: 'dhcp' }],
        [12_300, 'stage', { stage: 'kernel' }],
        [20_000, 'stage', { stage: 'init' }],
      ] as const)
        response.write(
          `event: event\ndata: ${JSON.stringify({ id: ++id, at: CREATED_MS + afterMs, kind: 'container', action, subjectId: container.id, name: 'web', source: 'x', attributes })}\n\n`,
        )
    },
  })
  api.onChannel('/v1/containers/:id/attach', attach)
}

test('a foreground run shows the boot, passes the streams on exactly and ends with the exit code of the workload', async () => {
  await using api = await startFakeApi()
  serveRun(api, async (channel) => {
    await sleep(100)
    channel.send('stdout', Uint8Array.of(0xff, 0x00, 0x0a))
    channel.send('stderr', 'oops\n')
    channel.control({ type: 'exit', code: 42 })
    channel.close()
  })
  const ran = await run(api, ['run', 'alpine', 'sh'])
  assert.equal(ran.code, 42)
  assert.deepEqual([...ran.terminal.bytes()], [0xff, 0x00, 0x0a])
  assert.equal(
    ran.stderr,
    [
      '   0.1s  preparing  preparing the image',
      '   3.2s  dhcp       the machine asked for an address',
      '  12.3s  kernel     the boot loader fetched the kernel',
      '  20.0s  init       the workload was started',
      'oops',
      '',
    ].join('\n'),
  )
  const quiet = await run(api, ['run', '-q', 'alpine'])
  assert.equal(quiet.stderr, 'oops\n')
  const asked = api.requests.find(({ path }) => path.endsWith('/attach'))
  assert.deepEqual([asked?.query.get('logs'), asked?.query.get('stdin')], ['true', 'false'])
})

test('a run with --reset-atime leaves the list of files in the current directory, under the id', async () => {
  await using api = await startFakeApi()
  serveRun(api, (channel) => {
    channel.control({ type: 'exit', code: 3 })
    channel.close()
  })
  const list = Buffer.from('./bin/sh\n./caf\xe9\n', 'latin1')
  api.on('GET /v1/containers/:id/atimes', { body: list, headers: { 'content-type': 'text/plain' } })
  const cwd = mkdtempSync(join(tmpdir(), 'bareboat-cli-'))
  try {
    const ran = await run(api, ['run', '--reset-atime', 'alpine'], { cwd })
    assert.equal(ran.code, 3)
    const path = join(cwd, `${aContainer({}).id.slice(0, 12)}-atime.out`)
    assert.deepEqual(readdirSync(cwd), [path.split('/').at(-1)])
    assert.deepEqual(readFileSync(path), list)
    assert.match(ran.stderr, /the files that were read are listed in \S+-atime\.out/)
    const lost = await run(api, ['run', '-q', '--reset-atime', 'alpine'], { cwd: join(cwd, 'gone') })
    assert.match(lost.stderr, /Cannot write .*ENOENT; the list can still be had: bareboat atimes web/)
  } finally {
    rmSync(cwd, { recursive: true })
  }
  const listed = await run(api, ['atimes', 'web'])
  assert.deepEqual([listed.code, listed.terminal.bytes()], [0, list])
})

test('a boot that fails ends with 125, the stage, the cause and what to do', async () => {
  await using api = await startFakeApi()
  const cause = 'waited 120 s for a DHCP request of the machine; is network boot first?'
  serveRun(
    api,
    (channel) => {
      channel.control({ type: 'error', error: { code: 'boot_failed', message: cause } })
      channel.close()
    },
    { state: 'failed', failedStage: 'power-on', cause, machineOff: false },
  )
  const ran = await run(api, ['run', '-q', 'alpine'])
  assert.equal(ran.code, 125)
  assert.equal(
    ran.stderr,
    `bareboat: Cannot run "alpine:3.20" on "rack1-07": failed at stage "power-on": ${cause}; the machine could not be switched off; to see what the machine said: bareboat logs --console web\n`,
  )
})

test('a boot that fails under --rm, whose container is gone before anybody can look, still ends with its cause', async () => {
  await using api = await startFakeApi()
  const gone = failure(404, 'not_found', 'Cannot find container "web": no such container')
  serveRun(api, (channel) => channel.close())
  for (const path of ['', '/wait']) api.on(`GET /v1/containers/:id${path}`, gone)
  const event = (action: string, attributes: object) =>
    [
      'event',
      { id: 1, at: CREATED_MS, kind: 'container', action, subjectId: 'x', name: 'web', source: 'daemon', attributes },
    ] as const
  const cause = 'there is no kernel "mine" here'
  api.on('GET /v1/events', sse(event('fail', { cause, failedStage: 'power-on' }), event('destroy', {})))
  const ran = await run(api, ['run', '-q', '--rm', 'alpine'])
  assert.deepEqual(
    [ran.code, ran.stderr],
    [125, `bareboat: Cannot run "alpine:3.20" on "rack1-07": failed at stage "power-on": ${cause}\n`],
  )
})

test('a run under --rm that somebody kills ends as docker says, though its container is gone', async () => {
  await using api = await startFakeApi()
  serveRun(api, (channel) => channel.close())
  for (const path of ['', '/wait'])
    api.on(`GET /v1/containers/:id${path}`, failure(404, 'not_found', 'Cannot find container "web": no such container'))
  const event = (action: string) =>
    [
      'event',
      {
        id: 1,
        at: CREATED_MS,
        kind: 'container',
        action,
        subjectId: 'x',
        name: 'web',
        source: 'daemon',
        attributes: { exitCode: '137' },
      },
    ] as const
  api.on('GET /v1/events', sse(event('die'), event('destroy')))
  const ran = await run(api, ['run', '-q', '--rm', 'alpine'])
  assert.deepEqual([ran.code, ran.stderr], [137, ''])
})

test('a server that goes away during a run is told as that', async () => {
  await using api = await startFakeApi()
  serveRun(api, (channel) => channel.socket.terminate())
  const ran = await run(api, ['run', '-q', 'alpine'])
  assert.equal(ran.code, 125)
  assert.match(
    ran.stderr,
    /^bareboat: Cannot follow container "web": the server went away; the container may still run: bareboat attach web\n/,
  )
})

test('standard input of a run waits for the workload, and its end is told', async () => {
  await using api = await startFakeApi()
  const got: unknown[] = []
  serveRun(api, async (channel) => {
    for (;;) {
      const message = await channel.next()
      if (!message) return
      got.push(message)
      if ('control' in message) {
        channel.control({ type: 'exit', code: 0 })
        return channel.close()
      }
    }
  })
  const ran = await run(api, ['run', '-q', '-i', 'alpine', 'cat'], { input: 'hello' })
  assert.equal(ran.code, 0)
  assert.deepEqual(got, [{ stdin: 'hello' }, { control: { type: 'eof' } }])
})

test('the first interrupt stops the container, the second kills it', async () => {
  await using api = await startFakeApi()
  const { promise: killed, resolve } = Promise.withResolvers<void>()
  const asked: string[] = []
  serveRun(
    api,
    async (channel) => {
      channel.send('stdout', 'up\n')
      await killed
      channel.control({ type: 'exit', code: 137 })
      channel.close()
    },
    { state: 'exited', exitCode: 137 },
  )
  for (const verb of ['stop', 'kill'])
    api.on(`POST /v1/containers/:id/${verb}`, () => {
      asked.push(verb)
      if (verb === 'kill') resolve()
      return { json: aContainer({ state: 'stopping' }) }
    })
  const terminal = fakeTerminal(api)
  const code = runCli(['run', '-q', 'alpine'], terminal.io)
  await until(() => terminal.stdout() === 'up\n')
  terminal.signal('SIGINT')
  await until(() => asked.length === 1)
  terminal.signal('SIGINT')
  assert.equal(await code, 137)
  assert.deepEqual(asked, ['stop', 'kill'])
  assert.match(terminal.stderr(), /stopping "web"; interrupt again to kill it/)
})

test('an interrupt during the boot ends the run with 130, not with success', async () => {
  await using api = await startFakeApi()
  const { promise: stopped, resolve } = Promise.withResolvers<void>()
  serveRun(
    api,
    async (channel) => {
      await stopped
      channel.control({ type: 'exit', code: 0 })
      channel.close()
    },
    { state: 'exited' },
  )
  api.on('GET /v1/events', {
    headers: { 'content-type': 'text/event-stream' },
    stream: (response) => void response.write(':\n\n'),
  })
  api.on('POST /v1/containers/:id/stop', () => {
    resolve()
    return { json: aContainer({ state: 'stopping' }) }
  })
  const terminal = fakeTerminal(api)
  const code = runCli(['run', '-q', 'alpine'], terminal.io)
  await until(() => api.requests.some(({ path }) => path.endsWith('/attach')))
  terminal.signal('SIGINT')
  assert.equal(await code, 130)
})

test('a run with a terminal goes raw once the workload is there, tells its size, and detaches by its keys', async () => {
  await using api = await startFakeApi()
  const got: unknown[] = []
  serveRun(api, async (channel) => {
    for (;;) {
      const message = await channel.next()
      if (!message) return
      got.push(message)
    }
  })
  const terminal = fakeTerminal(api, { isTty: true })
  const code = runCli(['run', '-it', 'alpine', 'sh'], terminal.io)
  await until(() => terminal.stdin.isRaw === true)
  terminal.stdin.write('ls\r\u0010')
  terminal.stdin.write('\u0010\u0011dropped')
  assert.equal(await code, 0)
  assert.equal(terminal.stdin.isRaw, false)
  await until(() => got.length >= 3)
  assert.deepEqual(got, [
    { control: { type: 'resize', rows: 30, columns: 100 } },
    { stdin: 'ls\r' },
    { stdin: '\u0010' },
  ])
  assert.match(terminal.stderr(), /web is up on rack1-07 after 20\.0s/)
  assert.match(terminal.stderr(), /read escape sequence\n$/)
})

test('exec starts what was asked and ends with its exit code', async () => {
  await using api = await startFakeApi()
  const starts: unknown[] = []
  api.onChannel('/v1/containers/:id/exec', async (channel) => {
    starts.push(await channel.next())
    channel.send('stdout', 'x'.repeat(3_000_000))
    channel.control({ type: 'exit', code: 126 })
    channel.close()
  })
  const ran = await run(api, ['exec', '-e', 'A=1', '-u', 'root', '-w', '/', 'web', 'sh', '-c', 'ls -l', '-i'])
  assert.deepEqual([ran.code, ran.stdout.length, ran.stderr], [126, 3_000_000, ''])
  const start = {
    type: 'start',
    argv: ['sh', '-c', 'ls -l', '-i'],
    env: ['A=1'],
    tty: false,
    stdin: false,
    workdir: '/',
    user: 'root',
  }
  assert.deepEqual(starts, [{ control: start }])
  assert.match((await run(api, ['exec', '-it', 'web', 'sh'])).stderr, /the input device is not a TTY/)
})

test('exec sends much input with back-pressure and its end', async () => {
  await using api = await startFakeApi()
  let size = 0
  api.onChannel('/v1/containers/:id/exec', async (channel) => {
    await channel.next()
    for (;;) {
      const message = await channel.next()
      if (!message) return
      if ('stdin' in message) size += message.stdin.length
      else break
    }
    channel.control({ type: 'exit', code: 0 })
    channel.close()
  })
  const ran = await run(api, ['exec', '-i', 'web', 'cat'], { input: Buffer.alloc(5_000_000, 'a') })
  assert.deepEqual([ran.code, size], [0, 5_000_000])
})

test('exec in a container that does not run tells what the server says', async () => {
  await using api = await startFakeApi()
  const refused = await run(api, ['exec', 'web', 'ls'])
  assert.deepEqual([refused.stderr, refused.code], ['bareboat: Cannot open the channel "x": not now\n', 5])
  api.onChannel('/v1/containers/:id/exec', (channel) => {
    channel.control({ type: 'error', error: { code: 'conflict', message: 'Cannot run "ls" in "web": it is exited' } })
    channel.close()
  })
  assert.equal((await run(api, ['exec', 'web', 'ls'])).code, 5)
  api.onChannel('/v1/containers/:id/exec', (channel) => channel.socket.send('text'))
  assert.equal((await run(api, ['exec', 'web', 'ls'])).code, 6)
})

test('attach proxies interrupts to the workload and refuses a container that has exited', async () => {
  await using api = await startFakeApi()
  const { promise, resolve } = Promise.withResolvers<void>()
  api.on('GET /v1/containers/:id', { json: aContainer({}) })
  api.on('POST /v1/containers/:id/kill', ({ json }) => {
    assert.deepEqual(json(), { signal: 'SIGINT' })
    resolve()
    return { json: aContainer({}) }
  })
  api.onChannel('/v1/containers/:id/attach', async (channel) => {
    channel.send('stdout', 'here\n')
    await promise
    channel.control({ type: 'exit', code: 130 })
    channel.close()
  })
  const terminal = fakeTerminal(api)
  const code = runCli(['attach', 'web'], terminal.io)
  await until(() => terminal.stdout() === 'here\n')
  terminal.signal('SIGINT')
  assert.equal(await code, 130)
  api.on('GET /v1/containers/:id', { json: aContainer({ state: 'exited' }) })
  assert.match((await run(api, ['attach', 'web'])).stderr, /Cannot attach to "web": it is exited; /)
})

test('machine console leaves at ~. after a newline and shows its log', async () => {
  await using api = await startFakeApi()
  const got: string[] = []
  api.onChannel('/v1/machines/:name/console', async (channel) => {
    channel.send('stdout', 'login: ')
    for (;;) {
      const message = await channel.next()
      if (!message) return
      if ('stdin' in message) got.push(message.stdin)
    }
  })
  const terminal = fakeTerminal(api, { isTty: true })
  const code = runCli(['machine', 'console', 'rack1-07'], terminal.io)
  await until(() => terminal.stdout().includes('login'))
  assert.equal(terminal.stdin.isRaw, true)
  terminal.stdin.write('~~a~.\r')
  await until(() => got.length === 1)
  terminal.stdin.write('~.')
  assert.equal(await code, 0)
  assert.deepEqual([got, terminal.stdin.isRaw], [['~a~.\r'], false])
  assert.match((await run(api, ['machine', 'console', '-f', 'm'])).stderr, /--follow goes with --log only/)
  api.on('GET /v1/machines/:name/console/log', { body: `{"at":1,"stream":"console","data":"YWJj"}\n` })
  assert.equal((await run(api, ['machine', 'console', '--log', 'm'])).stdout, 'abc')
})

test('machine console sends breaks and take-overs in the order of typing, and shows what the server has to say', async () => {
  await using api = await startFakeApi()
  const got: unknown[] = []
  api.onChannel('/v1/machines/:name/console', async (channel, { query }) => {
    got.push(Object.fromEntries(query))
    channel.control({ type: 'writer', isWriter: false, text: 'read-only: bob@b has been writing; take over with ~w' })
    channel.control({ type: 'notice', text: 'the console was lost: no answer' })
    for (;;) {
      const message = await channel.next()
      if (!message) return
      got.push(message)
    }
  })
  const terminal = fakeTerminal(api, { isTty: true, env: { USER: 'ann' } })
  const code = runCli(['machine', 'console', '--take-over', 'rack1-07'], terminal.io)
  await until(() => terminal.stderr().includes('no answer'))
  terminal.stdin.write('a\r~Bb\r~w~?~.')
  assert.equal(await code, 0)
  await until(() => got.length >= 6)
  assert.deepEqual(got, [
    { as: `ann@${hostname()}`, takeOver: 'true' },
    { control: { type: 'resize', rows: 30, columns: 100 } },
    { stdin: 'a\r' },
    { control: { type: 'break' } },
    { stdin: 'b\r' },
    { control: { type: 'take-over' } },
  ])
  assert.match(
    terminal.stderr(),
    /\[read-only: bob@b has been writing; take over with ~w\]\r\n\r\n\[the console was lost: /,
  )
  assert.match(terminal.stderr(), /After Enter:\r\n {2}~\. {2}leave\r\n[^]*Console closed\n$/)
})

test('machine console does not take input from a pipe that it cannot type', async () => {
  await using api = await startFakeApi()
  api.onChannel('/v1/machines/:name/console', (channel) => {
    channel.control({ type: 'writer', isWriter: false, text: 'read-only: bob@b has been writing' })
  })
  const ran = await run(api, ['machine', 'console', 'm'], { input: 'reboot\r' })
  assert.deepEqual(
    [ran.code, ran.stderr],
    [5, 'bareboat: Cannot write to the console of "m": read-only: bob@b has been writing, or use --take-over\n'],
  )
  const both = await run(api, ['machine', 'console', '--take-over', '--read-only', 'm'])
  assert.match(both.stderr, /--take-over and --read-only exclude each other/)
})

test("machine console --log prints the console's bytes, the last lines, times, and apart from them what was noted", async () => {
  await using api = await startFakeApi()
  const chunk = (at: number, stream: string, text: string) => ({
    at,
    stream,
    data: Buffer.from(text).toString('base64'),
  })
  api.on('GET /v1/machines/:name/console/log', () =>
    ndjson(
      chunk(0, 'console', 'login: '),
      chunk(1, 'note', '\n[bareboat T] the console was lost\n'),
      chunk(2, 'console', '\u001b[Kroot\r\n'),
      chunk(1000, 'console', '# '),
    ),
  )
  const plain = await run(api, ['machine', 'console', '--log', '--tail', '2', '--since', '0', '-f', 'm'])
  assert.deepEqual(
    [plain.stdout, plain.stderr],
    ['login: \u001b[Kroot\r\n# ', '\r\n[bareboat T] the console was lost\n'],
  )
  assert.deepEqual(Object.fromEntries(api.requests.at(-1)!.query), { follow: 'true', since: '0', tail: '2' })
  const timed = await run(api, ['machine', 'console', '--log', '-t', 'm'])
  assert.match(timed.stdout, /^\S+ login: \u001b\[Kroot\r\n\S+01\.0{3,9}Z # $/)
  const json = await run(api, ['machine', 'console', '--log', '--json', 'm'])
  assert.equal(json.stdout.trim().split('\n').length, 4)
  assert.match((await run(api, ['machine', 'console', '--tail', '1', 'm'])).stderr, /--tail goes with --log only/)
  assert.match((await run(api, ['machine', 'console', '--log', '--take-over', 'm'])).stderr, /--take-over goes without/)
})

test('an interrupt ends a command that waits, with 130', async () => {
  await using api = await startFakeApi()
  api.on('GET /v1/containers/:id/wait', { stream: () => {} })
  const terminal = fakeTerminal(api)
  const code = runCli(['wait', 'web'], terminal.io)
  await until(() => api.requests.length === 1)
  terminal.signal('SIGINT')
  assert.equal(await code, 130)
  assert.equal(terminal.stderr(), 'bareboat: Cannot finish: interrupted\n')
})

test('a reader of the output that goes away ends a followed log in silence', async () => {
  await using api = await startFakeApi()
  api.on('GET /v1/containers/:id/logs', {
    stream: (response) => {
      const line = `{"at":1,"stream":"stdout","data":"${Buffer.from('x\n').toString('base64')}"}\n`
      const timer = setInterval(() => response.write(line), 5)
      response.on('close', () => clearInterval(timer))
    },
  })
  const terminal = fakeTerminal(api)
  const code = runCli(['logs', '-f', 'web'], terminal.io)
  await until(() => terminal.stdout() !== '')
  terminal.io.stdout.destroy(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }))
  assert.equal(await code, 141)
  assert.equal(terminal.stderr(), '')
})

test('an answer that is not of a bareboat server is told as that', async () => {
  await using api = await startFakeApi()
  api.on('GET /v1/containers', { status: 502, body: '<html>' })
  const ran = await run(api, ['ps'])
  assert.match(ran.stderr, /it answered with HTTP status 502 and no reason; is it a bareboat server\?\n$/)
  api.on('GET /v1/containers', { body: '<html>' })
  assert.match((await run(api, ['ps'])).stderr, /^bareboat: Cannot read the answer to GET \/v1\/containers: not JSON/)
  api.on('GET /v1/containers', failure(401, 'unauthorized', 'Cannot list containers: no token'))
  assert.equal((await run(api, ['ps'])).code, 3)
})

async function until(condition: () => boolean): Promise<void> {
  const endMs = performance.now() + 5000
  while (!condition()) {
    assert.ok(performance.now() < endMs, 'it did not come to pass in 5 s')
    await sleep(5)
  }
}
