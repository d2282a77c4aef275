import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Options } from '../../wire/dhcp/options.ts'
import type { Packet } from '../../wire/dhcp/packet.ts'
import { answer } from './answer.ts'
import { loaderFor, type BootDirectory } from './boot.ts'
import { createLeaseBook } from './lease-book.ts'
import type { Context } from './question.ts'
import type { Answer } from './reply.ts'
import { openSubnet } from './subnet.ts'

const SERVER = '10.0.0.1'
const NONE = '0.0.0.0'
const MAC = '52:54:00:00:00:01'
const KNOWN = '52:54:00:00:00:99'

const directory: BootDirectory = {
  bootFor: (client) =>
    client.isIpxe ? { kind: 'url', url: 'http://10.0.0.1/boot.ipxe' } : loaderFor(client, 'http://10.0.0.1/kit/'),
  addressFor: (mac) => (mac === KNOWN ? '10.0.0.50' : undefined),
  ownerOf: (address) => (address === '10.0.0.50' ? KNOWN : undefined),
  isKnown: (mac) => mac === KNOWN,
}

/** A server with its book: `say` answers a packet and notes the changes, as the loop does. */
function site(overrides: Partial<Context> = {}) {
  const book = createLeaseBook()
  let nowMs = 1_000_000
  const subnets = [
    openSubnet({
      cidr: '10.0.0.0/24',
      pools: [['10.0.0.48', '10.0.0.52']],
      routers: ['10.0.0.254'],
      nameServers: ['10.0.0.3'],
      leaseSeconds: 1000,
    }),
    openSubnet({ cidr: '10.9.0.0/24', pools: [['10.9.0.10', '10.9.0.20']] }),
  ]
  return {
    book,
    wait: (ms: number) => void (nowMs += ms),
    say: (packet: Packet): Answer => {
      const said = answer(packet, {
        serverAddress: SERVER,
        subnets,
        relays: [],
        leases: book,
        directory,
        nowMs,
        isAuthoritative: false,
        servesUnknown: true,
        ...overrides,
      })
      book.apply(said.changes)
      return said
    },
  }
}

function from(options: Options, fields: Partial<Packet> & { mac?: string } = {}): Packet {
  const { mac = MAC, ...rest } = fields
  return {
    op: 'request',
    htype: 1,
    chaddr: Uint8Array.fromHex(mac.replaceAll(':', '')),
    hops: 0,
    xid: 7,
    secs: 0,
    broadcast: false,
    ciaddr: NONE,
    yiaddr: NONE,
    siaddr: NONE,
    giaddr: NONE,
    sname: '',
    file: '',
    options,
    ...rest,
  }
}

const discover = (options: Options = {}, fields: Parameters<typeof from>[1] = {}) =>
  from({ messageType: 'discover', ...options }, fields)
const select = (requestedAddress: string, options: Options = {}, fields: Parameters<typeof from>[1] = {}) =>
  from({ messageType: 'request', serverId: SERVER, requestedAddress, ...options }, fields)

/** What was said, short: `offer 10.0.0.48`, `nak`, or the reason of silence. */
function gist(said: Answer): string {
  if ('ignore' in said) return said.ignore
  const { yiaddr, options } = said.send
  return yiaddr === NONE ? options.messageType! : `${options.messageType} ${yiaddr}`
}

function sent(said: Answer) {
  assert.ok('send' in said, 'ignore' in said ? said.ignore : '')
  return said
}

test('answer: a discover is offered an address, and its request acknowledged with what the network needs', () => {
  const { say } = site()
  const offer = sent(say(discover()))
  assert.equal(gist(offer), 'offer 10.0.0.48')
  assert.deepEqual(offer.to, { address: '255.255.255.255', port: 68 })
  assert.equal(offer.changes[0]?.lease.state, 'offered')
  const ack = sent(say(select('10.0.0.48')))
  assert.equal(gist(ack), 'ack 10.0.0.48')
  assert.deepEqual(ack.send.options, {
    messageType: 'ack',
    serverId: SERVER,
    leaseTime: 1000,
    renewalTime: 500,
    rebindingTime: 875,
    subnetMask: '255.255.255.0',
    router: ['10.0.0.254'],
    nameServer: ['10.0.0.3'],
    broadcastAddress: '10.0.0.255',
  })
  assert.equal(ack.changes[0]?.lease.state, 'bound')
})

test('answer: only the options that the client asks for (55) are sent', () => {
  const { options } = sent(site().say(discover({ parameterList: Uint8Array.of(3) }))).send
  assert.deepEqual([options.router, options.nameServer], [['10.0.0.254'], undefined])
})

test('answer: two clients never get one address; the same client gets the same again', () => {
  const { say } = site()
  const [a, b] = [{ mac: MAC }, { mac: '52:54:00:00:00:02' }]
  assert.equal(gist(say(discover({}, a))), 'offer 10.0.0.48')
  assert.equal(gist(say(discover({}, b))), 'offer 10.0.0.49')
  assert.equal(gist(say(discover({}, a))), 'offer 10.0.0.48')
  assert.equal(gist(say(select('10.0.0.48', {}, b))), 'nak')
  assert.equal(gist(say(select('10.0.0.48', {}, a))), 'ack 10.0.0.48')
})

test('answer: an address that somebody else is offered or wants is not given; a free one that is wanted is', () => {
  const { say } = site()
  assert.equal(gist(say(discover({ requestedAddress: '10.0.0.51' }))), 'offer 10.0.0.51')
  assert.equal(gist(say(discover({ requestedAddress: '10.0.0.51' }, { mac: '52:54:00:00:00:02' }))), 'offer 10.0.0.48')
})

test('answer: a known machine gets its fixed address, nobody else does, even when the pool is exhausted', () => {
  const { say, wait } = site()
  for (let n = 2; n < 6; n++) {
    const mac = { mac: `52:54:00:00:00:0${n}` }
    const offer = sent(say(discover({}, mac)))
    assert.notEqual(offer.send.yiaddr, '10.0.0.50')
    sent(say(select(offer.send.yiaddr, {}, mac)))
  }
  const refused = say(discover({ requestedAddress: '10.0.0.50' }))
  assert.match(gist(refused), /no address is free in 10.0.0.0\/24/)
  assert.equal(refused.events.at(-1)?.kind, 'dhcp-exhausted')
  assert.equal(gist(say(discover({}, { mac: KNOWN }))), 'offer 10.0.0.50')
  wait(1001_000)
  assert.equal(gist(say(discover())), 'offer 10.0.0.48', 'the lease that ended first is used again')
})

test('answer: a machine that gets a fixed address while it holds another is refused at renewal', () => {
  const { say, book } = site()
  const lease = {
    address: '10.0.0.49',
    clientKey: 'hw:525400000099',
    mac: KNOWN,
    state: 'bound',
    expiresAtMs: 2e6,
    isNetboot: false,
    hostName: '',
  } as const
  book.apply([{ kind: 'put', lease }])
  const said = sent(say(from({ messageType: 'request' }, { mac: KNOWN, ciaddr: '10.0.0.49' })))
  assert.equal(said.send.options.message, 'its address is 10.0.0.50')
})

test('answer: a running lease is not shortened by an offer, which anybody can ask for', () => {
  const { say, book, wait } = site()
  say(discover())
  say(select('10.0.0.48'))
  wait(10_000)
  assert.equal(gist(say(discover())), 'offer 10.0.0.48')
  assert.equal(book.at('10.0.0.48')?.state, 'bound')
})

const states: { name: string; request: Packet; bound?: boolean; authoritative?: boolean; expect: RegExp | string }[] = [
  {
    name: 'the offer of another server was taken',
    request: select('10.0.0.48', { serverId: '10.0.0.7' }),
    expect: /took the offer of 10.0.0.7/,
  },
  {
    name: 'selecting without an address',
    request: from({ messageType: 'request', serverId: SERVER }),
    expect: /names no address/,
  },
  { name: 'neither address nor server', request: from({ messageType: 'request' }), expect: /requests no address/ },
  {
    name: 'init-reboot of a lease that runs',
    request: from({ messageType: 'request', requestedAddress: '10.0.0.48' }),
    bound: true,
    expect: 'ack 10.0.0.48',
  },
  {
    name: 'init-reboot with another address than leased',
    request: from({ messageType: 'request', requestedAddress: '10.0.0.49' }),
    bound: true,
    expect: 'nak',
  },
  {
    name: 'init-reboot on the wrong network',
    request: from({ messageType: 'request', requestedAddress: '192.168.1.5' }),
    expect: 'nak',
  },
  {
    name: 'init-reboot of a stranger is met with silence',
    request: from({ messageType: 'request', requestedAddress: '10.0.0.48' }),
    expect: /nothing is known of its lease/,
  },
  {
    name: 'init-reboot of a stranger where we are authoritative',
    request: from({ messageType: 'request', requestedAddress: '10.0.0.48' }),
    authoritative: true,
    expect: 'ack 10.0.0.48',
  },
  {
    name: 'init-reboot outside of the pool where we are authoritative',
    request: from({ messageType: 'request', requestedAddress: '10.0.0.90' }),
    authoritative: true,
    expect: 'nak',
  },
  {
    name: 'renewing',
    request: from({ messageType: 'request' }, { ciaddr: '10.0.0.48' }),
    bound: true,
    expect: 'ack 10.0.0.48',
  },
  {
    name: 'renewing an address of someone else',
    request: from({ messageType: 'request' }, { ciaddr: '10.0.0.48', mac: '52:54:00:00:00:02' }),
    bound: true,
    authoritative: true,
    expect: 'nak',
  },
  {
    name: 'renewing what we do not know',
    request: from({ messageType: 'request' }, { ciaddr: '10.0.0.48' }),
    expect: /nothing is known/,
  },
  { name: 'our own address', request: select(SERVER), expect: 'nak' },
  { name: "the router's address", request: select('10.0.0.254'), expect: 'nak' },
  { name: 'a reply', request: { ...discover(), op: 'reply' }, expect: /it is a reply/ },
  { name: 'BOOTP', request: from({}), expect: /it is BOOTP/ },
  { name: 'a lease query', request: from({ messageType: 'leasequery' }), expect: /leasequery is not for/ },
  { name: 'nobody', request: discover({}, { mac: '00:00:00:00:00:00' }), expect: /neither a hardware address/ },
  { name: 'a huge client identifier', request: discover({ clientId: new Uint8Array(256) }), expect: /has 256 bytes/ },
]
for (const c of states)
  test(`answer: ${c.name}`, () => {
    const { say } = site({ isAuthoritative: c.authoritative ?? false })
    if (c.bound) {
      say(discover())
      say(select('10.0.0.48'))
    }
    const said = gist(say(c.request))
    if (typeof c.expect === 'string') assert.equal(said, c.expect)
    else assert.match(said, c.expect)
  })

test('answer: a renewal is answered to the address that it came from, a NAK and a stranger’s ciaddr to everyone', () => {
  const { say } = site()
  say(discover())
  say(select('10.0.0.48'))
  const renewed = sent(say(from({ messageType: 'request' }, { ciaddr: '10.0.0.48' })))
  assert.deepEqual(renewed.to, { address: '10.0.0.48', port: 68 })
  const reflected = sent(say(discover({}, { ciaddr: '8.8.8.8' })))
  assert.equal(reflected.to.address, '255.255.255.255')
  const refused = sent(say(from({ messageType: 'request' }, { ciaddr: '192.168.0.9' })))
  assert.deepEqual(refused.to, { address: '255.255.255.255', port: 68 })
  assert.deepEqual([refused.send.ciaddr, refused.send.yiaddr, refused.send.siaddr], [NONE, NONE, NONE])
})

test('answer: a declined address is quarantined, by whom it was given to only', () => {
  const { say, wait } = site()
  say(discover())
  say(select('10.0.0.48'))
  const decline = from({ messageType: 'decline', requestedAddress: '10.0.0.48', serverId: SERVER })
  assert.match(gist(say({ ...decline, chaddr: Uint8Array.of(2, 0, 0, 0, 0, 9) })), /not given/)
  assert.equal(say(decline).events[0]?.kind, 'dhcp-decline')
  assert.equal(gist(say(discover())), 'offer 10.0.0.49')
  assert.equal(gist(say(select('10.0.0.48'))), 'nak')
  wait(3600_001)
  assert.equal(gist(say(select('10.0.0.48'))), 'ack 10.0.0.48')
})

test('answer: a released address is free, and comes back to its last client while nobody needs it', () => {
  const { say, book } = site()
  say(discover())
  say(select('10.0.0.48'))
  const release = from({ messageType: 'release', serverId: SERVER }, { ciaddr: '10.0.0.48' })
  assert.match(gist(say({ ...release, chaddr: Uint8Array.of(2, 0, 0, 0, 0, 9) })), /does not hold/)
  assert.equal(say(release).events[0]?.kind, 'dhcp-release')
  assert.equal(book.at('10.0.0.48')?.state, 'released')
  assert.equal(gist(say(discover({}, { mac: '52:54:00:00:00:02' }))), 'offer 10.0.0.49', 'one never used comes first')
  assert.equal(gist(say(discover())), 'offer 10.0.0.48')
})

test('answer: an inform gets options and no lease', () => {
  const said = sent(site().say(from({ messageType: 'inform' }, { ciaddr: '10.0.0.77' })))
  assert.deepEqual(said.to, { address: '10.0.0.77', port: 68 })
  assert.equal(said.send.yiaddr, NONE)
  assert.equal(said.send.options.leaseTime, undefined)
  assert.deepEqual(said.send.options.router, ['10.0.0.254'])
  assert.match(gist(site().say(from({ messageType: 'inform' }, { ciaddr: '8.8.8.8' }))), /informs of 8.8.8.8/)
})

test('answer: behind a relay the subnet is that of giaddr, option 82 comes back as it was, and the relay gets the reply', () => {
  const relayAgent = Uint8Array.fromHex('0104deadbeef')
  const said = sent(site().say(discover({ relayAgent }, { giaddr: '10.9.0.1' })))
  assert.equal(gist(said), 'offer 10.9.0.10')
  assert.deepEqual(said.to, { address: '10.9.0.1', port: 67 })
  assert.deepEqual(said.send.options.relayAgent, relayAgent)
  assert.equal(said.send.giaddr, '10.9.0.1')
})

test('answer: link selection (82.5) goes before giaddr; a relay that nobody configured is not answered', () => {
  const relayAgent = Uint8Array.fromHex('05040a090000')
  const packet = discover({ relayAgent }, { giaddr: '172.16.0.1' })
  assert.match(gist(site().say(packet)), /relay 172.16.0.1 is not configured/)
  assert.equal(gist(site({ relays: ['172.16.0.1'] }).say(packet)), 'offer 10.9.0.10')
  const broken = discover({ relayAgent: Uint8Array.of(1, 9) }, { giaddr: '10.9.0.1' })
  assert.match(gist(site().say(broken)), /relay agent information/)
  const forged = discover({ relayAgent, subnetSelection: '10.9.0.0' })
  assert.equal(gist(site().say(forged)), 'offer 10.0.0.48', 'a client without a relay cannot choose its subnet')
})

test('answer: a NAK through a relay has the broadcast flag, so that the relay broadcasts it', () => {
  const said = sent(site().say(select('10.0.0.48', {}, { giaddr: '10.9.0.1' })))
  assert.deepEqual([said.send.options.messageType, said.send.broadcast, said.to.port], ['nak', true, 67])
})

test('answer: machines that nobody registered are left alone where the site says so', () => {
  const { say } = site({ servesUnknown: false })
  assert.match(gist(say(discover())), /not registered/)
  assert.equal(gist(say(discover({}, { mac: KNOWN }))), 'offer 10.0.0.50')
})

test('answer: a disabled machine hears nothing, whatever it asks', () => {
  const silent = { ...directory, isSilent: (mac: string) => mac === KNOWN }
  const { say, book } = site({ directory: silent })
  const ofKnown = { mac: KNOWN }
  const renewal = from({ messageType: 'request' }, { ...ofKnown, ciaddr: '10.0.0.50' })
  const asked = [discover({}, ofKnown), select('10.0.0.50', {}, ofKnown), renewal]
  for (const packet of asked) assert.match(gist(say(packet)), /the machine is disabled/)
  assert.deepEqual([...book.all()], [], 'no lease either')
  assert.match(gist(say(discover())), /^offer 10/)
})

test('answer: the system that firmware boots keeps the address, although it has another client identifier', () => {
  const { say } = site()
  const pxe: Options = { vendorClass: 'PXEClient:Arch:00007', clientArch: [7], clientId: Uint8Array.fromHex('00aabb') }
  say(discover(pxe))
  assert.equal(gist(say(select('10.0.0.48', pxe))), 'ack 10.0.0.48')
  const os: Options = { clientId: Uint8Array.fromHex('ff123456780001') }
  assert.equal(gist(say(discover(os))), 'offer 10.0.0.48')
  assert.equal(gist(say(select('10.0.0.48', os))), 'ack 10.0.0.48')
  assert.equal(gist(say(discover(pxe))), 'offer 10.0.0.48', 'and the firmware has it again at the next boot')
})

test('answer: two systems with one MAC and identifiers of their own are two clients, as long as none of them netboots', () => {
  const { say } = site()
  const [a, b]: Options[] = [{ clientId: Uint8Array.of(0, 1) }, { clientId: Uint8Array.of(0, 2) }]
  say(discover(a))
  say(select('10.0.0.48', a))
  assert.equal(gist(say(discover(b))), 'offer 10.0.0.49')
  assert.equal(gist(say(select('10.0.0.48', b))), 'nak')
})

test('answer: one hardware address cannot take the whole pool by changing its client identifier', () => {
  const { say } = site({
    subnets: [openSubnet({ cidr: '10.0.0.0/16', pools: [['10.0.1.0', '10.0.2.255']], leaseSeconds: 1000 })],
  })
  const got = new Set<string>()
  for (let n = 0; n < 100; n++) {
    const said = say(discover({ clientId: Uint8Array.of(0, n) }))
    if (!('send' in said)) continue
    got.add(said.send.yiaddr)
    say(select(said.send.yiaddr, { clientId: Uint8Array.of(0, n) }))
  }
  assert.equal(got.size, 16)
})

const uuid = '00112233-4455-6677-8899-aabbccddeeff'
const boots: { name: string; options: Options; file: string; expect: Options; none?: boolean }[] = [
  {
    name: 'x86 BIOS',
    options: { clientArch: [0], vendorClass: 'PXEClient:Arch:00000:UNDI:002001' },
    file: 'undionly.kpxe',
    expect: { vendorClass: 'PXEClient', tftpServerName: SERVER, bootFileName: 'undionly.kpxe' },
  },
  {
    name: 'x86-64 UEFI as 7',
    options: { clientArch: [7], vendorClass: 'PXEClient:Arch:00007' },
    file: 'snponly.efi',
    expect: { vendorClass: 'PXEClient' },
  },
  {
    name: 'x86-64 UEFI as 9',
    options: { clientArch: [9], vendorClass: 'PXEClient:Arch:00009' },
    file: 'snponly.efi',
    expect: { vendorClass: 'PXEClient' },
  },
  {
    name: 'arm64 UEFI',
    options: { clientArch: [11], vendorClass: 'PXEClient:Arch:00011' },
    file: 'ipxe-arm64.efi',
    expect: { vendorClass: 'PXEClient' },
  },
  {
    name: 'x86-64 UEFI HTTP',
    options: { clientArch: [16], vendorClass: 'HTTPClient:Arch:00016' },
    file: 'http://10.0.0.1/kit/ipxe-amd64.efi',
    expect: { vendorClass: 'HTTPClient' },
  },
  {
    name: 'arm64 UEFI HTTP',
    options: { clientArch: [19], vendorClass: 'HTTPClient:Arch:00019' },
    file: 'http://10.0.0.1/kit/ipxe-arm64.efi',
    expect: { vendorClass: 'HTTPClient' },
  },
  {
    name: 'iPXE, by its own option',
    options: { clientArch: [7], vendorClass: 'PXEClient:Arch:00007', ipxe: Uint8Array.of(34, 1, 1) },
    file: 'http://10.0.0.1/boot.ipxe',
    expect: { ipxe: Uint8Array.of(176, 1, 1) },
  },
  {
    name: 'firmware whose user class claims to be iPXE',
    options: { clientArch: [0], vendorClass: 'PXEClient', userClass: new TextEncoder().encode('iPXE') },
    file: 'undionly.kpxe',
    expect: { vendorClass: 'PXEClient' },
  },
  {
    name: 'x86 UEFI of 32 bits: GRUB',
    options: { clientArch: [6], vendorClass: 'PXEClient:Arch:00006' },
    file: 'grub/grubnetia32.efi',
    expect: { vendorClass: 'PXEClient', bootFileName: 'grub/grubnetia32.efi' },
  },
  {
    name: 'x86 UEFI of 32 bits over HTTP is refused',
    options: { clientArch: [15], vendorClass: 'HTTPClient:Arch:00015' },
    file: '',
    expect: {},
    none: true,
  },
]
for (const c of boots)
  test(`answer: boot of ${c.name}`, () => {
    const said = sent(site().say(discover({ ...c.options, clientUuid: uuid })))
    assert.equal(said.send.file, c.file)
    assert.equal(said.send.siaddr, c.none ? NONE : SERVER)
    assert.equal(said.send.options.clientUuid, uuid)
    for (const [name, value] of Object.entries(c.expect))
      assert.deepEqual(said.send.options[name as keyof Options], value)
    const isPxe = c.expect.vendorClass === 'PXEClient'
    assert.equal(said.send.options.vendorSpecific?.toHex(), isPxe ? '060108ff' : undefined)
    const choice = said.events.at(-1)?.boot
    assert.equal(choice?.kind, c.none ? 'none' : c.file.startsWith('http') ? 'url' : 'file')
    if (choice?.kind === 'none') assert.match(choice.why, /no boot loader for x86 \(32-bit\) UEFI HTTP \(15\)/)
  })

test('answer: an operating system is sent no boot file', () => {
  const { file, siaddr, options } = sent(site().say(discover())).send
  assert.deepEqual([file, siaddr, options.bootFileName, options.vendorClass], ['', NONE, undefined, undefined])
})
