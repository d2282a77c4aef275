/** Completion: candidates from the tree and from the server, and scripts that the shells take. */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { startFakeApi } from '../fakes/api-server.ts'
import { run } from '../fakes/terminal.ts'
import { aContainer, aMachine, anImage } from '../fakes/things.ts'

test('words are completed from the tree and by what the server knows', async () => {
  await using api = await startFakeApi()
  api.on('GET /v1/containers', { json: { containers: [aContainer({}), aContainer({ name: 'db' })] } })
  api.on('GET /v1/machines', { json: { machines: [aMachine({})] } })
  api.on('GET /v1/images', { json: { images: [anImage({})] } })
  const words = async (...typed: string[]) =>
    (await run(api, ['__complete', ...typed])).stdout
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => line.split('\t')[0])
  assert.deepEqual(await words('re'), ['restart', 'rename'])
  assert.deepEqual(await words('machine', 'p'), ['power'])
  assert.deepEqual(await words('machine', 'power', 'rack1-07', 'c'), ['cycle'])
  assert.deepEqual(await words('logs', '--ti'), ['--timestamps'])
  assert.deepEqual(await words('stop', 'web', 'd'), ['db'])
  assert.deepEqual(await words('run', '--machine', ''), ['rack1-07'])
  assert.deepEqual(await words('run', '--machine=r'), ['--machine=rack1-07'])
  assert.deepEqual(await words('run', '-it', '--pull', ''), ['missing', 'always', 'never'])
  assert.deepEqual(await words('run', '-e', 'A=1', 'al'), ['alpine:3.20'])
  assert.deepEqual(await words('run', 'alpine', '--na'), [])
  assert.deepEqual(await words('cp', 'w'), ['web:', ':files'])
  assert.deepEqual(await words('run', '--env-file', ''), [':files'])
  assert.deepEqual(await words('nonsense', 'x'), [])
})

test('completion without a server is silent and quick', async () => {
  const ran = await run(undefined, ['__complete', 'logs', ''], { env: { BAREBOAT_HOST: 'unix:///nowhere' } })
  assert.deepEqual([ran.stdout, ran.stderr, ran.code], ['', '', 0])
})

for (const shell of ['bash', 'zsh', 'fish'])
  test(`the script for ${shell} is taken by ${shell}`, async (t) => {
    const { stdout, code } = await run(undefined, ['completion', shell])
    assert.equal(code, 0)
    if (spawnSync(shell, ['--version']).error) return t.skip(`${shell} is not installed`)
    const folder = mkdtempSync(join(tmpdir(), 'cli-script-'))
    using _folder = { [Symbol.dispose]: () => rmSync(folder, { recursive: true }) }
    const file = join(folder, 'script')
    writeFileSync(file, stdout)
    const checked = spawnSync(shell, ['-n', file])
    assert.equal(checked.status, 0, checked.stderr.toString())
  })

test('bash completes by the script', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'cli-complete-'))
  using _folder = { [Symbol.dispose]: () => rmSync(folder, { recursive: true }) }
  const fake = join(folder, 'bareboat')
  writeFileSync(fake, `#!/bin/sh\nprintf '%s\\n' "$*" >${folder}/asked\nprintf 'web\\tan image\\ndb x\\t\\n'\n`)
  chmodSync(fake, 0o755)
  const { stdout } = await run(undefined, ['completion', 'bash'])
  const script = `${stdout}\nCOMP_WORDS=(${fake} logs -f w); COMP_CWORD=3; _bareboat; printf '<%s>' "\${COMPREPLY[@]}"; cat ${folder}/asked`
  assert.equal(execFileSync('bash', ['-c', script]).toString(), '<web><db\\ x>__complete logs -f w\n')
})

test('an unknown shell is refused', async () => {
  const ran = await run(undefined, ['completion', 'tcsh'])
  assert.deepEqual([ran.stderr, ran.code], ['bareboat: Cannot complete in "tcsh": it is not bash, zsh, fish\n', 2])
})
