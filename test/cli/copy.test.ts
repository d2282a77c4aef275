/** cp by docker's rules, both ways, against a fake server whose containers are folders and whose archives GNU tar makes. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { test } from 'node:test'
import { failure, startFakeApi, type FakeApi } from '../fakes/api-server.ts'
import { run } from '../fakes/terminal.ts'
import { aContainer } from '../fakes/things.ts'

interface Place extends AsyncDisposable {
  readonly api: FakeApi
  /** The container's root, and the person's working directory. */
  readonly root: string
  readonly here: string
  cp(...argv: string[]): Promise<{ code: number; stdout: string; stderr: string }>
}

async function openPlace(): Promise<Place> {
  const folder = mkdtempSync(join(tmpdir(), 'cli-copy-'))
  const root = join(folder, 'root')
  const here = join(folder, 'here')
  mkdirSync(root)
  mkdirSync(here)
  const api = await startFakeApi()
  api.on('GET /v1/containers/:id', ({ params: [name] }) =>
    name === 'web' ? { json: aContainer({}) } : failure(404, 'not_found', `Cannot find container "${name}"`),
  )
  api.on('GET /v1/containers/:id/archive/stat', ({ query }) => {
    const path = join(root, query.get('path')!)
    if (!existsSync(path) && !lstatSync(path, { throwIfNoEntry: false }))
      return failure(404, 'not_found', `Cannot copy "${query.get('path')}": there is no such file`)
    const stat = lstatSync(path)
    const type = stat.isDirectory() ? 'directory' : stat.isSymbolicLink() ? 'symlink' : 'file'
    const target = type === 'symlink' ? { target: readlinkSync(path) } : {}
    return { json: { name: basename(path), type, mode: stat.mode, sizeBytes: stat.size, ...target } }
  })
  api.on('GET /v1/containers/:id/archive', ({ query }) => {
    const path = query.get('path')!
    const isContent = path.endsWith('/.')
    const whole = join(root, path)
    const argv = isContent ? ['-C', whole, '.'] : ['-C', dirname(whole), basename(whole)]
    return { body: execFileSync('tar', ['-c', ...argv]) }
  })
  api.on('PUT /v1/containers/:id/archive', ({ query, body }) => {
    const dir = join(root, query.get('path')!)
    if (!existsSync(dir))
      return failure(404, 'not_found', `Cannot copy to "${query.get('path')}": there is no such directory`)
    try {
      execFileSync('tar', ['-x', '-C', dir], { input: body, stdio: ['pipe', 'pipe', 'pipe'] })
    } catch {
      return failure(409, 'conflict', 'Cannot unpack')
    }
    return { status: 204 }
  })
  return {
    api,
    root,
    here,
    cp: (...argv) => run(api, ['cp', ...argv], { cwd: here }),
    async [Symbol.asyncDispose]() {
      await api[Symbol.asyncDispose]()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

function fill(folder: string): void {
  mkdirSync(join(folder, 'dir/sub'), { recursive: true })
  writeFileSync(join(folder, 'dir/a'), 'A')
  writeFileSync(join(folder, 'dir/sub/b'), 'B', { mode: 0o751 })
  symlinkSync('a', join(folder, 'dir/link'))
  execFileSync('ln', [join(folder, 'dir/a'), join(folder, 'dir/hard')])
  writeFileSync(join(folder, 'file'), 'F')
  symlinkSync('dir', join(folder, 'todir'))
  symlinkSync('file', join(folder, 'tofile'))
}

/** Each row: what is copied, and what must then be where on the other side. The rows hold both ways. */
const ROWS: readonly {
  name: string
  source: string
  to: string
  before?: (at: string) => void
  flags?: string[]
  then: (at: string) => void
}[] = [
  { name: 'a file to a new name', source: 'file', to: 'new', then: (at) => assert.equal(text(at, 'new'), 'F') },
  {
    name: 'a file into a directory',
    source: 'file',
    to: 'd',
    before: (at) => mkdirSync(join(at, 'd')),
    then: (at) => assert.equal(text(at, 'd/file'), 'F'),
  },
  {
    name: 'a file over a file',
    source: 'file',
    to: 'old',
    before: (at) => writeFileSync(join(at, 'old'), 'old'),
    then: (at) => assert.equal(text(at, 'old'), 'F'),
  },
  {
    name: 'a file through a link to a file',
    source: 'file',
    to: 'l',
    before: (at) => (writeFileSync(join(at, 'old'), 'old'), symlinkSync('old', join(at, 'l'))),
    then: (at) => assert.deepEqual([text(at, 'old'), lstatSync(join(at, 'l')).isSymbolicLink()], ['F', true]),
  },
  { name: 'a directory to a new name', source: 'dir', to: 'new', then: (at) => checkTree(join(at, 'new')) },
  {
    name: 'a directory to a new name with a slash',
    source: 'dir',
    to: 'new/',
    then: (at) => checkTree(join(at, 'new')),
  },
  {
    name: 'a directory into a directory',
    source: 'dir',
    to: 'd',
    before: (at) => mkdirSync(join(at, 'd')),
    then: (at) => checkTree(join(at, 'd/dir')),
  },
  {
    name: 'a directory merges into one of its name',
    source: 'dir',
    to: 'd',
    before: (at) => (mkdirSync(join(at, 'd/dir'), { recursive: true }), writeFileSync(join(at, 'd/dir/own'), 'own')),
    then: (at) => (checkTree(join(at, 'd/dir')), assert.equal(text(at, 'd/dir/own'), 'own')),
  },
  {
    name: 'the content of a directory into a directory',
    source: 'dir/.',
    to: 'd',
    before: (at) => mkdirSync(join(at, 'd')),
    then: (at) => checkTree(join(at, 'd')),
  },
  {
    name: 'the content of a directory to a new name',
    source: 'dir/.',
    to: 'new',
    then: (at) => checkTree(join(at, 'new')),
  },
  {
    name: 'a link as a link',
    source: 'tofile',
    to: 'new',
    then: (at) => assert.equal(readlinkSync(join(at, 'new')), 'file'),
  },
  {
    name: 'what a link points to (-L), under the name of the link',
    source: 'tofile',
    to: 'd',
    flags: ['-L'],
    before: (at) => mkdirSync(join(at, 'd')),
    then: (at) => assert.deepEqual([text(at, 'd/tofile'), lstatSync(join(at, 'd/tofile')).isFile()], ['F', true]),
  },
  {
    name: 'the directory that a link points to (-L)',
    source: 'todir',
    to: 'd',
    flags: ['-L'],
    before: (at) => mkdirSync(join(at, 'd')),
    then: (at) => checkTree(join(at, 'd/todir')),
  },
  {
    name: 'a name that a transformation could trip over',
    source: 'file',
    to: 'a&b|c\\1 x',
    then: (at) => assert.equal(text(at, 'a&b|c\\1 x'), 'F'),
  },
]

for (const { name, source, to, before, flags = [], then } of ROWS) {
  test(`cp out of a container: ${name}`, async () => {
    await using place = await openPlace()
    fill(place.root)
    before?.(place.here)
    const ran = await place.cp(...flags, `web:/${source}`, to)
    assert.equal(ran.code, 0, ran.stderr)
    assert.match(ran.stderr, /^Successfully copied [\d.]+k?B to /)
    then(place.here)
  })
  test(`cp into a container: ${name}`, async () => {
    await using place = await openPlace()
    fill(place.here)
    before?.(place.root)
    const ran = await place.cp(...flags, source, `web:/${to}`)
    assert.equal(ran.code, 0, ran.stderr)
    then(place.root)
  })
}

test('cp refuses what does not go together', async () => {
  await using place = await openPlace()
  fill(place.root)
  fill(place.here)
  const cases = [
    { argv: ['web:/dir', 'file'], stderr: /Cannot copy directory "\/dir" to ".*file": that is not a directory/ },
    { argv: ['dir', 'web:/file'], stderr: /Cannot copy directory ".*dir" to "\/file": that is not a directory/ },
    { argv: ['web:/file', 'none/'], stderr: /there is no such directory/ },
    { argv: ['web:/file', 'none/file'], stderr: /Cannot copy to "none\/file": there is no directory ".*none"/ },
    { argv: ['web:/none', '.'], stderr: /Cannot copy "\/none": there is no such file/ },
    { argv: ['none', 'web:/'], stderr: /Cannot copy "none": there is no such file or directory/ },
    { argv: ['file', 'nobody:/x'], stderr: /./ },
    { argv: ['file', 'web:/none/x'], stderr: /there is no such directory/ },
    { argv: ['web:/a', 'web:/b'], stderr: /Cannot copy between containers/ },
    { argv: ['a', 'b'], stderr: /neither is CONTAINER:PATH/ },
    { argv: ['./a:b', 'b'], stderr: /neither is CONTAINER:PATH/ },
    { argv: ['-', 'web:/file'], stderr: /it is not a directory/ },
  ]
  for (const { argv, stderr } of cases) {
    const ran = await place.cp(...argv)
    assert.notEqual(ran.code, 0, argv.join(' '))
    assert.match(ran.stderr, stderr, argv.join(' '))
  }
})

test('cp streams archives through - on both sides', async () => {
  await using place = await openPlace()
  fill(place.root)
  const out = await run(place.api, ['cp', 'web:/dir', '-'])
  const archive = out.terminal.bytes()
  assert.match(execFileSync('tar', ['-t'], { input: archive }).toString(), /^dir\/\n/)
  mkdirSync(join(place.root, 'other'))
  const into = await run(place.api, ['cp', '-', 'web:/other'], { input: archive })
  assert.equal(into.code, 0, into.stderr)
  checkTree(join(place.root, 'other/dir'))
})

test('an archive that climbs out of the destination is not followed', async () => {
  await using place = await openPlace()
  fill(place.root)
  const evil = join(place.root, '..', 'evil')
  mkdirSync(evil)
  symlinkSync('/tmp', join(evil, 'x'))
  const first = execFileSync('tar', ['-c', '-C', evil, 'x'])
  rmSync(join(evil, 'x'))
  mkdirSync(join(evil, 'x'))
  writeFileSync(join(evil, 'x/bareboat-escaped'), 'bad')
  const climbing = execFileSync('tar', ['-c', '-P', '-C', evil, '--transform=s|^|../../|', 'x/bareboat-escaped'])
  const through = Buffer.concat([first.subarray(0, 512), execFileSync('tar', ['-c', '-C', evil, 'x/bareboat-escaped'])])
  mkdirSync(join(place.here, 'd'))
  for (const body of [climbing, through]) {
    place.api.on('GET /v1/containers/:id/archive', { body })
    await place.cp('web:/dir', 'd')
    assert.equal(existsSync('/tmp/bareboat-escaped'), false)
    assert.equal(existsSync(join(place.here, '../x/bareboat-escaped')), false)
  }
})

test('an archive that breaks off is an error', async () => {
  await using place = await openPlace()
  fill(place.root)
  place.api.on('GET /v1/containers/:id/archive', {
    stream: (response) => {
      response.write(execFileSync('tar', ['-c', '-C', place.root, 'dir']).subarray(0, 700))
      setTimeout(() => response.destroy(), 20)
    },
  })
  const ran = await place.cp('web:/dir', 'new')
  assert.notEqual(ran.code, 0)
  assert.match(ran.stderr, /^bareboat: Cannot /)
})

function text(at: string, path: string): string {
  return readFileSync(join(at, path), 'utf8')
}

function checkTree(at: string): void {
  assert.deepEqual([text(at, 'a'), text(at, 'sub/b'), readlinkSync(join(at, 'link'))], ['A', 'B', 'a'])
  assert.equal(lstatSync(join(at, 'sub/b')).mode & 0o777, 0o751)
  assert.equal(lstatSync(join(at, 'a')).ino, lstatSync(join(at, 'hard')).ino)
}
