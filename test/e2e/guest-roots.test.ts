/**
 * The ways to a root file system, for real: a kit boots in QEMU from images that Debian's own programs made (mkfs.erofs, veritysetup,
 * mksquashfs) and serve (nbdkit). The tests run themselves again in a network namespace of their own.
 */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { poll } from '../../src/base/clock.ts'
import { buildGuestKit, GUEST_CACHE, runInNamespace } from '../fakes/guest-kit.ts'
import { connect, makeKeys, quote, setUpNetwork, startBootServer, startMachine, WIRES } from '../fakes/guest-lab.ts'
import { startGanesha } from '../fakes/ganesha.ts'
import { flipBit, makeVerityImage, startNbdServer } from '../fakes/verity-image.ts'

const PROGRAMS = 'qemu-system-x86_64 dnsmasq ip ss unshare apt-get tar mkfs.erofs veritysetup mksquashfs nbdkit'.split(
  ' ',
)
const missing = PROGRAMS.filter((name) => spawnSync('which', [name]).status !== 0)
const skip = missing.length > 0 ? `not installed: ${missing.join(', ')}` : process.getuid?.() !== 0 && 'not root'
const CACHE = join(GUEST_CACHE, 'roots')
const BIG_BYTES = 16 << 20
const TOKEN = 'dG9rZW4tb2YtYS1ib290'

if (process.env['BAREBOAT_ROOTS_TEST'] === undefined)
  test('a kit boots from each kind of root', { skip }, async () => {
    const { kit, busybox } = await buildGuestKit()
    makeImageFolder(busybox)
    runInNamespace(import.meta.filename, 'BAREBOAT_ROOTS_TEST', kit)
  })
else inNamespace(process.env['BAREBOAT_ROOTS_TEST'])

function makeImageFolder(busybox: Uint8Array): void {
  rmSync(CACHE, { recursive: true, force: true })
  const folder = join(CACHE, 'image')
  mkdirSync(join(folder, 'bin'), { recursive: true })
  writeFileSync(join(folder, 'bin/busybox'), busybox, { mode: 0o755 })
  const script = `set -e; cd ${folder}; mkdir etc tmp data data/gone data/dir; chmod 1777 tmp; chmod 751 .
    mkdir sbin; ln -s ../bin/busybox sbin/init; echo '::sysinit:/bin/true' >etc/inittab
    printf '#!/bin/sh\\nexec sleep 1000000\\n' >sbin/idle; chmod 755 sbin/idle
    for a in sh cat head id env sleep ls md5sum rm mkdir mv dd df stat true mount grep awk dmesg readlink poweroff; do ln -s busybox bin/$a; done
    echo root:x:0:0::/root:/bin/sh >etc/passwd; echo of the image >data/file; echo old >data/dir/old; ln data/file data/link
    setfattr -n user.kind -v first data/file`
  execFileSync('sh', ['-c', script])
  // A stream of bytes that does not repeat, the same in each run.
  const blocks = Array.from({ length: BIG_BYTES >> 5 }, (_, i) => createHash('sha256').update(String(i)).digest())
  writeFileSync(join(folder, 'data/big'), Buffer.concat(blocks))
}

function run(program: string, ...args: string[]): string {
  return execFileSync(program, args, { encoding: 'utf8' })
}

/** `d ./etc/` and so on, sorted. */
function typesAndNames(archive: string): string[] {
  const lines = run('tar', '-tvf', archive).trimEnd().split('\n')
  return lines.map((line) => `${line[0]} ${line.split(/ +/)[5]}`).toSorted()
}

function inNamespace(kit: string): void {
  const dhcp = setUpNetwork()
  const keys = makeKeys()
  const [{ server: host }] = WIRES
  const exports = join(CACHE, 'exports')
  mkdirSync(exports, { recursive: true })
  const image = makeVerityImage(join(CACHE, 'image'), join(exports, TOKEN))
  const big = readFileSync(join(CACHE, 'image/data/big'))
  const sum = createHash('md5').update(big).digest('hex')
  const env = ['PATH=/bin']

  const boot = (url: string, memoryMb = 512, rootHash = image.rootHash) =>
    startMachine({
      ...{ kernel: join(kit, 'kernel'), initrd: join(kit, 'initrd'), url, memoryMb },
      kernelArguments: `bareboat.roothash=${rootHash}`,
    })
  const lazy = (token = TOKEN) => ({
    ...{ BB_ROOTFS: 'lazy', BB_NBD_HOST: host, BB_NBD_PORT: 10809, BB_NBD_EXPORT: token, BB_NBD_CONNECTIONS: 2 },
    ...{ BB_FILL: 0, BB_PROFILE: 0, ...image.spec },
  })
  const startNbd = () => startNbdServer(exports, host)
  type Agent = Awaited<ReturnType<typeof connect>>
  const sh = async (agent: Agent, script: string) =>
    (await agent.run(`enter 0 0 0 / PATH=/bin -- sh -c ${quote(script)}`)).stdout.toString()

  test('a lazy root: blocks come when they are touched, and what is written can be taken out', async () => {
    await using server = await startBootServer(
      { argv: ['sh', '-c', 'cat /data/file; read x'], env, stdin: true, spec: lazy(), workdir: '/made/here' },
      keys,
    )
    await using _nbd = await startNbd()
    await using machine = boot(server.url, 256)
    await server.waitFor('stage/running')
    await using agent = await connect(keys)
    assert.equal(await sh(agent, 'md5sum /data/big'), `${sum}  /data/big\n`)
    assert.match(await sh(agent, 'stat -c %a /; cat /etc/hostname; grep -c . /etc/hosts'), /^751\nlab-host\n3\n$/)
    assert.doesNotMatch(await sh(agent, 'cat /proc/[0-9]*/cmdline'), new RegExp(TOKEN))
    assert.doesNotMatch(machine.console(), new RegExp(TOKEN))

    await sh(
      agent,
      'echo new >>/data/file; rm -r /data/gone; mv /data/dir /data/moved; mkdir /data/dir; echo x >/data/dir/new; echo more >>/etc/hosts; rm /data/link',
    )
    const upper = await agent.run('upper-out')
    assert.equal(upper.stderr, '')
    const archive = join(CACHE, 'upper.tar')
    writeFileSync(archive, upper.stdout)
    // "c" is a whiteout; our /etc/hosts is not there although it was changed.
    assert.deepEqual(typesAndNames(archive), [
      '- ./data/dir/new',
      '- ./data/file',
      '- ./data/moved/old',
      'c ./data/gone',
      'c ./data/link',
      'd ./',
      'd ./data/',
      'd ./data/dir/',
      'd ./data/moved/',
      'd ./etc/',
    ])
    assert.match(run('tar', '--xattrs', '--xattrs-include=*', '-tvvf', archive), /user\.kind/)
    assert.match(readFileSync(archive, 'latin1'), /SCHILY\.xattr\.trusted\.overlay\.opaque=y/)

    const whole = join(CACHE, 'root.tar')
    writeFileSync(whole, (await agent.run('root-out')).stdout)
    const names = typesAndNames(whole)
    for (const name of ['- ./data/big', 'd ./proc/', 'd ./sys/', 'd ./dev/', '- ./data/moved/old', 'd ./made/here/'])
      assert.ok(names.includes(name), name)
    assert.ok(!names.some((name) => /\.\/(proc|sys|dev|data\/gone)\/./.test(name)))
    assert.equal((await agent.run('feed --eof')).code, 0)
    await server.waitFor('exit/1')
    agent.powerOff()
    await machine.off()
  })

  test('a server that is away, hangs or drops its connections costs a lazy root time, and no error', async () => {
    const argv = [
      'sh',
      '-c',
      'while :; do echo 1 >/proc/sys/vm/drop_caches; md5sum /data/big || exit 9; sleep 0.2; done',
    ]
    await using server = await startBootServer({ argv, env, spec: lazy() }, keys)
    await using nbd = await startNbd()
    await using machine = boot(server.url)
    await server.waitFor('stage/running')
    await using agent = await connect(keys)
    let lines: string[] = []
    const follow = await agent.start('follow stdout 0')
    follow.on('data', (chunk: Buffer) => (lines = [...lines, ...chunk.toString().trimEnd().split('\n')]))
    const goesOn = async (what: string) => {
      const before = lines.length
      assert.ok(await poll(() => lines.length > before + 1 || undefined, { everyMs: 200, deadlineMs: 200_000 }), what)
    }
    await goesOn('it reads')
    for (const seconds of [12, 1, 3]) {
      await nbd.kill()
      await sleep(seconds * 1000)
      await nbd.restart()
      await goesOn(`after ${seconds} s without a server`)
    }
    spawnSync('ss', ['-K', 'src', `${host}:10809`])
    await goesOn('after its connections were dropped')
    // Longer than a request waits for its answer.
    nbd.freeze()
    await sleep(25_000)
    nbd.thaw()
    await goesOn('after a server that did not answer')
    assert.deepEqual([...new Set(lines)], [`${sum}  /data/big`])
    assert.match(machine.console(), /the image's server is away: reads wait for it/)
    assert.match(machine.console(), /the image's server is back after \d+ s/)
    assert.doesNotMatch(machine.console(), /I\/O error, dev (dm|loop)|EROFS|verity/i)
    assert.doesNotMatch(await sh(agent, 'cat /proc/[0-9]*/cmdline'), new RegExp(TOKEN))
  })

  test('a flipped bit is an I/O error where it is, never wrong data; a foreign root hash stops the boot', async () => {
    const at = readFileSync(image.path).indexOf(big.subarray(0, 4096)) + (1 << 20)
    flipBit(image.path, join(exports, 'flipped'), at)
    const read = 'dd if=/data/big bs=4096 of=/dev/null count=1 skip'
    const argv = ['sh', '-c', `${read}=256; echo $?; ${read}=255; echo $?; ${read}=257; echo $?; md5sum /data/big`]
    await using server = await startBootServer({ argv, env, spec: lazy('flipped') }, keys)
    await using _nbd = await startNbd()
    await using machine = boot(server.url)
    await server.waitFor('exit/1')
    await using agent = await connect(keys)
    assert.equal((await agent.run('follow stdout 0')).stdout.toString(), '1\n0\n0\n')
    assert.match((await agent.run('follow stderr 0')).stdout.toString(), /md5sum: .*(I\/O|Input\/output) error/)
    assert.match(machine.console(), /verity.*data block \d+ is corrupted/)
  })

  test('a lazy root that cannot be: wrong export, no server, a foreign root hash; each said in words', async () => {
    await using nbd = await startNbd()
    const failing = async (spec: Record<string, string | number>, rootHash = image.rootHash): Promise<string> => {
      await using server = await startBootServer({ argv: ['true'], env, spec }, keys)
      await using _machine = boot(server.url, 256, rootHash)
      return (await server.waitFor('failed/rootfs')).body
    }
    assert.match(await failing(lazy('guessed')), /^no image at 10\.78\.0\.1:10809: the server knows no such export/)
    assert.match(await failing(lazy(), '0'.repeat(64)), /cannot mount the image as erofs: .*verity/)
    await nbd.kill()
    assert.match(await failing(lazy()), /^no image at 10\.78\.0\.1:10809: can't connect .*refused \(7 tries\)/)
  })

  test('an OS on a lazy root outlives its server, and powers off', async () => {
    await using server = await startBootServer({ mode: 'os', spec: lazy() }, keys)
    await using nbd = await startNbd()
    await using machine = boot(server.url)
    await server.waitFor('stage/running')
    await using agent = await connect(keys)
    await nbd.kill()
    const reading = sh(agent, 'md5sum /data/big; readlink /proc/1/exe')
    await sleep(5_000)
    await nbd.restart()
    assert.equal(await reading, `${sum}  /data/big\n/bin/busybox\n`)
    assert.doesNotMatch(await sh(agent, 'cat /proc/[0-9]*/cmdline'), new RegExp(TOKEN))
    agent.powerOff()
    await machine.off()
    assert.match(machine.console(), /Power down/)
  })

  test('what was forgotten of a root, or a PID 1 that waits for it and reaps nobody, does not keep its server away', async () => {
    await using server = await startBootServer({ mode: 'os', spec: { ...lazy(), BB_INIT: '/sbin/idle' } }, keys)
    await using nbd = await startNbd()
    await using _machine = boot(server.url)
    await server.waitFor('stage/running')
    await using agent = await connect(keys)
    const reading = sh(
      agent,
      'echo ready >/tmp/ready; for _ in 1 2 3 4 5 6 7 8; do echo 3 >/proc/sys/vm/drop_caches; sleep 0.3; done; md5sum /data/big',
    )
    assert.ok(
      await poll(async () => (await sh(agent, 'cat /tmp/ready')) || undefined, { everyMs: 100, deadlineMs: 200_000 }),
    )
    await nbd.kill()
    await sleep(8_000)
    await nbd.restart()
    assert.equal(await reading, `${sum}  /data/big\n`)
  })

  test('an image in memory: fetched whole, over a broken connection, and verified', async () => {
    const spec = { BB_ROOTFS: 'image', ...image.spec }
    const argv = ['md5sum', '/data/big']
    await using server = await startBootServer({ argv, env, spec, files: { 'rootfs.erofs': image.path } }, keys)
    server.faults.rootfsCuts = 2
    await using machine = boot(server.url)
    await server.waitFor('exit/0')
    assert.match(machine.console(), /the image did not arrive whole/)
    await using agent = await connect(keys)
    assert.equal((await agent.run('follow stdout 0')).stdout.toString(), `${sum}  /data/big\n`)
    assert.equal((await agent.run('upper-out')).code, 0)
  })

  test('a squashfs in memory, and one that is not what was asked for', async () => {
    const path = join(CACHE, 'image.squashfs')
    run('mksquashfs', join(CACHE, 'image'), path, '-comp', 'zstd', '-Xcompression-level', '3', '-noappend', '-quiet')
    const digest = createHash('sha256').update(readFileSync(path)).digest('hex')
    const spec = { BB_ROOTFS: 'image', BB_IMAGE_FORMAT: 'squashfs', BB_DEVICE_BYTES: statSync(path).size }
    const start = (sha256: string) => {
      const files = { 'rootfs.squashfs': path }
      return startBootServer(
        { argv: ['md5sum', '/data/big'], env, spec: { ...spec, BB_IMAGE_SHA256: sha256 }, files },
        keys,
      )
    }
    await using server = await start(digest)
    {
      await using _machine = boot(server.url)
      await server.waitFor('exit/0')
    }
    await using other = await start('0'.repeat(64))
    await using _machine = boot(other.url)
    assert.match(
      (await other.waitFor('failed/rootfs')).body,
      /the image has the digest sha256:[0-9a-f]{64}, not sha256:0{64}/,
    )
  })

  test('a boot profile is read ahead of the workload: what is in it needs the server no more', async () => {
    const profile = join(CACHE, 'profile')
    const blocks = image.spec['BB_DEVICE_BYTES']! / 4096
    writeFileSync(profile, `1000 ${blocks - 1000}\n0 1000\n`)
    const argv = [
      'sh',
      '-c',
      `sent() { awk '$3 ~ /^nbd/ { sectors += $6 } END { print sectors }' /proc/diskstats; }
       until dmesg | grep -q 'the boot profile is'; do sleep 0.2; done
       # The kernel reads the first block of each connection's device when it is there.
       until [ "$(awk '$3 ~ /^nbd/ && $6 > 0' /proc/diskstats | wc -l)" -eq 2 ]; do sleep 0.2; done
       before=$(sent); md5sum /data/big; echo $(($(sent) - before))`,
    ]
    const spec = { ...lazy(), BB_PROFILE: 1 }
    await using server = await startBootServer({ argv, env, spec, files: { profile } }, keys)
    await using _nbd = await startNbd()
    await using machine = boot(server.url)
    await server.waitFor('exit/0')
    assert.match(machine.console(), /the boot profile is read: \d+ MB in 2 pieces/)
    await using agent = await connect(keys)
    assert.equal((await agent.run('follow stdout 0')).stdout.toString(), `${sum}  /data/big\n0\n`)
  })

  test('--fill: once the image is on the machine, the server may go away for good', async () => {
    await using server = await startBootServer(
      { argv: ['sh', '-c', 'read x; md5sum /data/big'], env, stdin: true, spec: { ...lazy(), BB_FILL: 1 } },
      keys,
    )
    await using nbd = await startNbd()
    await using machine = boot(server.url, 640)
    await server.waitFor('filled', 180_000)
    await nbd.kill()
    await using agent = await connect(keys)
    assert.equal((await agent.run('feed --eof')).code, 0)
    await server.waitFor('exit/0')
    assert.equal((await agent.run('follow stdout 0')).stdout.toString(), `${sum}  /data/big\n`)
    assert.match(machine.console(), /its server is not needed any more/)
    assert.doesNotMatch(machine.console(), /is away/)
  })

  const ganesha = spawnSync('which', ['ganesha.nfsd']).status !== 0 && 'not installed: ganesha.nfsd'
  test('a root over NFS is written to on the server', { skip: ganesha }, async () => {
    const directory = join(CACHE, 'nfs')
    run('cp', '-a', join(CACHE, 'image'), directory)
    await using _nfs = await startGanesha(directory, '/root1', join(CACHE, 'ganesha'))
    // READ_PLUS of NFSv4.2 is broken in the nfs-ganesha 4.3 of Debian 12: Linux 6.12 reads with I/O errors.
    const spec = { BB_ROOTFS: 'nfs', BB_NFS_SOURCE: `${host}:/root1`, BB_NFS_OPTIONS: 'vers=4.1,proto=tcp,hard' }
    const argv = ['sh', '-c', 'md5sum /data/big; cat /etc/hostname; echo written >/data/dir/new; rm /data/dir/old']
    await using server = await startBootServer({ argv, env, spec }, keys)
    await using _machine = boot(server.url)
    await server.waitFor('exit/0')
    await using agent = await connect(keys)
    assert.equal((await agent.run('follow stdout 0')).stdout.toString(), `${sum}  /data/big\nlab-host\n`)
    assert.equal(readFileSync(join(directory, 'data/dir/new'), 'utf8'), 'written\n')
    assert.equal(existsSync(join(directory, 'data/dir/old')), false)
    assert.match((await agent.run('upper-out')).stderr, /has no layer of its own/)
  })

  test('a machine without the memory for an image says so', async () => {
    const spec = { BB_ROOTFS: 'image', ...image.spec, BB_DEVICE_BYTES: 900 << 20 }
    await using server = await startBootServer({ argv: ['true'], env, spec }, keys)
    await using _machine = boot(server.url)
    assert.match((await server.waitFor('failed/rootfs')).body, /the image needs 901 MB of memory .* has \d+ MB free/)
  })

  after(() => dhcp.stop())
}
