import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { RunConfig } from '../../formats/oci/image.ts'
import type { Tree, TreeEntry } from '../../formats/tree/tree.ts'
import { runOptions } from '../../model/container.ts'
import { resolveUser } from './user.ts'
import { resolveWorkload, signalName } from './workload.ts'

const image: RunConfig = {
  user: '',
  env: [],
  entrypoint: undefined,
  cmd: undefined,
  workingDir: '',
  stopSignal: undefined,
  labels: new Map(),
  exposedPorts: [],
  volumes: [],
  healthcheck: undefined,
}

/** A tree of executables and links: path -> target path of a link, or '' for a program. */
function treeOf(files: Record<string, string>): Tree {
  const resolve = (path: string): TreeEntry | undefined => {
    const target = files[path]
    if (target === undefined) return undefined
    return target === '' ? ({ kind: 'file', path: path.slice(1), mode: 0o755 } as TreeEntry) : resolve(target)
  }
  return { resolve } as unknown as Tree
}
const none = () => Promise.resolve(new Uint8Array())
const run = (config: Partial<RunConfig>, options: object, files: Record<string, string> = {}) =>
  resolveWorkload({ ...image, ...config }, runOptions.parse({ image: 'x', ...options }), treeOf(files), none)

const commands = [
  { name: 'CMD alone', config: { cmd: ['a', 'b'] }, options: {}, argv: ['a', 'b'] },
  { name: 'ENTRYPOINT and CMD', config: { entrypoint: ['e'], cmd: ['c'] }, options: {}, argv: ['e', 'c'] },
  {
    name: 'a command replaces CMD',
    config: { entrypoint: ['e'], cmd: ['c'] },
    options: { command: ['d'] },
    argv: ['e', 'd'],
  },
  {
    name: 'a new entrypoint drops CMD',
    config: { entrypoint: ['e'], cmd: ['c'] },
    options: { entrypoint: ['n'] },
    argv: ['n'],
  },
]
for (const c of commands)
  test(`resolveWorkload: ${c.name}`, async () => assert.deepEqual((await run(c.config, c.options)).argv, c.argv))

test('resolveWorkload boots an image with an init as an OS, by default and by name', async () => {
  const files = { '/sbin/init': '/usr/lib/systemd/systemd', '/usr/lib/systemd/systemd': '' }
  assert.deepEqual((await run({}, {}, files)).mode, 'os')
  assert.deepEqual((await run({ cmd: ['/sbin/init'] }, {}, files)).mode, 'os')
  assert.deepEqual((await run({ cmd: ['bash'] }, {}, files)).mode, 'app')
  assert.deepEqual((await run({}, { command: ['/usr/bin/id'] }, files)).mode, 'app')
})

test('resolveWorkload refuses an image that has nothing to run', async () => {
  await assert.rejects(run({}, {}), /it has no ENTRYPOINT, no CMD and no init/)
})

test('resolveWorkload joins the environment as docker does', async () => {
  const { env } = await run({ cmd: ['a'], env: ['A=1', 'B=x=y'] }, { env: ['A=2', 'C='], tty: true })
  assert.deepEqual(env.slice(1), ['A=2', 'B=x=y', 'TERM=xterm', 'C=', 'HOME=/'])
  assert.match(env[0]!, /^PATH=\/usr\/local\/sbin:/)
})

const passwd = 'root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n# note\nbroken:line\n'
const group = 'root:x:0:\napp:x:1001:\nvideo:x:44:app,root\naudio:x:29:app\n'
const read = (path: string) => Promise.resolve({ '/etc/passwd': passwd, '/etc/group': group }[path])
const users = [
  { spec: '', ids: { uid: 0, gid: 0, groups: [0, 44], home: '/root' } },
  { spec: 'app', ids: { uid: 1000, gid: 1001, groups: [1001, 44, 29], home: '/home/app' } },
  { spec: '1000', ids: { uid: 1000, gid: 1001, groups: [1001, 44, 29], home: '/home/app' } },
  { spec: 'app:video', ids: { uid: 1000, gid: 44, groups: [44], home: '/home/app' } },
  { spec: '77:88', ids: { uid: 77, gid: 88, groups: [88], home: '/' } },
  { spec: '4711', ids: { uid: 4711, gid: 0, groups: [0], home: '/' } },
]
for (const c of users)
  test(`resolveUser "${c.spec}"`, async () => assert.deepEqual(await resolveUser(c.spec, read), c.ids))

test('resolveUser refuses names without an entry, and works without any passwd file', async () => {
  await assert.rejects(resolveUser('nobody', read), /Cannot run as user "nobody"/)
  await assert.rejects(resolveUser('0:wheel', read), /Cannot run with group "wheel"/)
  assert.equal((await resolveUser('', () => Promise.resolve(undefined))).uid, 0)
})

test('signalName reads names, numbers and real-time signals', () => {
  assert.deepEqual(['SIGTERM', 'kill', '15', 'SIGRTMIN+3'].map(signalName), ['TERM', 'KILL', '15', 'RTMIN+3'])
  assert.throws(() => signalName('SIGFOO'), /no such signal/)
  assert.throws(() => signalName('65'), /no such signal/)
})
