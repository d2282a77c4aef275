import assert from 'node:assert/strict'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { mutate, randomFrom } from '../fuzz/mutate.ts'
import { missing, openNetPair, type NetPair } from './net-pair.ts'

const subnets = [
  { cidr: '10.66.0.0/16', pools: [['10.66.1.1', '10.66.1.50']], routers: ['10.66.0.1'], leaseSeconds: 600 },
] as const

/** udhcpc, busybox's client; @returns the address that it got */
async function udhcpc(net: NetPair, ...more: string[]): Promise<string | undefined> {
  const { stderr } = await net.client(
    'udhcpc',
    '-i',
    'c0',
    '-n',
    '-q',
    '-f',
    '-t',
    '3',
    '-T',
    '1',
    '-s',
    '/bin/true',
    ...more,
  )
  return /lease of ([\d.]+) obtained/.exec(stderr)?.[1]
}

const without = (...programs: string[]) => ({ skip: missing(...programs) ?? false })

test('dhcp: udhcpc gets a lease', without('udhcpc'), async () => {
  await using net = openNetPair()
  const host = await net.host({ subnets })
  assert.equal(await udhcpc(net), '10.66.1.1')
  await host.until((line) => line.kind === 'dhcp-ack' && line['address'] === '10.66.1.1')
  await host.kill('SIGTERM')
  assert.equal(host.child.exitCode, 0, 'it ends in order')
})

test('dhcp: dhclient gets a lease, renews and releases it', without('dhclient'), async () => {
  await using net = openNetPair()
  const host = await net.host({ subnets })
  const files = ['-lf', join(net.folder, 'leases'), '-pf', join(net.folder, 'pid'), '-sf', '/bin/true']
  const { stderr } = await net.client('dhclient', '-4', '-1', '-v', ...files, 'c0')
  assert.match(stderr, /bound to 10\.66\.1\.1/)
  const lease = readFileSync(join(net.folder, 'leases'), 'utf8')
  assert.match(lease, /option dhcp-lease-time 600;/)
  assert.match(lease, /option routers 10\.66\.0\.1;/)
  assert.match(lease, /option dhcp-server-identifier 10\.66\.0\.1;/)
  await net.client('ip', 'addr', 'add', '10.66.1.1/16', 'dev', 'c0')
  await net.client('dhclient', '-4', '-r', '-v', ...files, 'c0')
  await host.until((line) => line.kind === 'dhcp-release')
})

test('dhcp: a fixed address, and unknown machines left alone where the site says so', without('udhcpc'), async () => {
  await using net = openNetPair()
  await net.client('ip', 'link', 'set', 'c0', 'address', '02:00:00:00:66:01')
  await net.host({ subnets, servesUnknown: false, fixed: { '02:00:00:00:66:01': '10.66.9.9' } })
  assert.equal(await udhcpc(net), '10.66.9.9')
  await net.client('ip', 'link', 'set', 'c0', 'address', '02:00:00:00:66:02')
  assert.equal(await udhcpc(net), undefined)
})

test('dhcp: a disabled machine hears nothing, although it has a fixed address', without('udhcpc'), async () => {
  await using net = openNetPair()
  const [disabled, other] = ['02:00:00:00:66:01', '02:00:00:00:66:02']
  const fixed = { [disabled]: '10.66.9.9', [other]: '10.66.9.10' }
  const host = await net.host({ subnets, fixed, disabled: [disabled], isDebug: true })
  await net.client('ip', 'link', 'set', 'c0', 'address', disabled)
  assert.equal(await udhcpc(net), undefined)
  await host.until((line) => line['why'] === 'the machine is disabled')
  await net.client('ip', 'link', 'set', 'c0', 'address', other)
  assert.equal(await udhcpc(net), '10.66.9.10')
})

test('dhcp: leases survive a SIGKILL of the server', without('udhcpc'), async () => {
  await using net = openNetPair()
  const database = join(net.folder, 'leases.db')
  const first = await net.host({ subnets, database })
  await net.client('ip', 'link', 'set', 'c0', 'address', '02:00:00:00:66:01')
  assert.equal(await udhcpc(net), '10.66.1.1')
  await first.kill('SIGKILL')
  const second = await net.host({ subnets, database })
  assert.equal((await second.health())['leases'], 1)
  await net.client('ip', 'link', 'set', 'c0', 'address', '02:00:00:00:66:02')
  assert.equal(await udhcpc(net), '10.66.1.2', 'the address of the first machine is not given again')
  await net.client('ip', 'link', 'set', 'c0', 'address', '02:00:00:00:66:01')
  assert.equal(await udhcpc(net), '10.66.1.1')
})

test(
  'dhcp: under load and killed again and again, no address is ever given to two machines (P7)',
  without('perfdhcp'),
  async () => {
    await using net = openNetPair({ clientAddress: '10.66.0.2/16' })
    const wide = [{ cidr: '10.66.0.0/16', pools: [['10.66.1.0', '10.66.99.255']] as const, leaseSeconds: 3600 }]
    const database = join(net.folder, 'leases.db')
    let isOver = false
    const load = net
      .client('perfdhcp', '-4', '-r', '600', '-p', '8', '-R', '20000', '-l', 'c0')
      .finally(() => (isOver = true))
    const holders = new Map<string, string>()
    let acknowledged = 0
    for (let round = 0; !isOver; round++) {
      const host = await net.host({ subnets: wide, database })
      await Promise.race([load, new Promise((done) => setTimeout(done, 1000 + 300 * round))])
      await host.kill('SIGKILL')
      for (const line of host.lines) {
        if (line.kind !== 'dhcp-ack') continue
        acknowledged++
        const [address, mac] = [String(line['address']), String(line['mac'])]
        assert.equal(holders.get(address) ?? mac, mac, `${address} was given to two machines`)
        holders.set(address, mac)
      }
    }
    assert.ok(acknowledged > 500, `only ${acknowledged} acknowledged`)
    await load
    const last = await net.host({ subnets: wide, database })
    assert.ok(Number((await last.health())['leases']) >= holders.size, 'an acknowledged lease is lost')
  },
)

test(
  'dhcp: a lease whose fsync fails is not acknowledged, health says so, and none that was is lost (P2)',
  without('udhcpc', 'strace'),
  async () => {
    await using net = openNetPair()
    const database = join(net.folder, 'leases.db')
    await (await net.host({ subnets, database })).kill('SIGTERM')
    const log = join(net.folder, 'strace')
    const broken = await net.host({ subnets, database }, [
      'strace',
      '-f',
      '-o',
      log,
      '-e',
      'trace=fdatasync,fsync',
      '-e',
      'inject=fdatasync,fsync:error=EIO:when=5+',
    ])
    const acknowledged: string[] = []
    for (let n = 10; n < 20; n++) {
      await net.client('ip', 'link', 'set', 'c0', 'address', `02:00:00:00:66:${n}`)
      const address = await udhcpc(net)
      if (address === undefined) break
      acknowledged.push(address)
    }
    assert.match(readFileSync(log, 'utf8'), /EIO .*INJECTED/)
    assert.ok(acknowledged.length < 10, 'leases were given although nothing could be stored')
    assert.ok(acknowledged.length > 0, 'the first ones could be stored')
    const sick = await broken.health()
    assert.deepEqual([sick['isHealthy'], /cannot be stored/.test(String(sick['why']))], [false, true])
    await broken.kill('SIGKILL')
    const again = await net.host({ subnets, database })
    assert.ok(Number((await again.health())['leases']) >= acknowledged.length)
  },
)

test(
  'dhcp: relays, option 82, overload and split options, as scapy makes and reads them',
  without('scapy'),
  async () => {
    await using net = openNetPair({ clientAddress: '10.66.0.2/16' })
    const host = await net.host({ subnets, isDebug: true })
    const script = fileURLToPath(new URL('dhcp-packets.py', import.meta.url))
    const { stdout, stderr } = await net.client('/usr/bin/python3', script, '10.66.0.1', '10.66.0.2')
    const said = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>)
    const of = (name: string) => said.find((line) => line['case'] === name) ?? assert.fail(`no ${name}: ${stderr}`)
    const agent = of('relay')['agent'] as string
    assert.match(agent, /xde.*xad.*abc/s)
    assert.deepEqual(
      [of('relay')['reply'], of('relay')['yiaddr'], of('relay')['giaddr']],
      ['offer', '10.66.1.1', '10.66.0.2'],
    )
    assert.ok(Number(of('relay')['bytes']) >= 300)
    assert.deepEqual([of('relay request')['reply'], of('relay request')['agent']], ['ack', agent])
    assert.equal(of('wrong address')['reply'], 'nak')
    assert.equal(of('foreign server')['reply'], null)
    assert.deepEqual(
      [of('overload and split')['file'], of('overload and split')['siaddr']],
      ['snponly.efi', '10.66.0.1'],
    )
    assert.equal(of('strange relay')['reply'], null)
    assert.ok(host.lines.some((line) => /198\.51\.100\.1 is not configured/.test(String(line['why']))))
  },
)

test('dhcp: what comes in at another interface is not answered', without('udhcpc'), async () => {
  await using net = openNetPair()
  const second = await net.beside('ip', 'link', 'add', 's1', 'type', 'veth', 'peer', 'name', 's2')
  assert.equal(second.status, 0, second.stderr)
  for (const name of ['s1', 's2']) await net.beside('ip', 'link', 'set', name, 'up')
  await net.beside('ip', 'addr', 'add', '10.67.0.1/16', 'dev', 's1')
  const host = await net.host({ subnets, isDebug: true })
  const { stderr } = await net.beside('udhcpc', '-i', 's2', '-n', '-q', '-f', '-t', '2', '-T', '1', '-s', '/bin/true')
  assert.doesNotMatch(stderr, /obtained/)
  assert.equal(await udhcpc(net), '10.66.1.1')
  assert.equal(host.lines.filter((line) => line.kind === 'dhcp-discover').length, 1)
})

test(
  'dhcp: it starts on an interface without a carrier, and serves when the cable is in',
  without('udhcpc'),
  async () => {
    await using net = openNetPair()
    await net.client('ip', 'link', 'set', 'c0', 'down')
    await net.host({ subnets })
    await net.client('ip', 'link', 'set', 'c0', 'up')
    assert.equal(await udhcpc(net), '10.66.1.1')
  },
)

test('dhcp: 20,000 mutated packets do not stop it or make it grow (P9)', without('udhcpc', 'python3'), async () => {
  await using net = openNetPair({ clientAddress: '10.66.0.2/16' })
  const host = await net.host({ subnets, isQuiet: true })
  assert.equal(await udhcpc(net), '10.66.1.1')
  const folder = new URL('../packets/dhcp/', import.meta.url)
  const samples = readdirSync(folder)
    .filter((file) => file.endsWith('.bin'))
    .map((file) => readFileSync(new URL(file, folder)))
  const random = randomFrom(9)
  const all = Array.from({ length: 20_000 }, () => Buffer.from(mutate(samples, random)))
  const noise = join(net.folder, 'noise')
  writeFileSync(noise, all.map((bytes) => bytes.toString('hex')).join('\n'))
  const send = `import socket,sys,time
s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)
for n,line in enumerate(open(sys.argv[1])):
    s.sendto(bytes.fromhex(line.strip()),("10.66.0.1",67))
    if n % 50 == 0: time.sleep(0.005)
`
  assert.equal((await net.client('/usr/bin/python3', '-c', send, noise)).status, 0)
  const before = await host.health()
  assert.equal((await net.client('/usr/bin/python3', '-c', send, noise)).status, 0)
  const after = await host.health()
  const grown = (Number(after['rss']) - Number(before['rss'])) / 1e6
  assert.ok(grown < 20, `${grown.toFixed(1)} MB grown`)
  assert.equal(after['isHealthy'], true)
  const errors = host.lines.filter((line) => line['level'] === 'error')
  assert.deepEqual(errors, [])
  assert.match((await udhcpc(net)) ?? 'nothing', /10\.66\.1\.1/)
})
