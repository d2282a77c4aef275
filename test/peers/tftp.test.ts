import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { missing, openNetPair, type Host, type NetPair, type Ran } from './net-pair.ts'

const subnets = [{ cidr: '10.66.0.0/16', pools: [] }]
const SERVER = '10.66.0.1'
const without = (...programs: string[]) => ({ skip: missing(...programs) ?? false })

/** Our server with one file of `sizeBytes`, and who fetches it. */
async function open(sizeBytes: number): Promise<{ net: NetPair; host: Host; check(ran: Ran): void } & AsyncDisposable> {
  const net = openNetPair({ clientAddress: '10.66.0.2/16' })
  const bytes = randomBytes(sizeBytes)
  const path = join(net.folder, 'served')
  writeFileSync(path, bytes)
  const host = await net.host({ subnets, files: { image: path } })
  const digest = (data: Uint8Array) => createHash('sha256').update(data).digest('hex')
  return {
    net,
    host,
    /** The client ended well, and `got` holds the very bytes. */
    check(ran) {
      assert.equal(ran.status, 0, ran.stderr + ran.stdout)
      assert.equal(digest(readFileSync(join(net.folder, 'got'))), digest(bytes))
    },
    [Symbol.asyncDispose]: () => net[Symbol.asyncDispose](),
  }
}

const atftp = (net: NetPair, ...options: string[]) =>
  net.client(
    'atftp',
    ...options.flatMap((option) => ['--option', option]),
    '-g',
    '-r',
    'image',
    '-l',
    join(net.folder, 'got'),
    SERVER,
  )

for (const [sizeBytes, ...options] of [
  [0],
  [512],
  [1_000_003],
  [1_000_003, 'blksize 1428'],
  [1_000_003, 'blksize 65464', 'tsize 0', 'timeout 2'],
  [5_000_000, 'blksize 1428', 'windowsize 16'],
] as const)
  test(`tftp: atftp fetches ${sizeBytes} bytes ${options.join(', ')}`, without('atftp'), async () => {
    await using site = await open(sizeBytes)
    site.check(await atftp(site.net, ...options))
    const done = await site.host.until((line) => line.kind === 'tftp-done')
    assert.equal(done['bytes'], sizeBytes)
  })

test('tftp: tftp-hpa fetches a file, and is told why it may not write', without('tftp'), async () => {
  await using site = await open(300_000)
  const got = join(site.net.folder, 'got')
  site.check(await site.net.client('tftp', '-m', 'binary', SERVER, '-c', 'get', 'image', got))
  const put = await site.net.client('tftp', '-m', 'binary', SERVER, '-c', 'put', got, 'image')
  assert.match(put.stdout + put.stderr, /only reads/)
  const none = await site.net.client('tftp', '-m', 'binary', SERVER, '-c', 'get', '../../../etc/passwd', got)
  assert.match(none.stdout + none.stderr, /no such file/)
})

test('tftp: curl fetches 20 MB, block numbers wrap', without('curl'), async () => {
  await using site = await open(20_000_000)
  const got = join(site.net.folder, 'got')
  site.check(await site.net.client('curl', '-sS', '--tftp-blksize', '1428', '-o', got, `tftp://${SERVER}/image`))
  site.check(await site.net.client('curl', '-sS', '--tftp-blksize', '128', '-o', got, `tftp://${SERVER}/image`))
})

test(
  'tftp: a link that loses 3 % of the packets each way, in lock-step and in windows',
  without('atftp', 'iptables'),
  async () => {
    await using site = await open(400_000)
    // atftp gives up on a second OACK ("unexpected OACK"), which a server sends when the answer to its first was lost: that one arrives.
    const rules = [
      '-m u32 --u32 0>>22&0x3C@8=0x00040000 -j ACCEPT',
      '-m statistic --mode random --probability 0.03 -j DROP',
    ]
    for (const side of ['client', 'beside'] as const)
      for (const rule of rules) {
        const { status, stderr } = await site.net[side]('iptables', '-A', 'INPUT', '-p', 'udp', ...rule.split(' '))
        assert.equal(status, 0, stderr)
      }
    site.check(await atftp(site.net, 'blksize 1428', 'windowsize 8'))
    site.check(await atftp(site.net, 'blksize 1428', 'timeout 1'))
  },
)

test('tftp: noise of 20,000 packets does not stop it', without('atftp', 'python3'), async () => {
  await using site = await open(10_000)
  const send = `import random,socket,time
random.seed(69)
s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)
seed=b"\\0\\1image\\0octet\\0blksize\\x001428\\0windowsize\\x0016\\0tsize\\x000\\0"
for n in range(20000):
    b=bytearray(seed[:random.randrange(len(seed)+1)])
    for _ in range(random.randrange(4)):
        if b: b[random.randrange(len(b))]=random.randrange(256)
    s.sendto(bytes(b),("${SERVER}",69))
    if n%50==0: time.sleep(0.005)
`
  assert.equal((await site.net.client('/usr/bin/python3', '-c', send)).status, 0)
  site.check(await atftp(site.net, 'blksize 1428'))
  const errors = site.host.lines.filter((line) => line['level'] === 'error')
  assert.deepEqual(errors, [])
})
