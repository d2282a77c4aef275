/** `media` against a fake server: what is sent, what is written, what is said. */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { failure, startFakeApi } from '../fakes/api-server.ts'
import { run } from '../fakes/terminal.ts'

test('media build sends a directory, or asks for an image or the loader, and writes the whole file or none', async () => {
  await using api = await startFakeApi()
  const folder = mkdtempSync(join(tmpdir(), 'cli-media-'))
  using _folder = { [Symbol.dispose]: () => rmSync(folder, { recursive: true }) }
  mkdirSync(join(folder, 'files'))
  writeFileSync(join(folder, 'files/note'), 'of the directory')
  api.on('GET /v1/media/loader', { body: 'loader' })
  api.on('POST /v1/media/files', { body: 'medium' })
  assert.equal((await run(api, ['media', 'build', '--loader', '-o', 'l.fat'], { cwd: folder })).code, 0)
  assert.equal(readFileSync(join(folder, 'l.fat'), 'utf8'), 'loader')
  assert.equal(api.requests.at(-1)!.query.toString(), 'format=fat32')
  const argv = ['media', 'build', '--json', '--size', '2M', '--label', 'ARCH', '-o', 'm.img', './files']
  const ran = await run(api, argv, { cwd: folder })
  assert.deepEqual(JSON.parse(ran.stdout), { path: join(folder, 'm.img'), sizeBytes: 6, format: 'gpt' })
  const asked = api.requests.at(-1)!
  assert.equal(asked.query.toString(), 'format=gpt&size=2097152&label=ARCH')
  assert.ok(asked.body.includes('of the directory'))
  api.on('GET /v1/media/image', { body: 'whole' })
  assert.equal((await run(api, ['media', 'build', '-o', 'i.iso', 'my/debian:12'], { cwd: folder })).code, 0)
  assert.equal(api.requests.at(-1)!.query.toString(), 'ref=my%2Fdebian%3A12&format=iso')
  api.on('GET /v1/media/loader', failure(409, 'conflict', 'Cannot build a loader: no interface'))
  const failed = await run(api, ['media', 'build', '--loader', '-o', 'x.img'], { cwd: folder })
  assert.match(failed.stderr, /Cannot build a loader: no interface/)
  assert.deepEqual(readdirSync(folder).toSorted(), ['files', 'i.iso', 'l.fat', 'm.img'])
})

for (const { argv, error } of [
  { argv: ['build', '-o', 'x'], error: /name an image or a path, or give --loader or --kernel/ },
  {
    argv: ['build', '-o', 'x', '/nowhere/at/all'],
    error: /of "\/nowhere\/at\/all": there is no such file or directory/,
  },
  { argv: ['build', '-o', 'x', '--loader', '/tmp'], error: /--loader has no files of yours on it/ },
  { argv: ['build', '-o', 'x', '--size', '1.5G', '/tmp'], error: /Cannot use --size "1.5G": it is no number of bytes/ },
  { argv: ['build', '-o', 'x', '--format', 'zip', '/tmp'], error: /--format/ },
])
  test(`media ${argv.join(' ')} says what is wrong`, async () => {
    await using api = await startFakeApi()
    const ran = await run(api, ['media', ...argv])
    assert.equal(ran.code, 2)
    assert.match(ran.stderr, error)
  })
