/** `system df|prune` against a fake server: what is printed, what is asked, and when the person is asked first. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CheckReport, PruneReport, StoreUsage } from '../../src/model/store.ts'
import { sse, startFakeApi } from '../fakes/api-server.ts'
import { fakeTerminal, run } from '../fakes/terminal.ts'
import { runCli } from '../../src/cli/program.ts'
import { HOUR_MS, NOW_MS } from '../fakes/things.ts'

const ID = `sha256:${'c'.repeat(64)}`
const usage: StoreUsage = {
  rows: [
    { kind: 'images', total: 5, active: 2, sizeBytes: 16_430_000, reclaimableBytes: 11_630_000 },
    { kind: 'containers', total: 2, active: 0, sizeBytes: 212, reclaimableBytes: 212 },
    { kind: 'uploads', total: 0, active: 0, sizeBytes: 0, reclaimableBytes: 0 },
  ],
  disk: { sizeBytes: 500e9, freeBytes: 123.4e9 },
  images: [
    {
      id: ID,
      references: ['docker.io/library/alpine:3.20'],
      createdAt: NOW_MS - 2 * HOUR_MS,
      sizeBytes: 7_800_000,
      sharedBytes: 7_000_000,
      uniqueBytes: 800_000,
      containers: 1,
    },
    { id: ID.replaceAll('c', 'd'), references: [], sizeBytes: 10, sharedBytes: 0, uniqueBytes: 10, containers: 0 },
  ],
  layers: [{ diffId: ID.replaceAll('c', 'e'), sizeBytes: 7_000_000, images: 2, isRotten: true }],
  containers: [],
  kits: [],
  bootFiles: [],
  devices: [],
  squashfs: [],
  transfers: [
    { digest: ID.replaceAll('c', 'f'), changedAt: NOW_MS - HOUR_MS, isUnderWay: false, sizeBytes: 3_000_000 },
  ],
}

test('system df prints the table of docker; -v prints one by one what there is', async () => {
  await using api = await startFakeApi()
  api.on('GET /v1/system/df', { json: usage })
  const out = async (...argv: string[]) => (await run(api, ['system', 'df', ...argv], { nowMs: NOW_MS })).stdout
  assert.equal(
    await out(),
    [
      'TYPE         TOTAL     ACTIVE    SIZE      RECLAIMABLE',
      'Images       5         2         16.43MB   11.63MB (70%)',
      'Containers   2         0         212B      212B (100%)',
      'Uploads      0         0         0B        0B',
      '',
    ].join('\n'),
  )
  assert.equal(
    await out('-v'),
    [
      'Images:',
      '',
      'REPOSITORY   TAG       IMAGE ID       CREATED       SIZE      SHARED SIZE   UNIQUE SIZE   CONTAINERS',
      'alpine       3.20      cccccccccccc   2 hours ago   7.8MB     7MB           800kB         1',
      '<none>       <none>    dddddddddddd   N/A           10B       0B            10B           0',
      '',
      'Layers:',
      '',
      'LAYER          SIZE      IMAGES    STATE',
      'eeeeeeeeeeee   7MB       2         rotten',
      '',
      'Unfinished pulls:',
      '',
      'LAYER          LAST                STATE        SIZE',
      'ffffffffffff   About an hour ago   broken off   3MB',
      '',
      'Disk: 123.4GB free of 500GB',
      '',
    ].join('\n'),
  )
  assert.equal(
    await out('--format', '{{.Type}} {{.Reclaimable}}'),
    'Images 11.63MB (70%)\nContainers 212B (100%)\nUploads 0B\n',
  )
  assert.deepEqual(JSON.parse(await out('--json')), usage)
  assert.equal((await run(api, ['system', 'df', '-v', '--format', 'x'])).code, 2)
})

const items: PruneReport['items'] = [
  { kind: 'container', id: 'b'.repeat(64), names: ['web'], sizeBytes: 212 },
  { kind: 'image', id: ID, names: [], sizeBytes: 0 },
  { kind: 'layer', id: ID.replaceAll('c', 'e'), names: [], sizeBytes: 7_000_000 },
]

test('system prune tells what will go and asks; only a yes removes', async () => {
  await using api = await startFakeApi()
  api.on('POST /v1/system/prune', ({ json }) => {
    const { dryRun } = json() as { dryRun: boolean }
    return { json: { dryRun, items, reclaimedBytes: 7_000_212 } }
  })
  const answered = async (answer: string) => {
    const terminal = fakeTerminal(api, { isTty: true, nowMs: NOW_MS, input: answer })
    const before = api.requests.length
    const code = await runCli(['system', 'prune'], terminal.io)
    const asked = api.requests.slice(before).map(({ json }) => (json() as { dryRun: boolean }).dryRun)
    return { code, asked, stdout: terminal.stdout(), stderr: terminal.stderr() }
  }
  const yes = await answered('y\n')
  assert.deepEqual([yes.code, yes.asked], [0, [true, false]])
  assert.equal(
    yes.stderr,
    [
      'WARNING! This will remove:',
      '  - 1 container that has ended, with its logs and root',
      '  - 1 image without a name that no container uses',
      '  - 1 layer',
      '  7MB in all',
      'Are you sure you want to continue? [y/N] ',
    ].join('\n'),
  )
  assert.equal(
    yes.stdout,
    [
      'KIND        ID             SIZE      NAMES',
      'container   bbbbbbbbbbbb   212B      web',
      'image       cccccccccccc',
      'layer       eeeeeeeeeeee   7MB',
      '',
      'Total reclaimed space: 7MB',
      '',
    ].join('\n'),
  )
  for (const answer of ['n\n', '\n', ''])
    assert.deepEqual(await answered(answer).then(({ code, asked, stdout }) => [code, asked, stdout]), [0, [true], ''])
})

test('system prune without a terminal needs --force; --dry-run removes nothing; filters are read', async () => {
  await using api = await startFakeApi()
  api.on('POST /v1/system/prune', ({ json }) => ({
    json: { dryRun: (json() as { dryRun: boolean }).dryRun, items, reclaimedBytes: 7_000_212 },
  }))
  const refused = await run(api, ['system', 'prune'])
  assert.equal(refused.code, 2)
  assert.match(
    refused.stderr,
    /Cannot ask whether to prune the store: standard input is not a terminal; use --force\n$/,
  )
  assert.equal(api.requests.length, 1)
  const dry = await run(api, ['system', 'prune', '--dry-run', '--all'])
  assert.match(dry.stdout, /\nWould reclaim: 7MB\n$/)
  assert.deepEqual(api.requests.at(-1)!.json(), { all: true, dryRun: true, labels: [], notLabels: [] })
  const filters = ['--filter', 'until=24h', '--filter', 'label=tier=front', '--filter', 'label!=keep']
  const forced = await run(api, ['system', 'prune', '-f', '--json', ...filters], { nowMs: NOW_MS })
  assert.equal((JSON.parse(forced.stdout) as PruneReport).reclaimedBytes, 7_000_212)
  assert.deepEqual(api.requests.at(-1)!.json(), {
    all: false,
    dryRun: false,
    labels: ['tier=front'],
    notLabels: ['keep'],
    until: NOW_MS - 24 * HOUR_MS,
  })
  for (const filter of ['dangling=true', 'label=', 'until', 'until=soon'])
    assert.equal((await run(api, ['system', 'prune', '-f', '--filter', filter])).code, 2, filter)
})

const finding: CheckReport['findings'][number] = {
  kind: 'layer',
  id: ID,
  images: ['docker.io/library/alpine:3.20'],
  why: 'its digest is another',
  ranges: [{ from: 4096, to: 8192 }],
  state: 'found',
}

test('system check prints what is wrong and ends with 5 unless all was repaired', async () => {
  await using api = await startFakeApi()
  const report = { images: 2, layers: 3, devices: 1, sizeBytes: 7_000_000, findings: [] as CheckReport['findings'] }
  const check = async (findings: CheckReport['findings'], ...argv: string[]) => {
    const progress = { step: ID, status: 'reading', currentBytes: 1, totalBytes: 2 }
    api.on('POST /v1/system/check', sse(['progress', progress], ['done', { ...report, findings }]))
    return run(api, ['system', 'check', ...argv])
  }
  const good = await check([])
  assert.deepEqual(
    [good.code, good.stdout, good.stderr],
    [0, 'Checked 3 layers (7MB), 2 images, 1 device maps: all is as it should be\n', 'cccccccccccc: reading (2B)\n'],
  )
  assert.deepEqual(api.requests.at(-1)!.json(), { repair: false })
  const found = await check([finding], '-q')
  assert.deepEqual(
    [found.code, found.stdout, found.stderr],
    [
      5,
      [
        `layer ${ID}: its digest is another`,
        '  of docker.io/library/alpine:3.20',
        '  bytes 4096-8191',
        'Checked 3 layers (7MB), 2 images, 1 device maps: 1 wrong',
        '',
      ].join('\n'),
      'bareboat: Cannot vouch for the store: 1 thing is wrong; "bareboat system check --repair" fetches or makes it again\n',
    ],
  )
  const repaired = await check(
    [{ ...finding, state: 'repaired', note: 'fetched again' }],
    '--repair',
    '--rate',
    '1.5MB',
  )
  assert.equal(repaired.code, 0)
  assert.match(repaired.stdout, /\n {2}repaired: fetched again\n/)
  assert.deepEqual(api.requests.at(-1)!.json(), { repair: true, bytesPerSecond: 1_500_000 })
  const failed = await check([{ ...finding, state: 'failed', note: 'no registry' }], '--repair', '--json', '-q')
  assert.equal(failed.code, 5)
  assert.equal((JSON.parse(failed.stdout) as CheckReport).findings[0]!.note, 'no registry')
  assert.match(failed.stderr, /pull or import these images again\n$/)
  assert.equal((await run(api, ['system', 'check', '--rate', 'fast'])).code, 2)
})
