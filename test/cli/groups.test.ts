/** discover static, machine export and group against a fake server. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { TUTORIAL_NODES } from '../../src/formats/nodes/sample.ts'
import type { StaticReport } from '../../src/model/nodes.ts'
import { failure, startFakeApi } from '../fakes/api-server.ts'
import { run } from '../fakes/terminal.ts'
import { aMachine } from '../fakes/things.ts'

const REPORT: StaticReport = {
  dryRun: false,
  machines: [
    { line: 1, name: 'node01', action: 'added', changes: [] },
    {
      line: 9,
      name: 'node02',
      action: 'changed',
      changes: [
        { field: 'nid', before: '', after: '2' },
        { field: 'groups', before: 'a', after: 'a,b' },
      ],
    },
    { line: 20, name: 'node03', action: 'unchanged', changes: [] },
  ],
  warnings: [{ line: 4, text: 'a node has the unknown field "x\u001b"' }],
}

test('discover static: a file, data, @FILE and standard input are sent as they are', async () => {
  await using api = await startFakeApi()
  const folder = mkdtempSync(join(tmpdir(), 'cli-discover-'))
  using _folder = { [Symbol.dispose]: () => rmSync(folder, { recursive: true }) }
  writeFileSync(join(folder, 'nodes.yaml'), TUTORIAL_NODES)
  api.on('POST /v1/discover/static', { json: REPORT })
  const rows: { argv: string[]; source: string; input?: string; query?: Record<string, string> }[] = [
    { argv: ['-f', 'nodes.yaml'], source: 'nodes.yaml' },
    { argv: ['-f', 'yaml', '-d', '@nodes.yaml', '--overwrite'], source: 'nodes.yaml', query: { overwrite: 'true' } },
    { argv: ['-d', '@-', '--dry-run'], source: 'standard input', input: TUTORIAL_NODES, query: { dryRun: 'true' } },
    { argv: ['-f', '-'], source: 'standard input', input: TUTORIAL_NODES },
    { argv: ['-f', 'json-pretty', '-d', TUTORIAL_NODES], source: 'data' },
  ]
  for (const { argv, source, input, query = {} } of rows) {
    const ran = await run(api, ['discover', 'static', ...argv], {
      cwd: folder,
      ...(input === undefined ? {} : { input }),
    })
    assert.equal(ran.code, 0, ran.stderr)
    const asked = api.requests.at(-1)!
    assert.equal(asked.body.toString(), TUTORIAL_NODES)
    assert.deepEqual(Object.fromEntries(asked.query), { source, ...query })
  }
})

test('discover static says what was done, and warns on stderr with file and line', async () => {
  await using api = await startFakeApi()
  api.on('POST /v1/discover/static', { json: REPORT })
  const ran = await run(api, ['discover', 'static', '-d', TUTORIAL_NODES])
  assert.equal(ran.stdout, 'node01    added\nnode02    changed     nid: - → 2, groups: a → a,b\nnode03    unchanged\n')
  assert.equal(ran.stderr, 'bareboat: warning: data line 4: a node has the unknown field "x?"\n')
  assert.deepEqual(JSON.parse((await run(api, ['discover', 'static', '-d', 'x', '--json'])).stdout), REPORT)
  api.on('POST /v1/discover/static', { json: { ...REPORT, dryRun: true } })
  const dry = await run(api, ['discover', 'static', '-d', 'x', '--dry-run'])
  assert.match(dry.stdout, /^node01 +would be added\nnode02 +would be changed .*\nnode03 +unchanged\n$/)
})

test('discover static: what is wrong is told, with its exit code', async () => {
  await using api = await startFakeApi()
  const said = 'Cannot use "data":\n  line 3: MAC "02:00:00:00:00:01" of node "b" is that of node "a" on line 1 already'
  api.on('POST /v1/discover/static', failure(422, 'invalid', said))
  const rows: [argv: string[], code: number, says: RegExp][] = [
    [['-d', 'x'], 2, /^bareboat: Cannot use "data":\n {2}line 3: MAC .* on line 1 already\n$/],
    [[], 2, /no file was named; give -f FILE, or -d @FILE/],
    [['-f', 'toml', '-d', '@x'], 2, /Cannot use -f beside -d "toml": it is not json, json-pretty, yaml/],
    [['-f', '/nowhere/nodes.yaml'], 2, /Cannot discover from "\/nowhere\/nodes.yaml": there is no such file/],
    [['-f', '/'], 2, /Cannot discover from "\/": it is a directory/],
  ]
  for (const [argv, code, says] of rows) {
    const ran = await run(api, ['discover', 'static', ...argv])
    assert.equal(ran.code, code)
    assert.match(ran.stderr, says)
  }
})

test('machine export prints the file as the server gives it', async () => {
  await using api = await startFakeApi()
  api.on('GET /v1/discover/static', { body: TUTORIAL_NODES })
  assert.equal((await run(api, ['machine', 'export'])).stdout, TUTORIAL_NODES)
  await run(api, ['machine', 'export', '-f', 'json', 'node01', 'nid:2'])
  const { query } = api.requests.at(-1)!
  assert.deepEqual([query.getAll('machine'), query.get('format')], [['node01', 'nid:2'], 'json'])
  assert.match((await run(api, ['machine', 'export', '-f', 'xml'])).stderr, /"xml": it is not yaml, json/)
})

test('group: create, ls, add, rm, delete', async () => {
  await using api = await startFakeApi()
  const group = { name: 'compute', description: 'of all', machines: ['n1', 'n2'] }
  api.on('GET /v1/groups', { json: { groups: [group, { name: 'empty', description: '', machines: [] }] } })
  api.on('POST /v1/groups', { status: 201, json: group })
  api.on('PATCH /v1/groups/:name', { json: group })
  api.on('DELETE /v1/groups/:name', { json: group })
  assert.equal(
    (await run(api, ['group', 'ls'])).stdout,
    'NAME      COUNT     MACHINES   DESCRIPTION\ncompute   2         n1,n2      of all\nempty     0\n',
  )
  assert.equal((await run(api, ['group', 'ls', '-q'])).stdout, 'compute\nempty\n')
  const sent = async (...argv: string[]) => {
    const ran = await run(api, ['group', ...argv])
    assert.deepEqual([ran.code, ran.stdout], [0, 'compute\n'], ran.stderr)
    const { method, path, body } = api.requests.at(-1)!
    return [method, path, body.length === 0 ? undefined : (JSON.parse(body.toString()) as unknown)]
  }
  assert.deepEqual(await sent('create', 'compute', 'n1', '--description', 'of all'), [
    'POST',
    '/v1/groups',
    { name: 'compute', machines: ['n1'], description: 'of all' },
  ])
  assert.deepEqual(await sent('add', 'compute', 'n1', 'nid:2'), [
    'PATCH',
    '/v1/groups/compute',
    { add: ['n1', 'nid:2'] },
  ])
  assert.deepEqual(await sent('rm', 'compute', 'n1'), ['PATCH', '/v1/groups/compute', { remove: ['n1'] }])
  assert.deepEqual(await sent('delete', 'compute'), ['DELETE', '/v1/groups/compute', undefined])
})

test('machine set and ls know xname, nid and role', async () => {
  await using api = await startFakeApi()
  const machine = aMachine({ xname: 'x1000c1s7b0n0', nid: 7, role: 'Service' })
  api.on('PATCH /v1/machines/:name', { json: machine })
  api.on('GET /v1/machines', { json: { machines: [machine, aMachine({ name: 'other' })] } })
  await run(api, ['machine', 'set', 'm1', '--xname', 'x1000c1s7b0n0', '--nid', '7', '--role', 'Service'])
  assert.deepEqual(api.requests[0]!.json(), { xname: 'x1000c1s7b0n0', nid: 7, role: 'Service' })
  const ran = await run(api, ['machine', 'ls', '--format', '{{.Name}} {{.Xname}} {{.Nid}} {{.Role}}'])
  assert.equal(ran.stdout, 'other   Compute\nrack1-07 x1000c1s7b0n0 7 Service\n')
  assert.match((await run(api, ['machine', 'set', 'm1', '--role', 'x'])).stderr, /"x": it is not Compute, Service/)
})
