/**
 * What runs on a machine, for real: a kit built from Debian's archive boots in QEMU against a server that only remembers. The
 * tests run themselves again in a network namespace of their own.
 */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { poll } from '../../src/base/clock.ts'
import { tarOf } from '../../src/formats/tar/tar-maker.ts'
import { buildGuestKit, GUEST_CACHE as CACHE, runInNamespace } from '../fakes/guest-kit.ts'
import {
  collect,
  connect,
  makeKeys,
  quote,
  setUpNetwork,
  startBootServer,
  startMachine,
  WIRES,
} from '../fakes/guest-lab.ts'
import { debianRoot } from './images.ts'

const PROGRAMS = ['qemu-system-x86_64', 'dnsmasq', 'ip', 'unshare', 'apt-get', 'mmdebstrap', 'tar']
const missing = PROGRAMS.filter((name) => spawnSync('which', [name]).status !== 0)
const skip = missing.length > 0 ? `not installed: ${missing.join(', ')}` : process.getuid?.() !== 0 && 'not root'

if (process.env['BAREBOAT_GUEST_TEST'] === undefined)
  test('a kit boots, runs workloads and obeys its agent', { skip }, async () => {
    mkdirSync(CACHE, { recursive: true })
    const { kit, busybox } = await buildGuestKit()
    makeRoots(busybox)
    // Made where there is a way out.
    debianRoot()
    runInNamespace(import.meta.filename, 'BAREBOAT_GUEST_TEST', kit)
  })
else inNamespace(process.env['BAREBOAT_GUEST_TEST'])

function makeRoots(busybox: Uint8Array): void {
  const folder = join(CACHE, 'busybox')
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(join(folder, 'bin'), { recursive: true })
  writeFileSync(join(folder, 'bin/busybox'), busybox, { mode: 0o755 })
  const script = `set -e; mkdir -p ${folder}/etc ${folder}/tmp
    for a in sh cat id env sleep stty seq pwd head md5sum kill true dd hostname readlink poweroff; do ln -s busybox ${folder}/bin/$a; done
    echo root:x:0:0::/root:/bin/sh >${folder}/etc/passwd
    tar -C ${folder} --owner=0 --group=0 -cf ${folder}.tar .
    tar -C ${folder}/bin --owner=0 --group=0 -cf ${CACHE}/scratch.tar busybox
    mkdir ${folder}/sbin; ln -s ../bin/busybox ${folder}/sbin/init
    echo '::sysinit:/bin/sh -c "echo up >/tmp/up"' >${folder}/etc/inittab
    tar -C ${folder} --owner=0 --group=0 -cf ${CACHE}/busybox-init.tar .`
  execFileSync('sh', ['-c', script])
}

function inNamespace(kit: string): void {
  const dhcp = setUpNetwork()
  const keys = makeKeys()
  const boot = (url: string, memoryMb = 1024) =>
    startMachine({ kernel: join(kit, 'kernel'), initrd: join(kit, 'initrd'), url, memoryMb })
  const rootfs = join(CACHE, 'busybox.tar')
  const env = ['PATH=/bin']

  // It needs more than a minute for itself, so it lives beside the others, on a wire of its own.
  let lonely: ReturnType<typeof liveAlone>
  before(() => {
    lonely = liveAlone()
    lonely.catch(() => {})
  })
  async function liveAlone() {
    const [, wire] = WIRES
    const argv = ['/busybox', 'cat', '/proc/cmdline', '/etc/hostname']
    await using server = await startBootServer({ rootfs: join(CACHE, 'scratch.tar'), argv }, keys, wire)
    await using machine = startMachine({
      ...{ kernel: join(kit, 'kernel'), initrd: join(kit, 'initrd'), url: server.url },
      ...{ memoryMb: 256, wire },
    })
    const { atMs } = await server.waitFor('exit/0')
    await machine.off()
    return { console: machine.console(), told: server.told, aloneMs: server.nowMs() - atMs, leases: dhcp.leases(wire) }
  }

  test('a workload runs with exactly its user, variables and directory; agent commands work on it', async () => {
    const argv = [
      'sh',
      '-c',
      'echo out; echo err >&2; echo again >/dev/stdout; trap "echo int; exit 7" INT; seq 1 20000; while :; do sleep 0.2; done',
    ]
    const workload = { rootfs, argv, env, user: { uid: 1000, gid: 1000, groups: [1000, 27] }, workdir: '/made/here' }
    await using server = await startBootServer(workload, keys)
    server.faults.rootfsCuts = 1
    await using machine = boot(server.url)
    await server.waitFor('stage/running')
    assert.deepEqual(
      server.told.map((t) => t.what),
      ['stage/initrd', 'stage/rootfs', 'stage/init', 'stage/running'],
    )
    assert.match(server.told[0]!.body, /^memory_kib=9\d{5}$/m)
    assert.match(machine.console(), /did not arrive whole \(try 1 of 2\)/)
    assert.doesNotMatch(machine.console(), /TOKEN|seq 1 20000/)
    await using agent = await connect(keys)

    const enter = async (user: string, ...argv: string[]) =>
      agent.run(`enter ${user} PATH=/bin a.b=${quote("it's\nnew")} -- ${argv.map(quote).join(' ')}`)
    const words = await enter('1000 1000 1000,27 /tmp', 'env')
    assert.equal(words.stderr, '')
    assert.equal(words.stdout.toString(), "PATH=/bin\na.b=it's\nnew\n")
    assert.match((await enter('1000 1000 1000,27 /tmp', 'id')).stdout.toString(), /uid=1000 gid=1000 groups=27,1000/)
    for (const [code, argv] of [
      [0, ['true']],
      [42, ['sh', '-c', 'exit 42']],
      [137, ['sh', '-c', 'kill -9 $$']],
      [127, ['nosuch']],
      [127, ['/nosuch']],
      [126, ['/etc/passwd']],
      [126, ['/etc']],
    ] as const)
      assert.equal((await enter('0 0 0 /', ...argv)).code, code, argv.join(' '))

    const blob = randomBytes(10 << 20)
    const put = await agent.run("enter 0 0 '' / PATH=/bin -- sh -c 'cat >/tmp/blob'", blob)
    assert.equal(put.code, 0)
    const archive = await agent.run('tar-out /tmp/blob')
    assert.equal((await agent.run('tar-in /made', archive.stdout)).code, 0)
    assert.ok((await enter('0 0 0 /', 'cat', '/made/blob')).stdout.equals(blob))
    assert.match((await agent.run('stat-path /bin/sh')).stdout.toString(), /^a1ff 7 0 0 \d+ YnVzeWJveA==\n$/)
    assert.equal((await agent.run('stat-path /nosuch')).code, 1)
    assert.match((await agent.run('top')).stdout.toString(), /^PID\tUSER\tTIME\tCOMMAND\n\d+\t1000\t.*sh -c echo out/)

    const terminal = await agent.start('enter 0 0 0 / PATH=/bin -- sh', { rows: 40, cols: 120 })
    const ran = collect(terminal)
    terminal.write('stty size; exit 3\n')
    const { code, stdout } = await ran
    assert.equal(code, 3)
    assert.match(stdout.toString(), /40 120/)

    const deaf = await agent.start(`enter 0 0 0 / PATH=/bin -- sh -c 'trap "" HUP; sleep 4321'`, { rows: 24, cols: 80 })
    const sleeps = (wanted: boolean) =>
      poll(async () => (await agent.run('top')).stdout.includes('sleep 4321') === wanted || undefined, {
        everyMs: 300,
        deadlineMs: 90_000,
      })
    assert.ok(await sleeps(true))
    deaf.close()
    assert.ok(await sleeps(false), 'a program outlives its terminal')
    assert.equal(
      (await enter('1000 1000 1000 /', 'cat', '/proc/cmdline')).stdout.toString().includes('bareboat'),
      false,
    )

    assert.equal((await agent.run('trim stdout 60000')).code, 0)
    const follow = collect(await agent.start('follow stdout 60000'))
    assert.equal((await agent.run('signal INT')).code, 0)
    const rest = (await follow).stdout.toString()
    assert.ok(rest.endsWith('20000\nint\n'), rest.slice(-40))
    assert.equal((await agent.run('follow stderr 0')).stdout.toString(), 'err\n')
    assert.equal((await agent.run('wait')).stdout.toString(), '7\n')
    await server.waitFor('exit/7')
    agent.powerOff()
    await machine.off()
  })

  test('a terminal, standard input, and the end of it', async () => {
    await using server = await startBootServer(
      { rootfs, argv: ['sh', '-c', 'read word; stty size; echo $word; cat; exit 5'], env, tty: true, stdin: true },
      keys,
    )
    await using machine = boot(server.url, 512)
    await server.waitFor('stage/running')
    await using agent = await connect(keys)
    const follow = collect(await agent.start('follow stdout 0'))
    await agent.run('resize 33 101')
    await agent.run('feed', 'typed\n')
    await agent.run('feed', 'more\n')
    assert.equal((await agent.run('feed --eof')).code, 0)
    assert.match((await follow).stdout.toString(), /33 101\r\ntyped\r\n(more\r\n){1,2}$/)
    await server.waitFor('exit/5')
    agent.powerOff()
    await machine.off()
  })

  test('output that nobody fetches costs its beginning, never the workload; the end of input ends cat', async () => {
    await using server = await startBootServer(
      { rootfs, argv: ['sh', '-c', 'dd if=/dev/zero bs=1M count=110 && exec cat'], env, stdin: true },
      keys,
    )
    await using machine = boot(server.url, 384)
    await server.waitFor('stage/running')
    await using agent = await connect(keys)
    assert.equal((await agent.run('feed', 'the end\n')).code, 0)
    assert.equal((await agent.run('feed --eof')).code, 0)
    await server.waitFor('exit/0')
    assert.equal((await agent.run('feed --eof')).code, 0)
    assert.equal((await agent.run('feed', 'too late')).code, 3)
    const late = await poll(
      async () => {
        const ran = await agent.run('follow stdout 0')
        return ran.stderr === '' ? undefined : ran
      },
      { everyMs: 500, deadlineMs: 120_000 },
    )
    assert.match(late?.stderr ?? '', /^bareboat: bytes 0 to \d+ are lost: nobody fetched them in time\n$/)
    assert.ok(late!.stdout.length > 1 << 20 && late!.stdout.length < 96 << 20, `${late!.stdout.length} bytes are left`)
    assert.equal(late!.stdout.subarray(-8).toString(), 'the end\n')
    agent.powerOff()
    await machine.off()
  })

  test('an image that unpacks to just more than fits says so', async () => {
    // 5 KiB each in the archive, 8 KiB in memory.
    const files = Array.from({ length: 15_000 }, (_, i) => ({ name: `f${i}`, data: 'x'.repeat(4097) }))
    await using server = await startBootServer({ rootfs: tarOf(...files), argv: ['true'], env }, keys)
    await using machine = boot(server.url, 240)
    assert.match((await server.waitFor('failed/rootfs')).body, /takes more than the \d+ MB of memory that this machine/)
    assert.match(machine.console(), /FAILED at rootfs/)
  })

  test('an image with busybox as its init runs as an OS and powers off', async () => {
    await using server = await startBootServer({ mode: 'os', rootfs: join(CACHE, 'busybox-init.tar') }, keys)
    await using machine = boot(server.url, 512)
    await server.waitFor('stage/running')
    await using agent = await connect(keys)
    const ran = await agent.run("enter 0 0 0 / PATH=/bin -- sh -c 'readlink /proc/1/exe; hostname; cat /tmp/up'")
    assert.equal(ran.stdout.toString(), '/bin/busybox\nlab-host\nup\n')
    agent.powerOff()
    await machine.off()
    assert.match(machine.console(), /Power down/)
  })

  test('a machine whose memory does not suffice says so', async () => {
    await using server = await startBootServer({ rootfs, rootfsBytes: 900 << 20, argv: ['true'], env }, keys)
    await using machine = boot(server.url, 512)
    assert.match((await server.waitFor('failed/rootfs')).body, /needs 900 MB of memory .* has \d+ MB free/)
    assert.match(machine.console(), /FAILED at rootfs/)
  })

  test('an unmodified Debian with systemd runs as an OS and powers off', async () => {
    await using server = await startBootServer({ mode: 'os', rootfs: debianRoot() }, keys)
    await using machine = boot(server.url, 2048)
    await server.waitFor('stage/running')
    await using agent = await connect(keys)
    const ran = await agent.run("enter 0 0 0 / PATH=/bin:/usr/bin -- sh -c 'readlink /proc/1/exe; hostname; tty'")
    assert.equal(ran.stdout.toString(), '/usr/lib/systemd/systemd\nlab-host\nnot a tty\n')
    const terminal = await collect(await agent.start('enter 0 0 0 / PATH=/bin -- tty', { rows: 24, cols: 80 }))
    assert.match(terminal.stdout.toString(), /^\/dev\/pts\/\d/)
    agent.powerOff()
    await machine.off()
    assert.match(machine.console(), /Power down/)
  })

  test('a machine that nobody visits renews its lease and switches itself off; its image is one file', async () => {
    const { console, told, aloneMs, leases } = await lonely
    assert.deepEqual(
      told.map((t) => t.what),
      ['stage/initrd', 'stage/rootfs', 'stage/init', 'stage/running', 'exit/0'],
    )
    assert.ok(aloneMs > 59_000, `only ${aloneMs} ms`)
    assert.ok(leases >= 2, 'the lease was never renewed')
    assert.match(console, /bareboat: power off/)
  })

  after(() => dhcp.stop())
}
