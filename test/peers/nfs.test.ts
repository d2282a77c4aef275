/** Roots over NFS: nfs-ganesha as we run it, judged by libnfs on machines of their own. */
import assert from 'node:assert/strict'
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { NfsHostConfig } from '../fakes/nfs-host.ts'
import { missing, run, type Ran } from './net-pair.ts'

const HOST = fileURLToPath(new URL('../fakes/nfs-host.ts', import.meta.url))
const SERVER = '10.67.0.1'
const PORT = 2049
const id = (digit: string): string => digit.repeat(64)
const [A, B] = [id('a'), id('b')]
const needs = (...programs: string[]) => ({ skip: missing('ganesha.nfsd', 'nfs-ls', ...programs) ?? false })

interface Mount {
  readonly source: string
  readonly options: string
}

/** A client in a network namespace of its own. */
interface Machine {
  readonly address: string
  readonly namespace: string
}

interface Site extends AsyncDisposable {
  readonly directory: string
  readonly machines: readonly Machine[]
  /** Starts a daemon, as the last words of `wrapper`. */
  host(...wrapper: string[]): Promise<Host>
  /** The process ids of ganesha that serves this site. */
  servers(): number[]
}

interface Host {
  ask(operation: string, ...args: string[]): Promise<unknown>
  kill(signal: NodeJS.Signals): Promise<void>
}

let count = 0

/** A server and three machines, each on a cable of its own; the sample image has a few files, one of them large. */
function openSite(): Site {
  const name = (side: string): string => `bbn${side}${process.pid}-${count}`
  count++
  const server = name('s')
  const folder = mkdtempSync(join(tmpdir(), 'bareboat-nfs-'))
  const sample = join(folder, 'sample')
  mkdirSync(join(sample, 'etc'), { recursive: true })
  writeFileSync(join(sample, 'etc/motd'), 'welcome aboard\n')
  writeFileSync(join(sample, 'etc/unread'), 'nobody reads this\n')
  writeFileSync(join(sample, 'large'), randomBytes(32 * 2 ** 20))
  const machines = [2, 3, 4].map((n) => ({ address: `10.67.${n}.2`, namespace: name(`m${n}`) }))
  must('ip', 'netns', 'add', server)
  must('ip', '-n', server, 'link', 'set', 'lo', 'up')
  must('ip', '-n', server, 'addr', 'add', `${SERVER}/32`, 'dev', 'lo')
  machines.forEach(({ address, namespace }, n) => {
    must('ip', 'netns', 'add', namespace)
    must('ip', '-n', server, 'link', 'add', `s${n}`, 'type', 'veth', 'peer', 'name', 'c0', 'netns', namespace)
    must('ip', '-n', server, 'addr', 'add', address.replace(/2$/, '1/24'), 'dev', `s${n}`)
    must('ip', '-n', namespace, 'addr', 'add', `${address}/24`, 'dev', 'c0')
    must('ip', '-n', server, 'link', 'set', `s${n}`, 'up')
    must('ip', '-n', namespace, 'link', 'set', 'c0', 'up')
    must('ip', '-n', namespace, 'route', 'add', 'default', 'via', address.replace(/2$/, '1'))
  })
  const directory = join(folder, 'nfs')
  const hosts: Host[] = []
  const servers = (): number[] =>
    readdirSync('/proc')
      .filter((pid) => /^\d+$/.test(pid))
      .map(Number)
      .filter((pid) => commandLine(pid).includes(join(directory, 'server/ganesha.conf')))
  return {
    directory,
    machines,
    servers,
    async host(...wrapper) {
      const host = await startHost(server, { directory, sample, address: SERVER, port: PORT }, wrapper)
      hosts.push(host)
      return host
    },
    async [Symbol.asyncDispose]() {
      for (const host of hosts) await host.kill('SIGKILL')
      for (const pid of servers()) process.kill(pid, 'SIGKILL')
      while (servers().length > 0) await delay(10)
      for (const one of [server, ...machines.map(({ namespace }) => namespace)]) spawnSync('ip', ['netns', 'del', one])
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

async function startHost(namespace: string, config: NfsHostConfig, wrapper: readonly string[]): Promise<Host> {
  const node = [...wrapper, process.execPath, HOST, JSON.stringify(config)]
  // `exec` of ip replaces itself, so that a signal for the child is one for the host.
  const child = spawn('ip', ['netns', 'exec', namespace, ...node], { stdio: ['pipe', 'pipe', 'inherit'] })
  const answers = createInterface(child.stdout)[Symbol.asyncIterator]()
  const answer = async (): Promise<unknown> => {
    const { value: line, done } = await answers.next()
    assert.ok(!done, 'the host has ended')
    const { value, error } = JSON.parse(line) as { value?: unknown; error?: string }
    if (error !== undefined) throw new Error(error)
    return value
  }
  assert.equal(await answer(), 'ready')
  return {
    ask(operation, ...args) {
      child.stdin.write(`${JSON.stringify([operation, ...args])}\n`)
      return answer()
    },
    kill: (signal) => end(child, signal),
  }
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill(signal)
  await exited
}

function must(command: string, ...args: string[]): void {
  const { status, stderr } = spawnSync(command, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${stderr}`)
}

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1')
  } catch {
    return ''
  }
}

const url = ({ source }: Mount, path = ''): string =>
  `nfs://${source.replace(':', '')}${path}?version=4&nfsport=${PORT}`
const on = ({ namespace }: Machine, ...command: string[]): Promise<Ran> =>
  run('ip', 'netns', 'exec', namespace, ...command)
const cat = (machine: Machine, mount: Mount, path: string) => on(machine, 'nfs-cat', url(mount, path))
const ls = (machine: Machine, mount: Mount, path = '') => on(machine, 'nfs-ls', url(mount, path))

/** What libnfs lists: the names. */
const namesOf = ({ stdout }: Ran): string[] =>
  stdout
    .split('\n')
    .flatMap((line) => line.trim().split(/\s+/).at(-1) ?? [])
    .filter((name) => name !== '')
    .toSorted()

async function open(host: Host, container: string, machine: Machine, ...reset: string[]): Promise<Mount> {
  await host.ask('prepare', container, ...reset)
  return (await host.ask('open', container, machine.address)) as Mount
}

test(
  'nfs: a machine reads and writes its own root, and sees no other; a stranger sees none',
  needs('nfs-cp'),
  async () => {
    await using site = openSite()
    const [one, two, stranger] = site.machines as [Machine, Machine, Machine]
    const host = await site.host()
    const a = await open(host, A, one)
    const b = await open(host, B, two)
    assert.match(a.source, /^10\.67\.0\.1:\/[A-Za-z0-9_-]{43}$/)
    // Of the one that is installed: READ_PLUS of 4.2 is broken in the older.
    const vers = /V([6-9]|\d\d)/.test((await run('ganesha.nfsd', '-v')).stdout) ? '4.2' : '4.1'
    assert.equal(a.options, `vers=${vers},proto=tcp,port=2049,sec=sys,hard,addr=10.67.0.1,clientaddr=${one.address}`)
    assert.deepEqual(namesOf(await ls(one, a)), ['etc', 'large'])
    assert.equal((await cat(one, a, '/etc/motd')).stdout, 'welcome aboard\n')

    const local = join(site.directory, '../written')
    writeFileSync(local, 'by machine one\n')
    const copied = await on(one, 'nfs-cp', local, url(a, '/etc/written'))
    assert.equal(copied.status, 0, copied.stderr)
    assert.equal(readFileSync(join(site.directory, A, 'rootfs/etc/written'), 'utf8'), 'by machine one\n')
    assert.equal(statSync(join(site.directory, A, 'rootfs/etc/written')).uid, 0)
    assert.deepEqual(namesOf(await ls(two, b, '/etc')), ['motd', 'unread'])

    // The names of the others are neither shown nor good for anything.
    const top = { source: `${SERVER}:/`, options: '' }
    assert.deepEqual(namesOf(await ls(one, top)), [a.source.split('/')[1]])
    assert.deepEqual(namesOf(await ls(two, top)), [b.source.split('/')[1]])
    assert.deepEqual(namesOf(await ls(stranger, top)), [])
    for (const [machine, mount] of [
      [two, a],
      [one, b],
      [stranger, a],
      [stranger, b],
    ] as const) {
      const refused = await ls(machine, mount)
      assert.match(refused.stderr + refused.stdout, /NFS4ERR_(NOENT|ACCESS|PERM)/)
    }
  },
)

test('nfs: it listens on the address of the machines alone, and speaks NFSv4 alone', needs('ss'), async () => {
  await using site = openSite()
  const host = await site.host()
  await open(host, A, site.machines[0]!)
  const [pid] = site.servers()
  const sockets = await run('nsenter', '-t', String(pid), '-n', 'ss', '-Hlntup')
  const ofGanesha = sockets.stdout.split('\n').filter((line) => line.includes('ganesha'))
  assert.deepEqual(
    ofGanesha.map((line) => line.split(/\s+/)[4]),
    [`[::ffff:${SERVER}]:${PORT}`],
  )
  const v3 = await on(site.machines[0]!, 'nfs-ls', `nfs://${SERVER}/?version=3&nfsport=${PORT}&mountport=${PORT}`)
  assert.match(v3.stderr + v3.stdout, /[Ff]ailed/)
})

test('nfs: a program on the machine that may not use ports below 1024 is refused', needs('setpriv'), async () => {
  await using site = openSite()
  const [one] = site.machines as [Machine]
  const host = await site.host()
  const a = await open(host, A, one)
  const nobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups']
  const refused = await on(one, ...nobody, 'nfs-ls', url(a))
  assert.match(refused.stderr + refused.stdout, /NFS4ERR/)
  assert.equal((await ls(one, a)).status, 0)
})

test('nfs: roots come and go while a machine reads another one', needs(), async () => {
  await using site = openSite()
  const [one, two] = site.machines as [Machine, Machine]
  const host = await site.host()
  const a = await open(host, A, one)
  const reader = spawn('ip', ['netns', 'exec', one.namespace, 'nfs-cat', url(a, '/large')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = once(reader, 'exit')
  const digest = createHash('sha256')
  let bytes = 0
  let rounds = 0
  // The file stays open while we are not reading: the pipe is full.
  for await (const chunk of reader.stdout as AsyncIterable<Buffer>) {
    digest.update(chunk)
    bytes += chunk.length
    if (bytes < (rounds + 1) * 4 * 2 ** 20) continue
    rounds++
    const b = await open(host, B, two)
    assert.deepEqual(namesOf(await ls(two, b)), ['etc', 'large'])
    await host.ask('remove', B)
    assert.match((await ls(two, b)).stderr, /NFS4ERR/)
    assert.ok(!existsSync(join(site.directory, B)))
  }
  assert.deepEqual(await exited, [0, null])
  assert.equal(rounds, 8)
  assert.equal(
    digest.digest('hex'),
    createHash('sha256')
      .update(readFileSync(join(site.directory, A, 'rootfs/large')))
      .digest('hex'),
  )
})

test(
  'nfs: a daemon that was killed leaves the server to its machines, and the next one goes on with it',
  needs(),
  async () => {
    await using site = openSite()
    const [one, two] = site.machines as [Machine, Machine]
    const first = await site.host()
    const a = await open(first, A, one)
    const b = await open(first, B, two)
    const [pid] = site.servers()
    await first.kill('SIGKILL')
    assert.deepEqual(site.servers(), [pid])
    assert.equal((await cat(one, a, '/etc/motd')).stdout, 'welcome aboard\n')

    const second = await site.host()
    await second.ask('resume', `${A}=live`, `${B}=over`)
    assert.deepEqual(site.servers(), [pid])
    assert.deepEqual(await second.ask('open', A, one.address), a)
    assert.equal((await cat(one, a, '/etc/motd')).stdout, 'welcome aboard\n')
    assert.match((await ls(two, b)).stderr, /NFS4ERR/)
    assert.ok(existsSync(join(site.directory, B, 'rootfs')))

    // One that ends in order leaves it too, as long as somebody has a root there.
    await second.kill('SIGTERM')
    assert.deepEqual(site.servers(), [pid])
    const third = await site.host()
    await third.ask('resume')
    assert.deepEqual(readdirSync(site.directory), ['server'])
    assert.match((await ls(one, a)).stderr, /NFS4ERR/)
    await third.kill('SIGTERM')
    assert.deepEqual(site.servers(), [])
  },
)

test('nfs: a server that dies is started again, and shows the same', needs(), async () => {
  await using site = openSite()
  const [one] = site.machines as [Machine]
  const host = await site.host()
  const a = await open(host, A, one)
  const [pid] = site.servers()
  process.kill(pid!, 'SIGKILL')
  const deadline = AbortSignal.timeout(30_000)
  while (!site.servers().some((other) => other !== pid)) await delay(50, undefined, { signal: deadline })
  while ((await ls(one, a)).status !== 0) await delay(50, undefined, { signal: deadline })
  assert.deepEqual(await host.ask('problems'), [])
  assert.deepEqual(await host.ask('open', A, one.address), a)
})

test('nfs: what was read since the reset is listed, by path', needs(), async () => {
  await using site = openSite()
  const [one] = site.machines as [Machine]
  const host = await site.host()
  await host.ask('prepare', B)
  await assert.rejects(host.ask('accessed', B), /it was not recorded/)
  const a = await open(host, A, one, 'reset')
  assert.equal(await host.ask('accessed', A), '')
  const motd = join(site.directory, A, 'rootfs/etc/motd')
  const mtime = statSync(join(site.directory, '../sample/etc/motd'), { bigint: true }).mtimeNs
  assert.equal(statSync(motd, { bigint: true }).mtimeNs, mtime)
  await ls(one, a, '/etc')
  await cat(one, a, '/large')
  await cat(one, a, '/etc/motd')
  writeFileSync(join(site.directory, '../written'), 'new')
  await on(one, 'nfs-cp', join(site.directory, '../written'), url(a, '/etc/new\nline'))
  const read = './etc/motd\n./etc/new\\nline\n./large\n'
  assert.equal(await host.ask('accessed', A), read)

  // A machine that has the root already is left alone; the next boot begins anew, with what was written.
  await host.ask('prepare', A, 'reset')
  assert.equal(await host.ask('accessed', A), read)
  await host.ask('shut', A)
  await host.ask('prepare', A, 'reset')
  assert.equal(await host.ask('accessed', A), '')
  const again = await open(host, A, one)
  assert.notEqual(again.source, a.source)
  assert.equal((await cat(one, again, '/etc/motd')).stdout, 'welcome aboard\n')
  assert.equal(await host.ask('accessed', A), './etc/motd\n')
})

test(
  'nfs: another server on the port is named as the likely cause, and the root is shown once it is gone',
  needs('socat'),
  async () => {
    await using site = openSite()
    const [one] = site.machines as [Machine]
    const host = await site.host()
    const first = await open(host, A, one)
    const [pid] = site.servers()
    const other = spawn('nsenter', ['-t', String(pid), '-n', 'sleep', '600'], { stdio: 'ignore' })
    await host.ask('shut', A)
    await host.kill('SIGTERM')
    const squatter = spawn('nsenter', [
      '-t',
      String(other.pid),
      '-n',
      'socat',
      `TCP-LISTEN:${PORT},bind=${SERVER},fork`,
      'EXEC:cat',
    ])
    try {
      const next = await site.host()
      await next.ask('resume', `${A}=live`)
      await assert.rejects(next.ask('open', A, one.address), /is another NFS server on port 2049\?/)
      assert.equal(((await next.ask('problems')) as string[]).length, 1)
      await end(squatter, 'SIGKILL')
      const deadline = AbortSignal.timeout(30_000)
      while (((await next.ask('problems')) as string[]).length > 0) await delay(100, undefined, { signal: deadline })
      const mount = (await next.ask('open', A, one.address)) as Mount
      assert.notEqual(mount.source, first.source)
      assert.equal((await cat(one, mount, '/etc/motd')).stdout, 'welcome aboard\n')
    } finally {
      await end(squatter, 'SIGKILL')
      await end(other, 'SIGKILL')
    }
  },
)

test('nfs: a file system that does not record access times is refused for it', needs('mount', 'umount'), async () => {
  await using site = openSite()
  mkdirSync(site.directory)
  must('mount', '-t', 'tmpfs', '-o', 'noatime', 'none', site.directory)
  try {
    const host = await site.host()
    await assert.rejects(host.ask('prepare', A, 'reset'), /mount it with relatime instead of noatime/)
    await host.ask('prepare', B)
    await host.kill('SIGTERM')
  } finally {
    must('umount', site.directory)
  }
})

test('nfs: a system without a list of its mounts is told what is missing', needs('mount'), async () => {
  await using site = openSite()
  mkdirSync(site.directory)
  must('mount', '-t', 'tmpfs', 'none', site.directory)
  try {
    const [upper, work] = ['upper', 'work'].map((leaf) => join(site.directory, leaf)) as [string, string]
    for (const folder of [upper, work]) mkdirSync(folder)
    // `ip netns exec` gives it mounts of its own.
    const hide = `mount -t overlay -o lowerdir=/etc,upperdir=${upper},workdir=${work} none /etc && rm /etc/mtab && exec "$@"`
    const host = await site.host('sh', '-c', hide, 'sh')
    await assert.rejects(open(host, A, site.machines[0]!), /\/etc\/mtab, which is not there; as root: ln -s/)
    await host.kill('SIGTERM')
  } finally {
    must('umount', '--lazy', site.directory)
  }
})
