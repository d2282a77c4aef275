import assert from 'node:assert/strict'
import { test } from 'node:test'
import { renderExports, renderServer } from './ganesha-config.ts'

const settings = {
  address: '172.29.0.1',
  port: 2049,
  hasIpv6: true,
  recoveryPath: '/var/lib/bareboat/nfs/server/recovery',
}
const name = 'k'.repeat(43)
const one = { exportId: 7, path: '/srv/a/rootfs', name, address: '172.29.0.17' }

test('renderServer: one address, NFSv4 alone, nothing for whom no export says so', () => {
  const text = renderServer(settings)
  assert.match(text, /^ {2}Bind_addr = ::ffff:172\.29\.0\.1;$/m)
  assert.match(text, /^ {2}NFS_Port = 2049;$/m)
  assert.match(text, /^ {2}Protocols = 4;$/m)
  assert.match(text, /EXPORT_DEFAULTS \{\n {2}Access_Type = None;/)
  assert.match(renderServer({ ...settings, hasIpv6: false }), /^ {2}Bind_addr = 172\.29\.0\.1;$/m)
})

test('renderExports: each for one machine alone, by export id whatever order they come in', () => {
  const two = { exportId: 3, path: '/srv/b/rootfs', name: 'm'.repeat(43), address: '172.29.0.18' }
  const text = renderExports([one, two])
  assert.equal(
    renderExports([one]),
    `EXPORT {
  Export_Id = 7;
  Path = "/srv/a/rootfs";
  Pseudo = "/${name}";
  FSAL { Name = VFS; }
  CLIENT {
    Clients = 172.29.0.17;
    Access_Type = RW;
    Squash = No_Root_Squash;
    PrivilegedPort = true;
    Protocols = 4;
    Transports = TCP;
    SecType = sys;
  }
}
`,
  )
  assert.equal(text, renderExports([two]) + renderExports([one]))
  assert.equal(renderExports([]), '')
})

for (const [what, broken, error] of [
  ['a quotation mark in the path', { path: '/srv/a"; CLIENT { Clients = *' }, /quotation mark/],
  ['a line feed in the path', { path: '/srv/a\nb' }, /control character/],
  ['a network for an address', { address: '172.29.0.0/24' }, /no IPv4 address/],
  ['a host name for an address', { address: 'everybody' }, /no IPv4 address/],
  ['a name with a slash', { name: `${'k'.repeat(20)}/x` }, /base64url/],
] as const)
  test(`renderExports: refuses ${what}`, () => {
    assert.throws(() => renderExports([{ ...one, ...broken }]), error)
  })
