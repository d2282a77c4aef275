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

const MEDIUM = {
  name: 'debian.iso',
  of: 'debian.iso',
  drive: 'CD1',
  kind: 'cd',
  isWritable: false,
  sizeBytes: 4_000_000,
  state: 'attached',
  createdAt: 0,
  expiresAt: Date.now() + 7_200_000,
}

test('media attach sends a file as it is, or names what is to be made; detach and ls say what is in the drives', async () => {
  await using api = await startFakeApi()
  const folder = mkdtempSync(join(tmpdir(), 'cli-media-'))
  using _folder = { [Symbol.dispose]: () => rmSync(folder, { recursive: true }) }
  writeFileSync(join(folder, 'debian.iso'), 'as it is')
  api.on('POST /v1/machines/:name/media/file', { json: MEDIUM })
  api.on('POST /v1/machines/:name/media', { json: { ...MEDIUM, kind: 'usb' } })
  const file = await run(api, ['media', 'attach', 'm1', './debian.iso', '--boot', '--cycle', '--expires', '2h'], {
    cwd: folder,
  })
  assert.deepEqual([file.code, file.stdout], [0, 'debian.iso is in drive CD1 of m1, as cd\n'], file.stderr)
  const sent = api.requests.at(-1)!
  assert.equal(sent.query.toString(), 'boot=true&cycle=true&expiresSeconds=7200&name=debian.iso')
  assert.equal(sent.body.toString(), 'as it is')
  const made = await run(api, ['media', 'attach', 'm1', 'my/debian:12', '--as', 'usb', '--rw', '--drive', 'USB1'])
  assert.equal(made.code, 0, made.stderr)
  assert.deepEqual(api.requests.at(-1)!.json(), {
    isWritable: true,
    kind: 'usb',
    drive: 'USB1',
    source: { image: 'my/debian:12' },
  })
  await run(api, ['media', 'attach', 'm1', '--kernel', 'k', '--initrd', 'i', '--kernel-param', 'rescue=1'])
  assert.deepEqual(api.requests.at(-1)!.json(), {
    source: { pair: { kernel: 'k', initrd: 'i', kernelParams: ['rescue=1'] } },
  })
  const drives = [
    { id: 'CD1', kinds: ['cd'], inserted: 'debian.iso', isWriteProtected: true, isOurs: true },
    { id: 'USB1', kinds: ['usb'], inserted: 'http://files/x.img', isOurs: false },
    { id: 'USB2', kinds: ['usb'], isOurs: false },
  ]
  api.on('GET /v1/machines/:name/media', { json: { drives, medium: MEDIUM } })
  const listed = await run(api, ['media', 'ls', 'm1'])
  const lines = listed.stdout.split('\n').map((line) => line.split(/ {2,}/))
  assert.deepEqual(lines[1], ['CD1', 'cd', 'debian.iso', 'debian.iso', 'ro', '4MB', 'no', 'in 2 hours'], listed.stdout)
  assert.deepEqual(lines[2], ['USB1', 'usb', 'http://files/x.img', '(not of this server)'])
  assert.deepEqual(lines[3], ['USB2', 'usb', '-'])
  api.on('GET /v1/machines/:name/media', { json: { drives: drives.slice(1), medium: MEDIUM } })
  assert.match((await run(api, ['media', 'ls', 'm1'])).stderr, /debian.iso is attached, and drive CD1 does not show it/)
  api.on('DELETE /v1/machines/:name/media', { json: { name: 'debian.iso' } })
  assert.equal((await run(api, ['media', 'detach', 'm1'])).stdout, 'debian.iso is out of m1\n')
  assert.equal(api.requests.at(-1)!.query.toString(), '')
  await run(api, ['media', 'detach', 'm1', '--drive', 'USB1'])
  assert.equal(api.requests.at(-1)!.query.toString(), 'drive=USB1')
  api.on('DELETE /v1/machines/:name/media', failure(501, 'unsupported', 'Cannot attach: its BMC can only power'))
  assert.equal((await run(api, ['media', 'detach', 'm1'])).code, 8)
})

for (const { argv, error } of [
  { argv: ['m1'], error: /name an image or a path, or give --loader or --kernel/ },
  { argv: ['m1', '/nowhere/at/all.iso'], error: /Cannot attach "\/nowhere\/at\/all.iso": there is no such file/ },
  { argv: ['m1', '/tmp'], error: /it is no file; make a medium of a directory with: bareboat media build/ },
  { argv: ['m1', 'debian', '--cycle'], error: /Cannot use --cycle without --boot/ },
  { argv: ['m1', 'debian', '--loader'], error: /Cannot attach a source and --loader at once/ },
  { argv: ['m1', '--kernel', 'k'], error: /a medium has both/ },
  { argv: ['m1', 'debian', '--as', 'tape'], error: /Cannot use --as "tape": it is not cd, usb/ },
])
  test(`media attach ${argv.join(' ')} says what is wrong`, async () => {
    await using api = await startFakeApi()
    const ran = await run(api, ['media', 'attach', ...argv])
    assert.equal(ran.code, 2)
    assert.match(ran.stderr, error)
    assert.deepEqual(api.requests, [])
  })
