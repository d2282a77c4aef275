/**
 * What a server does from inside a machine that is in the agent: ask its BMC, make a user of it, open a shell, have a disk erase itself. One
 * boot over the network by UEFI firmware. Judges: ipmitool over the network, and the disk's own bytes.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { poll } from '../../src/base/clock.ts'
import type { DemoPlace } from '../../src/cli/demo/place.ts'
import { startServer, type ServerProcess } from '../../src/cli/demo/server.ts'
import { openSecretBox } from '../../src/drivers/secrets/secret-box.ts'
import { createEventBus } from '../../src/drivers/store/sqlite/events.ts'
import { createMachineStore } from '../../src/drivers/store/sqlite/machines.ts'
import { openSqlite } from '../../src/drivers/store/sqlite/database.ts'
import { siteMigrations, type SiteTables } from '../../src/drivers/store/sqlite/site.ts'
import type { Inventory } from '../../src/model/inventory.ts'
import type { Machine } from '../../src/model/machine.ts'
import { buildGuestKit, KIT_DIR, runInNamespace } from '../fakes/guest-kit.ts'
import { BENCH, setUpBenchNetwork, startBench } from '../fakes/inband-bench.ts'
import { startCommand, type CommandOptions } from './command-line.ts'

const PROGRAMS = 'qemu-system-x86_64 ipmi_sim ipmitool ip unshare apt-get busybox script'.split(' ')
const missing = PROGRAMS.filter((program) => spawnSync('sh', ['-c', `command -v ${program}`]).status !== 0)
if (!existsSync('/usr/share/OVMF/OVMF_CODE_4M.fd')) missing.push('ovmf')
const skip = missing.length > 0 ? `not installed: ${missing.join(', ')}` : process.getuid?.() !== 0 && 'not root'
const VARIABLE = 'BAREBOAT_INBAND_TEST'
/** Emulated, with UEFI firmware and a kernel for every machine, on a busy host. */
const BOOT_MS = 900_000

if (process.env[VARIABLE] === undefined)
  test('from inside a machine its BMC is set up and its disk erased', { skip }, async () => {
    await buildGuestKit()
    runInNamespace(import.meta.filename, VARIABLE, 'inside')
  })
else suite('in-band', { concurrency: 1, timeout: 1_800_000 }, inNamespace)

function inNamespace(): void {
  const dir = mkdtempSync(join(tmpdir(), 'bareboat-inband-'))
  const place: DemoPlace = {
    dir,
    dataDir: join(dir, 'data'),
    rackDir: join(dir, 'rack'),
    socket: join(dir, 'api.sock'),
    serverLog: join(dir, 'server.log'),
    pidFile: join(dir, 'server.pid'),
    kitDir: KIT_DIR,
  }
  const NAME = `m-${BENCH.mac.replaceAll(':', '')}`
  const env = { BAREBOAT_HOST: `unix://${place.socket}` }
  const run = (argv: readonly string[], options: CommandOptions = {}) => startCommand(argv, { ...options, env }).done
  const ok = async (argv: readonly string[], options?: CommandOptions): Promise<string> => {
    const { code, stdout, stderr } = await run(argv, options)
    assert.equal(code, 0, `bareboat ${argv.join(' ')}: ${stdout}${stderr}`)
    return stdout.trimEnd()
  }
  let server: ServerProcess
  let bench: Awaited<ReturnType<typeof startBench>>

  before(async () => {
    setUpBenchNetwork()
    mkdirSync(join(dir, 'bench'))
    const flags = ['--interface', BENCH.tap, '--dhcp-range', '10.78.0.50-10.78.0.60', '--log-level', 'debug']
    server = await startServer(place, flags, undefined, {}, new AbortController().signal)
    bench = await startBench(join(dir, 'bench'))
  })
  after(async () => {
    await bench?.[Symbol.asyncDispose]()
    await server?.end()
    rmSync(dir, { recursive: true, force: true })
  })

  async function inventory(): Promise<Inventory> {
    const found = await poll(
      async () => {
        const { code, stdout } = await run(['machine', 'inventory', '--json', NAME])
        if (code !== 0) return undefined
        const told = (JSON.parse(stdout) as Inventory[]).find(({ source }) => source === 'agent')
        return told?.bmc?.lans || told?.notes.some((note) => note.includes('from inside')) ? told : undefined
      },
      { everyMs: 1000, deadlineMs: BOOT_MS },
    )
    assert.ok(
      found,
      `no report: ${bench.console().slice(-3000)}\n${readFileSync(place.serverLog, 'utf8').slice(-3000)}`,
    )
    return found
  }

  /** As the server keeps it, for judges that log in with it. */
  async function storedPassword(): Promise<string> {
    await using database = openSqlite<SiteTables>(join(place.dataDir, 'state.db'), siteMigrations)
    const events = createEventBus(database.db, Date.now)
    const store = createMachineStore(database.db, events, openSecretBox(join(place.dataDir, 'secret.key')), Date.now)
    const machine = (await store.list()).find(({ name }) => name === NAME)!
    return (await store.bmcPassword(machine.id))!
  }

  function ipmitool(user: string, password: string, ...words: string[]): { status: number | null; stdout: string } {
    const file = join(dir, 'password')
    writeFileSync(file, password, { mode: 0o600 })
    const login = ['-I', 'lanplus', '-C', '3', '-H', BENCH.bmc.ip, '-U', user, '-f', file]
    return spawnSync('ipmitool', [...login, ...words], { encoding: 'utf8' })
  }

  test('a machine with UEFI firmware tells of itself, and of where its BMC is', async () => {
    const { system, bmc, disks, notes } = await inventory()
    assert.equal(system.serial, BENCH.serial)
    assert.deepEqual([bmc!.ip, bmc!.mac, bmc!.firmware], [BENCH.bmc.ip, BENCH.bmc.mac, '9.08'], notes.join())
    assert.deepEqual(bmc!.lans, [
      { channel: 1, ip: BENCH.bmc.ip, netmask: '255.255.255.0', mac: BENCH.bmc.mac, ipv6: [] },
    ])
    assert.ok(
      bmc!.users!.some(({ id, name, privilege }) => id === 2 && name === 'admin' && privilege === 'administrator'),
    )
    assert.deepEqual(
      disks.map(({ serial, kind, sizeBytes }) => [serial, kind, sizeBytes]),
      [[BENCH.disk.serial, 'nvme', BENCH.disk.bytes]],
    )
    const [machine] = JSON.parse(await ok(['machine', 'inspect', NAME])) as Machine[]
    assert.deepEqual([machine!.firmware, machine!.bmc], ['uefi', undefined])
    console.log(await ok(['machine', 'inventory', NAME]))
  })

  test('machine shell: input, output and exit code; a terminal where there is one', async () => {
    const ran = await run(['machine', 'shell', NAME, 'sh', '-c', 'cat; echo err >&2; exit 7'], {
      input: Buffer.from('through\n'),
    })
    assert.deepEqual([ran.code, ran.stdout, ran.stderr], [7, 'through\n', 'err\n'])
    const terminal = startCommand(['machine', 'shell', NAME], {
      env,
      isOpen: true,
      around: (argv) => ['script', '-qec', argv.map((word) => `'${word}'`).join(' '), '/dev/null'],
    })
    await terminal.until(/# /)
    terminal.write('tty; exit 3\n')
    await terminal.until(/\/dev\/pts\/\d/)
    assert.equal((await terminal.done).code, 3)
    await ok(['machine', 'add', 'elsewhere', '--mac', '52:54:00:00:78:99'])
    assert.match((await run(['machine', 'shell', 'elsewhere'])).stderr, /it is not in the agent now; cordon it/)
  })

  test('bmc setup: a user is made, which comes in over the network, and nobody else is touched', async () => {
    const taken = await run(['machine', 'bmc', 'setup', '--user', BENCH.bmc.user, NAME])
    assert.match(taken.stderr, /user "admin" \(2\) is there, and not ours/)
    const made = await run(['machine', 'bmc', 'setup', NAME])
    assert.deepEqual([made.code, made.stdout], [0, `ipmi://bareboat@${BENCH.bmc.ip}\n`], made.stderr)
    const password = await storedPassword()
    assert.match(password, /^[A-Za-z0-9]{16}$/)
    assert.match(ipmitool('bareboat', password, 'chassis', 'power', 'status').stdout, /Chassis Power is/)
    assert.match(
      ipmitool(BENCH.bmc.user, BENCH.bmc.password, 'user', 'list', '1').stdout,
      /^3 +bareboat +.*ADMINISTRATOR/m,
    )
    assert.match(await ok(['machine', 'bmc', 'users', NAME]), /bareboat/)
    const log = readFileSync(place.serverLog, 'utf8')
    const inside = await ok([
      'machine',
      'shell',
      NAME,
      'sh',
      '-c',
      'dmesg; cat /proc/[0-9]*/cmdline; ls -R /run /tmp /root',
    ])
    for (const text of [made.stderr, log, bench.console(), inside]) assert.ok(!text.includes(password))
  })

  test('bmc setup: again it changes nothing; --rotate gives a new password', async () => {
    const password = await storedPassword()
    assert.match((await run(['machine', 'bmc', 'setup', NAME])).stderr, /is there already/)
    assert.equal(await storedPassword(), password)
    assert.match((await run(['machine', 'bmc', 'setup', '--rotate', NAME])).stderr, /has a new password/)
    const rotated = await storedPassword()
    assert.notEqual(rotated, password)
    assert.notEqual(ipmitool('bareboat', password, 'chassis', 'power', 'status').status, 0)
    assert.equal(ipmitool('bareboat', rotated, 'chassis', 'power', 'status').status, 0)
  })

  test('wipe --secure-erase: the disk erases itself, and is read back', async () => {
    assert.ok(readFileSync(bench.disk).includes('an old file system'))
    const wipe = ['machine', 'wipe', NAME, '--disk', BENCH.disk.serial, '--secure-erase', '--confirm', NAME]
    const ran = await run(wipe, { deadlineMs: 300_000 })
    assert.deepEqual([ran.code, ran.stdout], [0, `${BENCH.disk.serial}\n`], ran.stderr)
    assert.match(ran.stderr, /the whole disk read back as zeros/)
    assert.ok(readFileSync(bench.disk).equals(Buffer.alloc(BENCH.disk.bytes)))
  })
}
