import assert from 'node:assert/strict'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { WireError } from '../../base/errors.ts'
import { describe, parsePacket, serializePacket, type Packet } from './packet.ts'

const discover: Packet = {
  op: 'request',
  htype: 1,
  chaddr: Uint8Array.fromHex('525400123456'),
  hops: 0,
  xid: 0xdeadbeef,
  secs: 4,
  broadcast: true,
  ciaddr: '0.0.0.0',
  yiaddr: '0.0.0.0',
  siaddr: '0.0.0.0',
  giaddr: '0.0.0.0',
  sname: '',
  file: '',
  options: { messageType: 'discover', vendorClass: 'PXEClient:Arch:00007:UNDI:003016', clientArch: [7] },
}

/** A packet with its fields `sname`, `file` and options given in hexadecimal. */
function rawPacket({ sname = '', file = '', options = 'ff' }: { sname?: string; file?: string; options?: string }) {
  const head = '01010600' + 'deadbeef' + '00048000' + '00000000'.repeat(4) + '525400123456'.padEnd(32, '0')
  return Uint8Array.fromHex(head + sname.padEnd(128, '0') + file.padEnd(256, '0') + '63825363' + options)
}

test('packet: what is serialized is parsed back, and has at least 300 bytes', () => {
  const bytes = serializePacket(discover)
  assert.equal(bytes.length, 300)
  assert.deepEqual(parsePacket(bytes), discover)
  const reply: Packet = {
    ...discover,
    op: 'reply',
    broadcast: false,
    yiaddr: '10.0.0.9',
    siaddr: '10.0.0.1',
    file: 'snponly.efi',
    sname: 'boot',
    options: { messageType: 'offer', serverId: '10.0.0.1', leaseTime: 3600 },
  }
  assert.deepEqual(parsePacket(serializePacket(reply)), reply)
})

test('packet: options overflow into file, then sname, and option 52 says so (RFC 2132 §9.3)', () => {
  const packet: Packet = {
    ...discover,
    options: { ...discover.options, bootFileName: 'x'.repeat(80), message: 'm'.repeat(255), rootPath: 'r'.repeat(60) },
  }
  const bytes = serializePacket(packet, 240 + 340)
  assert.ok(bytes.length <= 240 + 340, `${bytes.length} bytes`)
  assert.deepEqual(parsePacket(bytes), packet)
  assert.notEqual(bytes[108], 0, 'the file field carries options')
  assert.throws(() => serializePacket({ ...packet, file: 'taken' }, 240 + 200), RangeError)
})

test('packet: the parts of a split option stand in the order options, file, sname (RFC 3396 §5)', () => {
  const packet = parsePacket(rawPacket({ options: '0c0161' + '340103' + 'ff', file: '0c0162ff', sname: '0c0163ff' }))
  assert.equal(packet.options.hostName, 'abc')
  assert.equal(packet.file, '')
  assert.equal(packet.sname, '')
})

const bad = [
  { name: 'nothing', bytes: new Uint8Array(), error: /op at offset 0/ },
  { name: 'BOOTP without a cookie', bytes: rawPacket({}).fill(0, 236, 240), error: /magic cookie is 0/ },
  { name: 'op 3', bytes: rawPacket({}).fill(3, 0, 1), error: /op is 3/ },
  { name: 'a hardware address of 17 bytes', bytes: rawPacket({}).fill(17, 2, 3), error: /17 bytes, 16 at most/ },
  { name: 'overload 4', bytes: rawPacket({ options: '340104ff' }), error: /option 52/ },
  { name: 'overload twice', bytes: rawPacket({ options: '340101340101ff' }), error: /option 52/ },
  { name: 'overload without a value', bytes: rawPacket({ options: '3400ff' }), error: /option 52/ },
  {
    name: 'an option past the end of the file field',
    bytes: rawPacket({ options: '340101ff', file: '00'.repeat(120) + '0cff' }),
    error: /file field/,
  },
]
for (const c of bad)
  test(`packet: refused: ${c.name}`, () => {
    assert.throws(
      () => parsePacket(c.bytes),
      (e) => e instanceof WireError && c.error.test(e.message),
    )
  })

test('packet: describe tells a boot client on one line and shows no control characters', () => {
  assert.equal(
    describe(discover),
    'DISCOVER xid deadbeef 52:54:00:12:34:56 x86-64 UEFI (7) class "PXEClient:Arch:00007:UNDI:003016"',
  )
  const nasty = describe({ ...discover, options: { vendorClass: 'a\nb\x1b[31m' } })
  assert.match(nasty, /"a\?b\?\[31m"/)
})

test('packet: recorded payloads are read as they are (test/packets/dhcp/decoded.txt)', () => {
  const folder = new URL('../../../test/packets/dhcp/', import.meta.url)
  const files = readdirSync(folder)
    .filter((file) => file.endsWith('.bin'))
    .toSorted()
  assert.ok(files.length >= 40, 'the recorded payloads are there')
  const lines = files.map((file) => {
    try {
      return `${file}: ${describe(parsePacket(readFileSync(new URL(file, folder))))}`
    } catch (error) {
      assert.ok(error instanceof WireError, String(error))
      return `${file}: ${error.message}`
    }
  })
  const decoded = new URL('decoded.txt', folder)
  if (process.env['UPDATE']) writeFileSync(decoded, lines.join('\n') + '\n')
  assert.equal(lines.join('\n') + '\n', readFileSync(decoded, 'utf8'))
})
