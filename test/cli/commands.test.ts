/** The commands against a fake server: stdout, stderr, exit codes and what is asked, exactly. */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Container } from '../../src/model/container.ts'
import { failure, ndjson, sse, startFakeApi } from '../fakes/api-server.ts'
import { run } from '../fakes/terminal.ts'
import { aContainer, anImage, aMachine, HOUR_MS, NOW_MS } from '../fakes/things.ts'

test('ps prints the table of docker with the machine', async () => {
  await using api = await startFakeApi()
  const containers: Container[] = [
    aContainer({
      id: 'a'.repeat(64),
      name: 'old',
      state: 'exited',
      exitCode: 3,
      createdAt: NOW_MS - 3 * HOUR_MS,
      finishedAt: NOW_MS - 90_000,
    }),
    aContainer({
      id: 'b'.repeat(64),
      name: 'web',
      startedAt: NOW_MS - 5 * 60_000,
      command: ['nginx', '-g', 'daemon off; worker 4'],
    }),
  ]
  api.on('GET /v1/containers', { json: { containers } })
  const ran = await run(api, ['ps', '-a'], { nowMs: NOW_MS })
  assert.equal(
    ran.stdout,
    [
      'CONTAINER ID   IMAGE         COMMAND                  CREATED         STATUS                          MACHINE    NAMES',
      'bbbbbbbbbbbb   alpine:3.20   "nginx -g daemon off…"   5 minutes ago   Up 5 minutes                    rack1-07   web',
      'aaaaaaaaaaaa   alpine:3.20   "sleep 100"              3 hours ago     Exited (3) About a minute ago   rack1-07   old',
      '',
    ].join('\n'),
  )
  assert.deepEqual([ran.stderr, ran.code], ['', 0])
  assert.equal(api.requests[0]!.query.get('all'), 'true')
})

test('ps -q, --no-trunc, --format, --last, --json and filters', async () => {
  await using api = await startFakeApi()
  const web = aContainer({ options: { labels: { tier: 'front' } } })
  api.on('GET /v1/containers', { json: { containers: [web] } })
  const out = async (...argv: string[]) => (await run(api, ['ps', ...argv], { nowMs: NOW_MS })).stdout
  assert.equal(await out('-q'), `${web.id.slice(0, 12)}\n`)
  assert.equal(await out('-q', '--no-trunc'), `${web.id}\n`)
  assert.equal(await out('--format', '{{.Names}}\\t{{.Machine}} {{.Label "tier"}}'), 'web\track1-07 front\n')
  assert.equal(await out('--format', 'table {{.Names}}\\t{{upper .State}}'), 'NAMES     STATE\nweb       RUNNING\n')
  assert.equal(JSON.parse(await out('--format', 'json')).Names, 'web')
  assert.deepEqual(JSON.parse(await out('--json')), [web])
  await out('-l')
  assert.equal(api.requests.at(-1)!.query.get('all'), 'true')
  await out('-f', 'status=failed', '-f', 'label=a=b')
  assert.deepEqual(api.requests.at(-1)!.query.getAll('filter'), ['status=failed', 'label=a=b'])
  const bad = await run(api, ['ps', '--format', '{{.Nmae}}'])
  assert.equal(bad.code, 2)
  assert.match(bad.stderr, /^bareboat: Cannot use template field "\.Nmae": there is no such field; there are ID, /)
})

test('an unreachable server is named with what helps, and its code', async () => {
  const ran = await run(undefined, ['ps'], { env: { BAREBOAT_HOST: 'unix:///nowhere/api.sock' } })
  assert.deepEqual(
    [ran.stderr, ran.stdout, ran.code],
    [
      'bareboat: Cannot reach the bareboat server at "unix:///nowhere/api.sock": there is no such socket; start it with: bareboat server\n',
      '',
      6,
    ],
  )
  const inRun = await run(undefined, ['run', 'alpine'], { env: { BAREBOAT_HOST: 'unix:///nowhere/api.sock' } })
  assert.equal(inRun.code, 125)
})

test('usage errors: unknown verbs and options, missing arguments', async () => {
  await using api = await startFakeApi()
  const cases = [
    { argv: ['pss'], code: 2, stderr: /unknown command 'pss'\n\(Did you mean ps\?\)\nSee 'bareboat --help'\.\n$/ },
    {
      argv: ['ps', '--formt', 'x'],
      code: 2,
      stderr: /^bareboat: unknown option '--formt'\n\(Did you mean --format\?\)\nSee 'bareboat ps --help'\.\n$/,
    },
    { argv: ['logs'], code: 2, stderr: /^bareboat: missing required argument 'container'\n/ },
    { argv: ['run', '--nmae', 'x', 'alpine'], code: 125, stderr: /unknown option '--nmae'/ },
    { argv: ['ps', 'surplus'], code: 2, stderr: /too many arguments/ },
    { argv: ['machine', 'lss'], code: 2, stderr: /unknown command 'lss'/ },
  ]
  for (const { argv, code, stderr } of cases) {
    const ran = await run(api, argv)
    assert.equal(ran.code, code, argv.join(' '))
    assert.match(ran.stderr, stderr)
    assert.equal(ran.stdout, '')
  }
  assert.equal(api.requests.length, 0)
})

test('help prints on stdout with an example for every verb', async () => {
  const whole = await run(undefined, ['--help'])
  assert.equal(whole.code, 0)
  assert.match(whole.stdout, /Containers:\n {2}run /)
  for (const argv of [
    ['help', 'run'],
    ['run', '--help'],
    ['machine', 'add', '--help'],
    ['kit', 'import-kernel', '--help'],
  ]) {
    const ran = await run(undefined, argv)
    assert.equal(ran.code, 0, argv.join(' '))
    assert.match(ran.stdout, /Examples?:\n {2}bareboat /)
    assert.equal(ran.stderr, '')
  }
})

test('run passes what follows the image on, and asks for exactly what was given', async () => {
  await using api = await startFakeApi()
  const folder = mkdtempSync(join(tmpdir(), 'cli-run-'))
  using _folder = { [Symbol.dispose]: () => rmSync(folder, { recursive: true }) }
  writeFileSync(join(folder, 'vars'), '\ufeff# comment\n  A=1 \nHOME2\nB="q"\r\n')
  api.on('POST /v1/containers', ({ json }) => ({ status: 201, json: aContainer({ ...(json() as object) }) }))
  const argv = [
    ...[
      'run',
      '-dit',
      '--rm',
      '--name',
      'web',
      '--rank',
      'ge 3',
      '--rank',
      'le 9',
      '-e',
      'X=1=2',
      '-e',
      'CALLER',
      '-e',
      'MISSING',
    ],
    ...[
      '--env-file',
      'vars',
      '-w',
      '/srv',
      '-u',
      '1:2',
      '--entrypoint',
      '',
      '-h',
      'web1',
      '--kernel-param',
      'console=ttyS0,115200',
    ],
    ...[
      '--early',
      'true',
      '--timeout',
      '3m',
      '-l',
      'a=b',
      '-l',
      'c',
      '--pull',
      'never',
      '--stop-timeout',
      '5',
      '--platform',
      'linux/arm64/v8',
    ],
    ...['--cidfile', 'cid', 'alpine', 'sh', '-c', 'echo -e hi', '--name', 'x'],
  ]
  const ran = await run(api, argv, { cwd: folder, env: { CALLER: 'me', HOME2: 'h' }, isTty: true })
  assert.deepEqual([ran.stderr, ran.code], ['', 0])
  assert.equal(ran.stdout, `${'b'.repeat(64)}\n`)
  assert.equal(readFileSync(join(folder, 'cid'), 'utf8'), 'b'.repeat(64))
  assert.deepEqual(api.requests[0]!.json(), {
    image: 'alpine',
    command: ['sh', '-c', 'echo -e hi', '--name', 'x'],
    name: 'web',
    rank: ['ge 3', 'le 9'],
    env: ['A=1 ', 'HOME2=h', 'B="q"', 'X=1=2', 'CALLER=me'],
    workdir: '/srv',
    user: '1:2',
    entrypoint: [],
    hostname: 'web1',
    kernelParams: ['console=ttyS0,115200'],
    early: 'true',
    timeoutSeconds: 180,
    remove: true,
    labels: { a: 'b', c: '' },
    pull: 'never',
    stopTimeoutSeconds: 5,
    platform: 'arm64',
    tty: true,
    stdin: true,
  })
  const again = await run(api, ['run', '-d', '--cidfile', 'cid', 'alpine'], { cwd: folder })
  assert.equal(again.code, 125)
  assert.match(again.stderr, /^bareboat: Cannot write container id file ".*cid": it exists; /)
  assert.equal(api.requests.length, 1)
})

test('run refuses what docker refuses, and leaves no cidfile behind', async () => {
  await using api = await startFakeApi()
  const folder = mkdtempSync(join(tmpdir(), 'cli-run-'))
  using _folder = { [Symbol.dispose]: () => rmSync(folder, { recursive: true }) }
  api.on('POST /v1/containers', failure(409, 'exhausted', 'Cannot run "alpine": no free machine'))
  const cases = [
    { argv: ['--rm', '--restart', 'always', 'alpine'], stderr: /--restart and --rm: conflicting options/ },
    { argv: ['-it', 'alpine'], stderr: /the input device is not a TTY/ },
    { argv: ['--pull', 'sometimes', 'alpine'], stderr: /--pull "sometimes": it is not missing, always, never/ },
    { argv: ['-e', '=x', 'alpine'], stderr: /variable "=x": it has no name/ },
    { argv: ['--cidfile', 'cid', 'alpine'], stderr: /^bareboat: Cannot run "alpine": no free machine\n$/ },
  ]
  for (const { argv, stderr } of cases) {
    const ran = await run(api, ['run', ...argv], { cwd: folder })
    assert.equal(ran.code, 125, argv.join(' '))
    assert.match(ran.stderr, stderr)
  }
  assert.throws(() => readFileSync(join(folder, 'cid')), /ENOENT/)
})

test('logs sends stdout to stdout and stderr to stderr, and puts a time before each line', async () => {
  await using api = await startFakeApi()
  const chunk = (stream: string, text: string, at = NOW_MS) => ({
    at,
    stream,
    data: Buffer.from(text).toString('base64'),
  })
  api.on(
    'GET /v1/containers/:id/logs',
    ndjson(chunk('stdout', 'one\ntw'), chunk('stderr', 'oops\n'), chunk('stdout', 'o\n', NOW_MS + 5)),
  )
  const plain = await run(api, ['logs', 'web'])
  assert.deepEqual([plain.stdout, plain.stderr, plain.code], ['one\ntwo\n', 'oops\n', 0])
  const timed = await run(api, ['logs', '-t', '--tail', '5', '--since', '10m', 'web'], { nowMs: NOW_MS })
  const stamp = '2026-11-21T06:00:00.000000000Z'
  assert.equal(timed.stdout, `${stamp} one\n${stamp} two\n`)
  const { query } = api.requests.at(-1)!
  assert.deepEqual([query.get('tail'), query.get('since')], ['5', String(NOW_MS - 600_000)])
  assert.equal((await run(api, ['logs', '--tail', 'x', 'web'])).code, 2)
  api.on('GET /v1/containers/:id/logs', failure(404, 'not_found', 'Cannot find container "nix": there is none'))
  const missing = await run(api, ['logs', 'nix'])
  assert.deepEqual([missing.stderr, missing.code], ['bareboat: Cannot find container "nix": there is none\n', 4])
})

test('stop, kill, restart, rm and wait act on each name, tell of each failure and go on', async () => {
  await using api = await startFakeApi()
  for (const verb of ['stop', 'kill', 'restart'])
    api.on(`POST /v1/containers/:id/${verb}`, ({ params: [name] }) =>
      name === 'bad'
        ? failure(409, 'conflict', `Cannot ${verb} "bad": it is exited`)
        : { json: aContainer({ name: name! }) },
    )
  const stopped = await run(api, ['stop', '-t', '7', 'a', 'bad', 'b'])
  assert.deepEqual(
    [stopped.stdout, stopped.stderr, stopped.code],
    ['a\nb\n', 'bareboat: Cannot stop "bad": it is exited\n', 5],
  )
  assert.deepEqual(api.requests[0]!.json(), { timeoutSeconds: 7 })
  assert.equal((await run(api, ['kill', '-s', 'HUP', 'a'])).stdout, 'a\n')
  assert.deepEqual(api.requests.at(-1)!.json(), { signal: 'HUP' })
  api.on('DELETE /v1/containers/:id', ({ params: [name] }) =>
    name === 'a' ? { status: 204 } : failure(404, 'not_found', `no ${name}`),
  )
  const removed = await run(api, ['rm', 'a', 'gone'])
  assert.deepEqual([removed.stdout, removed.code], ['a\n', 4])
  assert.deepEqual([(await run(api, ['rm', '-f', 'gone'])).code, api.requests.at(-1)!.query.get('force')], [0, 'true'])
  api.on('GET /v1/containers/:id/wait', ({ params: [name] }) => ({
    json: name === 'a' ? { state: 'exited', exitCode: 3 } : { state: 'failed', cause: 'x' },
  }))
  assert.equal((await run(api, ['wait', 'a', 'b'])).stdout, '3\n125\n')
})

test('inspect finds containers, machines and images, fills templates and keeps going', async () => {
  await using api = await startFakeApi()
  api.on('GET /v1/containers/:id', ({ params: [name] }) =>
    name === 'web' ? { json: aContainer({}) } : failure(404, 'not_found', 'x'),
  )
  api.on('GET /v1/machines/:name', ({ params: [name] }) =>
    name === 'rack1-07' ? { json: aMachine({}) } : failure(404, 'not_found', 'x'),
  )
  api.on('GET /v1/images/inspect', ({ query }) =>
    query.get('ref') === 'a/b:1' ? { json: anImage({}) } : failure(404, 'not_found', 'x'),
  )
  const ran = await run(api, ['inspect', 'web', 'rack1-07', 'nothing', 'a/b:1'])
  const things = JSON.parse(ran.stdout) as { name?: string; architecture?: string }[]
  assert.deepEqual(
    things.map(({ name, architecture }) => name ?? architecture),
    ['web', 'rack1-07', 'amd64'],
  )
  assert.deepEqual(
    [ran.stderr, ran.code],
    ['bareboat: Cannot inspect "nothing": there is no such container, machine or image\n', 4],
  )
  const formatted = await run(api, ['inspect', '-f', '{{.State}} {{.Options.Labels | json}} {{.exitCode}}', 'web'])
  assert.equal(formatted.stdout, 'running {} <no value>\n')
})

test('events prints lines, filters and ends at --until', async () => {
  await using api = await startFakeApi()
  const event = (over: object) => ({
    id: 1,
    at: NOW_MS,
    kind: 'container',
    action: 'stage',
    subjectId: 'b'.repeat(64),
    name: 'web',
    source: 'dhcp',
    attributes: { stage: 'dhcp', machine: 'rack1-07' },
    ...over,
  })
  api.on(
    'GET /v1/events',
    sse(
      ['event', event({})],
      ['event', event({ id: 2, kind: 'machine', action: 'power-on', name: 'm2', subjectId: 'm' })],
    ),
  )
  const all = await run(api, ['events', '--since', '1h', '--until', '0s'], { nowMs: NOW_MS })
  assert.equal(
    all.stdout.split('\n')[0],
    `2026-11-21T06:00:00.000000000Z container stage ${'b'.repeat(64)} (stage=dhcp, machine=rack1-07, name=web, source=dhcp)`,
  )
  assert.equal(api.requests[0]!.query.get('follow'), 'false')
  const filtered = await run(api, ['events', '--until', '1s', '-f', 'type=machine', '--format', 'json'], {
    nowMs: NOW_MS + 2000,
  })
  assert.deepEqual(JSON.parse(filtered.stdout).name, 'm2')
  assert.equal((await run(api, ['events', '-f', 'colour=red'])).code, 2)
})

test('pull, import, images, image rm, tree, diff and tag', async () => {
  await using api = await startFakeApi()
  const image = anImage({})
  api.on(
    'POST /v1/images/pull',
    sse(
      ['progress', { step: 'aaa', status: 'downloading', currentBytes: 1, totalBytes: 2000 }],
      ['progress', { step: 'aaa', status: 'done' }],
      ['done', image],
    ),
  )
  const pulled = await run(api, ['pull', '--platform', 'linux/arm64', 'a/b:1'])
  assert.deepEqual([pulled.stdout, pulled.stderr, pulled.code], ['a/b:1\n', 'aaa: downloading (2kB)\naaa: done\n', 0])
  assert.deepEqual(api.requests[0]!.json(), { reference: 'a/b:1', platform: 'linux/arm64' })
  api.on(
    'POST /v1/images/pull',
    sse(['error', { error: { code: 'not_found', message: 'Cannot pull "x": manifest unknown' } }]),
  )
  const failed = await run(api, ['pull', 'x'])
  assert.deepEqual([failed.stderr, failed.code], ['bareboat: Cannot pull "x": manifest unknown\n', 4])
  api.on('POST /v1/images/import', ({ body }) => sse(['done', { ...image, id: `sha256:${body.length}` }]))
  assert.equal((await run(api, ['import', '-', 'x:1'], { input: 'abc' })).stdout, 'sha256:3\n')
  await run(api, ['import', 'https://example.com/a.tar'])
  assert.deepEqual(api.requests.at(-1)!.json(), { url: 'https://example.com/a.tar' })
  assert.match(
    (await run(api, ['import', '/nonexistent'])).stderr,
    /Cannot import "\/nonexistent": there is no such file/,
  )
  api.on('GET /v1/images', { json: { images: [image, anImage({ id: `sha256:${'d'.repeat(64)}`, references: [] })] } })
  const listed = await run(api, ['images'], { nowMs: NOW_MS })
  assert.equal(
    listed.stdout,
    [
      'REPOSITORY   TAG       IMAGE ID       CREATED       SIZE',
      'a/b          1         cccccccccccc   2 hours ago   7.8MB',
      'alpine       3.20      cccccccccccc   2 hours ago   7.8MB',
      '<none>       <none>    dddddddddddd   2 hours ago   7.8MB',
      '',
    ].join('\n'),
  )
  assert.equal((await run(api, ['images', 'a/*', '-q'])).stdout, 'cccccccccccc\n')
  api.on('DELETE /v1/images', { json: { untagged: ['a/b:1'], deleted: ['sha256:1'] } })
  assert.equal((await run(api, ['image', 'rm', 'a/b:1'])).stdout, 'Untagged: a/b:1\nDeleted: sha256:1\n')
  api.on('GET /v1/images/diff', { json: { changes: [{ path: '/etc/\u001b[31mx', kind: 'changed', what: 'size' }] } })
  assert.equal((await run(api, ['image', 'diff', 'a', 'b'])).stdout, 'C /etc/?[31mx (size)\n')
  const entry = {
    path: '/bin/su',
    type: 'file',
    mode: 0o4755,
    uid: 0,
    gid: 0,
    sizeBytes: 7,
    mtime: 0,
    links: 1,
    xattrs: [],
    layer: 1,
  }
  api.on('GET /v1/images/tree', { json: { entries: [entry] } })
  assert.equal(
    (await run(api, ['image', 'tree', 'a'])).stdout,
    '-rwsr-xr-x  0:0  7  1970-01-01 00:00  layer 1  /bin/su\n',
  )
})

test('image export writes the whole file or none', async () => {
  await using api = await startFakeApi()
  const folder = mkdtempSync(join(tmpdir(), 'cli-export-'))
  using _folder = { [Symbol.dispose]: () => rmSync(folder, { recursive: true }) }
  api.on('GET /v1/images/export', { body: 'archive' })
  assert.equal((await run(api, ['image', 'export', '-o', 'x.tar', 'a'], { cwd: folder })).code, 0)
  assert.equal(readFileSync(join(folder, 'x.tar'), 'utf8'), 'archive')
  assert.equal((await run(api, ['image', 'export', 'a'])).stdout, 'archive')
  api.on('GET /v1/images/export', {
    stream: (response) => {
      response.write('half')
      setTimeout(() => response.destroy(), 20)
    },
  })
  const broken = await run(api, ['image', 'export', '-o', 'y.tar', 'a'], { cwd: folder })
  const terminal = await run(api, ['image', 'export', 'a', '-o', '-'], { isTty: true })
  assert.equal(terminal.code, 2)
  assert.match(terminal.stderr, /standard output is a terminal/)
  assert.notEqual(broken.code, 0)
  assert.throws(() => readFileSync(join(folder, 'y.tar')), /ENOENT/)
})

test('image export tells the format by the name, and puts digests and packages beside a tar.lz4', async () => {
  await using api = await startFakeApi()
  const folder = mkdtempSync(join(tmpdir(), 'cli-export-'))
  using _folder = { [Symbol.dispose]: () => rmSync(folder, { recursive: true }) }
  const text = (name: string): string => readFileSync(join(folder, name), 'utf8')
  api.on('GET /v1/images/export', { body: 'abc' })
  api.on('GET /v1/images/packages', { body: 'ii  base-files\n' })
  const ran = await run(api, ['image', 'export', '--json', '-o', 'img.tar.lz4', 'a'], { cwd: folder })
  assert.equal(api.requests[0]!.query.get('format'), 'tar.lz4')
  assert.equal(text('img.tar.lz4'), 'abc')
  assert.equal(text('img.tar.lz4.md5'), '900150983cd24fb0d6963f7d28e17f72  img.tar.lz4\n')
  const sha256 = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
  assert.equal(text('img.tar.lz4.sha256'), `${sha256}  img.tar.lz4\n`)
  assert.equal(text('packages.txt'), 'ii  base-files\n')
  assert.equal(JSON.parse(ran.stdout).files.length, 4)
  api.on('GET /v1/images/packages', failure(404, 'not_found', 'Cannot list the packages of image "a": it has none'))
  const bare = await run(api, ['image', 'export', '-o', 'b.tar.lz4', 'a'], { cwd: folder })
  assert.deepEqual(
    [bare.code, bare.stderr],
    [0, 'bareboat: no packages.txt: Cannot list the packages of image "a": it has none\n'],
  )
  const odd = await run(api, ['image', 'export', '--format', 'rar', 'a'])
  assert.match(odd.stderr, /Cannot use --format "rar": it is not tar, tar.gz/)
  const nowhere = await run(api, ['image', 'export', '--format', 'dir', 'a'])
  assert.match(nowhere.stderr, /--format dir needs -o DIRECTORY/)
})

test('export writes the root of a container, packed as the name says', async () => {
  await using api = await startFakeApi()
  const folder = mkdtempSync(join(tmpdir(), 'cli-export-'))
  using _folder = { [Symbol.dispose]: () => rmSync(folder, { recursive: true }) }
  api.on('GET /v1/containers/:id/export', { body: 'root' })
  const ran = await run(api, ['export', '--json', '-o', 'r.tar.gz', 'web'], { cwd: folder })
  assert.deepEqual(JSON.parse(ran.stdout), { path: join(folder, 'r.tar.gz'), sizeBytes: 4, format: 'tar.gz' })
  assert.equal(readFileSync(join(folder, 'r.tar.gz'), 'utf8'), 'root')
  assert.equal((await run(api, ['export', 'web'])).stdout, 'root')
  assert.deepEqual(
    api.requests.map(({ path, query }) => `${path} ${query.get('format')}`),
    ['/v1/containers/web/export tar.gz', '/v1/containers/web/export tar'],
  )
  const terminal = await run(api, ['export', 'web'], { isTty: true })
  assert.match(terminal.stderr, /Cannot export "web": standard output is a terminal/)
  api.on(
    'GET /v1/containers/:id/export',
    failure(409, 'conflict', 'Cannot export container "web": it is exited, not running'),
  )
  const over = await run(api, ['export', '-o', 'x.tar', 'web'], { cwd: folder })
  assert.deepEqual(
    [over.code, over.stderr],
    [5, 'bareboat: Cannot export container "web": it is exited, not running\n'],
  )
})

test('commit asks for an image and prints its id', async () => {
  await using api = await startFakeApi()
  api.on(
    'POST /v1/containers/:id/commit',
    sse(['progress', { step: 'changes', status: 'downloading', currentBytes: 5 }], ['done', anImage({})]),
  )
  const ran = await run(api, ['commit', '-a', 'me', '-m', 'why', '-c', 'USER 5', '-c', 'CMD ["a"]', 'web', 'my/web:2'])
  assert.equal(ran.stdout, `${anImage({}).id}\n`)
  assert.deepEqual(api.requests[0]!.json(), {
    reference: 'my/web:2',
    author: 'me',
    message: 'why',
    changes: ['USER 5', 'CMD ["a"]'],
  })
  await run(api, ['commit', 'web'])
  assert.deepEqual(api.requests[1]!.json(), { changes: [] })
})

test('machine add takes the password from anywhere but the command line', async () => {
  await using api = await startFakeApi()
  const folder = mkdtempSync(join(tmpdir(), 'cli-machine-'))
  using _folder = { [Symbol.dispose]: () => rmSync(folder, { recursive: true }) }
  writeFileSync(join(folder, 'pw'), 's3cret\nmore\n')
  api.on('POST /v1/machines', { status: 201, json: aMachine({}) })
  const base = [
    'machine',
    'add',
    'm1',
    '--mac',
    '52:54:00:12:34:56',
    '--bmc',
    'ipmi://admin@10.0.0.1',
    '--group',
    'g',
    '--rank',
    '3',
  ]
  const sent = () => (api.requests.at(-1)!.json() as { bmcPassword?: string }).bmcPassword
  assert.equal((await run(api, [...base, '--bmc-password-file', 'pw'], { cwd: folder })).stdout, 'rack1-07\n')
  assert.deepEqual(api.requests[0]!.json(), {
    name: 'm1',
    macs: ['52:54:00:12:34:56'],
    bmc: 'ipmi://admin@10.0.0.1',
    rank: 3,
    groups: ['g'],
    bmcPassword: 's3cret',
  })
  await run(api, base, { env: { BAREBOAT_BMC_PASSWORD: 'envpw' } })
  assert.equal(sent(), 'envpw')
  const asked = await run(api, base, { isTty: true, input: 'pwx\u007f1\r' })
  assert.equal(sent(), 'pw1')
  assert.equal(asked.stderr, 'password of ipmi://admin@10.0.0.1: \n')
  assert.equal(asked.terminal.stdin.isRaw, false)
  const count = api.requests.length
  const refused = await run(api, ['machine', 'add', 'm1', '--mac', 'x', '--bmc', 'ipmi://admin:hunter2@10.0.0.1'])
  assert.equal(refused.code, 2)
  assert.match(refused.stderr, /it has a password in it/)
  assert.doesNotMatch(refused.stderr, /hunter2/)
  const missing = await run(api, base)
  assert.match(missing.stderr, /its password is missing; give --bmc-password-file FILE or set BAREBOAT_BMC_PASSWORD/)
  assert.equal(api.requests.length, count)
})

test('machine ls, set and power', async () => {
  await using api = await startFakeApi()
  api.on('GET /v1/machines', {
    json: { machines: [aMachine({ name: 'm10' }), aMachine({ name: 'm2', containerId: 'b'.repeat(64) })] },
  })
  assert.equal(
    (await run(api, ['machine', 'ls'])).stdout,
    [
      'NAME      STATUS                  ARCH      RANK      GROUPS    MAC                 IP         BMC',
      'm2        in use (bbbbbbbbbbbb)   amd64     0         rack1     52:54:00:12:34:56   10.0.0.7   ipmi://admin@10.0.3.7',
      'm10       free                    amd64     0         rack1     52:54:00:12:34:56   10.0.0.7   ipmi://admin@10.0.3.7',
      '',
    ].join('\n'),
  )
  api.on('PATCH /v1/machines/:name', { json: aMachine({}) })
  await run(api, ['machine', 'set', 'm2', '--disable', '-l', 'a=b'])
  assert.deepEqual(api.requests.at(-1)!.json(), { labels: { a: 'b' }, enabled: false })
  assert.equal((await run(api, ['machine', 'set', 'm2'])).code, 2)
  api.on('GET /v1/machines/:name/power', { json: { state: 'off' } })
  api.on('POST /v1/machines/:name/power', { json: { state: 'on' } })
  assert.equal((await run(api, ['machine', 'power', 'm2'])).stdout, 'off\n')
  assert.equal((await run(api, ['machine', 'power', 'm2', 'cycle'])).stdout, 'on\n')
  assert.deepEqual(api.requests.at(-1)!.json(), { action: 'cycle' })
})

test('machine power of several: an action before or after them, a line for each, and errors that stop nobody else', async () => {
  await using api = await startFakeApi()
  api.on('POST /v1/machines/:name/power', ({ path }) =>
    path.includes('/m2/') ? failure(502, 'unreachable', 'Cannot reach BMC "b"') : { json: { state: 'on' } },
  )
  api.on('GET /v1/machines/:name/power', { json: { state: 'off' } })
  const on = await run(api, ['machine', 'power', 'on', 'm1', 'm2', 'm3'])
  assert.deepEqual(on.stdout.trim().split('\n').toSorted(), ['m1: on', 'm3: on'])
  assert.match(on.stderr, /Cannot reach BMC "b"/)
  assert.equal(on.code, 6)
  const json = JSON.parse((await run(api, ['machine', 'power', 'm1', 'm2', 'cycle', '--json'])).stdout) as object[]
  assert.deepEqual(json.length, 2)
  assert.deepEqual(api.requests.at(-1)!.json(), { action: 'cycle' })
  assert.equal((await run(api, ['machine', 'power', 'm1', 'm2'])).stdout.split('\n').length, 3)
  const none = await run(api, ['machine', 'power', 'on'])
  assert.deepEqual([none.code, none.stderr.includes('no machine is named')], [2, true])
})

test('machine bmc: sensors, fru, sel, users, identify, check and info', async () => {
  await using api = await startFakeApi()
  const at = '/v1/machines/:name/bmc'
  const inlet = { name: 'Inlet', type: 'Temperature', value: 38.5, unit: 'degrees C', status: 'warning', states: [] }
  const absent = { name: 'PS2', type: 'Power Supply', status: 'unavailable', states: [], thresholds: {} }
  api.on(`GET ${at}/sensors`, { json: { sensors: [{ ...inlet, thresholds: { upperNonCritical: 35 } }, absent] } })
  const out = async (...argv: string[]) => (await run(api, ['machine', 'bmc', ...argv])).stdout
  assert.match(await out('sensors', 'm1'), /^Inlet +Temperature +38.5 degrees C +warning +\.\.35\n$/m)
  assert.doesNotMatch(await out('sensors', 'm1'), /PS2/)
  assert.match(await out('sdr', '-a', 'm1'), /^PS2 +Power Supply +unavailable\n$/m)
  api.on(`GET ${at}/fru`, {
    json: {
      frus: [
        { id: 0, name: 'built in', board: { serial: 'B1\u001b[2J', madeAt: NOW_MS, custom: ['x'] }, problems: ['no'] },
      ],
    },
  })
  assert.equal(
    await out('fru', 'm1'),
    'FRU 0: built in\n Board serial         : B1?[2J\n Board made on        : 2026-11-21\n Board extra          : x\n ! no\n',
  )
  const entry = { id: 7, at: NOW_MS, sensor: 'Inlet', type: 'Temperature', event: 'Upper Critical going high' }
  api.on(`GET ${at}/sel`, {
    json: {
      entries: [{ ...entry, isAsserted: false, value: 46, threshold: 45, unit: 'degrees C' }],
      hasOverflowed: true,
    },
  })
  api.on(`DELETE ${at}/sel`, { status: 204 })
  const sel = await run(api, ['machine', 'bmc', 'sel', '--clear', 'm1'])
  assert.match(
    sel.stdout,
    /^7 +2026-11-21T06:00:00Z +Inlet +Temperature +Upper Critical going high \(ended\), 46 degrees C, threshold 45 degrees C$/m,
  )
  assert.match(sel.stderr, /entries are missing/)
  assert.equal(api.requests.at(-1)!.method, 'DELETE')
  api.on(`GET ${at}/users`, { json: { users: [{ id: 1, name: '', privilege: 'user' }] } })
  assert.match(await out('users', 'm1'), /^1 +\(null user\) +unknown +user$/m)
  api.on(`POST ${at}/identify`, { status: 204 })
  for (const [words, body] of [
    [[], { seconds: 60 }],
    [['off'], { seconds: 0 }],
    [['on'], {}],
  ] as const) {
    await out('identify', 'm1', ...words)
    assert.deepEqual(api.requests.at(-1)!.json(), body)
  }
  assert.equal((await run(api, ['machine', 'bmc', 'identify', 'm1', '256'])).code, 2)
  const finding = { finding: 'short-password', severity: 'warning', message: 'it is short', help: 'set M longer' }
  api.on(`GET ${at}/check`, { json: { findings: [finding] } })
  assert.equal(await out('check', 'm1'), 'warning short-password: it is short\n  set m1 longer\n')
  api.on(`GET ${at}/check`, { json: { findings: [] } })
  assert.equal(await out('check', 'm1'), 'no findings\n')
  const power = { currentWatts: 180, averageWatts: 150, minimumWatts: 10, maximumWatts: 300, periodSeconds: 1 }
  api.on(`GET ${at}`, { json: { address: '10.0.3.7:623', protocol: 'IPMI 2.0', can: ['power'], power } })
  assert.match(await out('info', 'm1'), /^Power average: +150 W \(10 to 300 W\) over 1 s$/m)
})

test('top, rename, info, config show, version, kit ls', async () => {
  await using api = await startFakeApi()
  api.on('GET /v1/containers/:id/top', { json: { titles: ['PID', 'CMD'], processes: [['1', 'nginx']] } })
  assert.equal((await run(api, ['top', 'web'])).stdout, 'PID       CMD\n1         nginx\n')
  api.on('POST /v1/containers/:id/rename', { json: aContainer({ name: 'new' }) })
  assert.equal((await run(api, ['rename', 'web', 'new'])).stdout, '')
  api.on('GET /v1/config', { json: { entries: [{ key: 'lease', value: '20m', origin: 'file' }] } })
  assert.equal((await run(api, ['config', 'show'])).stdout, 'KEY       VALUE     ORIGIN\nlease     20m       file\n')
  api.on('GET /v1/system', {
    json: {
      version: '9.9.9',
      isReady: true,
      node: '26',
      dataDir: '/d',
      machines: 1,
      containers: 2,
      images: 3,
      problems: ['no kit'],
    },
  })
  assert.match((await run(api, ['info'])).stdout, /Machines:\s+1\n.*Problems:\s+1\n {2}no kit\n/s)
  assert.match((await run(api, ['version'])).stdout, /Client: .*\nServer: {2}9\.9\.9 /)
  const alone = await run(undefined, ['version'], { env: { BAREBOAT_HOST: 'unix:///nowhere' } })
  assert.match(alone.stdout, /^Client:/)
  assert.equal(alone.code, 6)
  api.on('GET /v1/kits', {
    json: {
      kits: [
        {
          digest: `sha256:${'e'.repeat(64)}`,
          isDefault: true,
          arch: 'amd64',
          kernelVersion: '6.12',
          sizeBytes: 5e7,
          createdAt: NOW_MS - HOUR_MS,
          packages: [],
          files: [],
        },
      ],
      imported: [],
    },
  })
  assert.equal(
    (await run(api, ['kit', 'ls'], { nowMs: NOW_MS })).stdout,
    'DIGEST         KIND      NAME        WHAT               CREATED             SIZE\neeeeeeeeeeee   kit       (default)   amd64 Linux 6.12   About an hour ago   50MB\n',
  )
})

test('a token goes in the header only, and an address with a credential is refused without showing it', async () => {
  const ran = await run(undefined, ['--host', 'http://user:hunter2@h:1', 'ps'])
  assert.equal(ran.code, 2)
  assert.doesNotMatch(ran.stderr, /hunter2/)
})

test('run --fstype takes the names of the Bare Metal Container manual', async () => {
  await using api = await startFakeApi()
  api.on('POST /v1/containers', { status: 201, json: aContainer({}) })
  const asked = async (...flags: string[]) => {
    const ran = await run(api, ['run', '-d', ...flags, 'alpine'])
    return { ...ran, request: api.requests.at(-1)?.json() as Record<string, unknown> | undefined }
  }
  assert.equal((await asked('--fstype=ramfs')).request?.['rootfs'], 'ram')
  assert.equal((await asked('--fstype', 'ramfs', '--rootfs', 'ram')).code, 0)
  const conflicting = await asked('--fstype', 'nfs', '--rootfs', 'ram')
  assert.equal(conflicting.stderr, 'bareboat: Cannot use both --fstype nfs and --rootfs ram: conflicting options\n')
  const trusted = await asked('--fstype', 's-ramfs')
  assert.match(trusted.stderr, /machines do not prove with their TPM what they have booted yet/)
  assert.equal(trusted.code, 125)
  assert.match((await asked('--fstype', 'tmpfs')).stderr, /it is not nfs, ramfs, s-ramfs or isofs/)
  assert.equal((await asked('--reset-atime')).request?.['resetAtime'], true)
})
