import assert from 'node:assert/strict'
import { test } from 'node:test'
import { quietLog } from '../../base/log.ts'
import { openBmc, parseBmcUrl } from './open.ts'

const pinned = { kind: 'fingerprint', sha256: 'ab'.repeat(32) }
const redfish = (origin: string, more: Record<string, unknown>) => ({
  kind: 'redfish',
  origin,
  user: 'admin',
  system: undefined,
  trust: { kind: 'authorities' },
  auth: 'auto',
  ...more,
})

const cases: { name: string; url: string; value?: unknown; error?: RegExp }[] = [
  {
    name: 'default port',
    url: 'ipmi://admin@10.0.3.7',
    value: { kind: 'ipmi', host: '10.0.3.7', port: 623, user: 'admin' },
  },
  {
    name: 'port and name',
    url: 'ipmi://a%40b@bmc7.lab:9623/',
    value: { kind: 'ipmi', host: 'bmc7.lab', port: 9623, user: 'a@b' },
  },
  {
    name: 'IPv6',
    url: 'ipmi://admin@[fd00::7]:624',
    value: { kind: 'ipmi', host: 'fd00::7', port: 624, user: 'admin' },
  },
  {
    name: 'redfish',
    url: 'redfish://admin@10.0.3.7',
    value: redfish('https://10.0.3.7:443', {}),
  },
  {
    name: 'redfish with a port, IPv6, a system, Basic and a fingerprint with colons',
    url: `redfish://admin@[fd00::7]:8443/?system=Node0&auth=basic&fingerprint=${'AB:'.repeat(31)}AB`,
    value: redfish('https://[fd00::7]:8443', {
      system: 'Node0',
      auth: 'basic',
      trust: pinned,
    }),
  },
  {
    name: 'redfish of whoever answers',
    url: 'redfish://admin@bmc7?insecure',
    value: redfish('https://bmc7:443', { trust: { kind: 'anyone' } }),
  },
  {
    name: 'redfish without TLS',
    url: 'redfish+http://admin@bmc7:8000',
    value: redfish('http://bmc7:8000', {}),
  },
  {
    name: 'redfish with a console over SSH, its host key with a plus sign, and what enters it',
    url: `redfish://admin@h?console=ssh&hostkey=SHA256:${'a+/'.repeat(14)}A=&command=console%20com2`,
    value: redfish('https://h:443', {
      console: 'ssh',
      hostKey: `SHA256:${'a+/'.repeat(14)}A`,
      command: 'console com2',
    }),
  },
  { name: 'a host key that is none', url: 'redfish://admin@h?hostkey=MD5:00:11', error: /as ssh-keygen -l prints it/ },
  {
    name: 'a console that is none',
    url: 'redfish://admin@h?console=telnet',
    error: /console is ssh, websocket, ipmi, n/,
  },
  { name: 'a command of two lines', url: 'redfish://admin@h?command=a%0Ab', error: /printable ASCII/ },
  { name: 'redfish with a password', url: 'redfish://admin:canary@h', error: /password in it/ },
  { name: 'redfish without a user', url: 'redfish://h', error: /names no user/ },
  { name: 'redfish with a path', url: 'redfish://admin@h/redfish/v1', error: /more after the address/ },
  { name: 'a fingerprint that is none', url: 'redfish://admin@h?fingerprint=abcd', error: /64 hex digits/ },
  { name: 'an unknown option', url: 'redfish://admin@h?sytem=1', error: /no option "sytem"/ },
  { name: 'an unknown way to log in', url: 'redfish://admin@h?auth=digest', error: /session or basic/ },
  { name: 'a fingerprint without TLS', url: 'redfish+http://admin@h?insecure', error: /no certificate/ },
  {
    name: 'a fingerprint that nobody checks',
    url: `redfish://admin@h?insecure&fingerprint=${'ab'.repeat(32)}`,
    error: /one of them/,
  },
  { name: 'http', url: 'http://10.0.0.1:5000', value: { kind: 'http', url: 'http://10.0.0.1:5000/' } },
  { name: 'https with a path', url: 'https://rack/m7', value: { kind: 'http', url: 'https://rack/m7' } },
  {
    name: 'https with a certificate of its own',
    url: `https://rack/m7?fingerprint=${'ab'.repeat(32)}`,
    value: { kind: 'http', url: 'https://rack/m7', trust: pinned },
  },
  { name: 'a password', url: 'ipmi://admin:canary@10.0.3.7', error: /password in it/ },
  { name: 'a password in http', url: 'http://admin:canary@10.0.3.7', error: /password in it/ },
  { name: 'a password with another scheme', url: 'x://admin:canary@10.0.3.7', error: /password in it/ },
  { name: 'no user', url: 'ipmi://10.0.3.7', error: /names no user/ },
  { name: 'no host', url: 'ipmi://admin@', error: /BMC URL/ },
  { name: 'a port too high', url: 'ipmi://admin@h:70000', error: /BMC URL/ },
  { name: 'another scheme', url: 'ftp://h', error: /"ftp" is no kind of BMC/ },
  { name: 'no URL', url: '10.0.3.7', error: /looks like ipmi:/ },
  { name: 'a lone percent sign', url: 'ipmi://a%zz@h', error: /percent sign/ },
  {
    name: 'AMT',
    url: 'amt://admin@10.0.3.7',
    value: { kind: 'amt', isTls: false, host: '10.0.3.7', port: 16992, user: 'admin' },
  },
  {
    name: 'AMT with TLS and a certificate of its own',
    url: `amts://admin@[fd00::7]?fingerprint=${'AB:'.repeat(31)}AB`,
    value: { kind: 'amt', isTls: true, host: 'fd00::7', port: 16993, user: 'admin', trust: pinned },
  },
  { name: 'AMT with a short fingerprint', url: 'amts://admin@h?fingerprint=ab', error: /64 hex digits/ },
  { name: 'AMT without TLS, and a certificate', url: 'amt://admin@h?fingerprint=ab', error: /more after the address/ },
  { name: 'a password in AMT', url: 'amt://admin:canary@h', error: /password in it/ },
  {
    name: 'PiKVM',
    url: 'pikvm://admin@kvm7.lab:8443',
    value: { kind: 'pikvm', host: 'kvm7.lab', port: 8443, user: 'admin' },
  },
  {
    name: 'PiKVM whoever answers',
    url: 'pikvm://admin@kvm7.lab?insecure',
    value: { kind: 'pikvm', host: 'kvm7.lab', port: 443, user: 'admin', trust: { kind: 'anyone' } },
  },
  { name: 'insecure with a value', url: 'pikvm://admin@kvm7.lab?insecure=yes', error: /insecure has no value/ },
  { name: 'PiKVM without a user', url: 'pikvm://kvm7.lab', error: /names no user/ },
  { name: 'by hand', url: 'manual:', value: { kind: 'manual' } },
  { name: 'by hand at a host', url: 'manual://h', error: /is "manual:"/ },
  { name: 'Wake-on-LAN of the machine itself', url: 'wol:', value: { kind: 'wol', macs: [] } },
  {
    name: 'Wake-on-LAN of two cards, somewhere',
    url: 'wol://52-54-00-12-34-AB,52:54:00:12:34:57?broadcast=10.0.3.255',
    value: { kind: 'wol', macs: ['52:54:00:12:34:ab', '52:54:00:12:34:57'], broadcast: '10.0.3.255' },
  },
  { name: 'Wake-on-LAN of a host', url: 'wol://m7', error: /"m7" is not a MAC address/ },
  { name: 'Wake-on-LAN to a name', url: 'wol:?broadcast=lab', error: /"lab" is not an IPv4 address/ },
  { name: 'Wake-on-LAN with more', url: 'wol:?via=eth0', error: /"via" is no parameter/ },
  { name: 'a path on ipmi', url: 'ipmi://admin@h/x', error: /more after the address/ },
]
for (const c of cases)
  test(`parseBmcUrl: ${c.name}`, () => {
    if (!c.error) return assert.deepEqual(parseBmcUrl(c.url), c.value)
    assert.throws(
      () => parseBmcUrl(c.url),
      (e: Error) => {
        assert.match(e.message, c.error!)
        assert.doesNotMatch(e.message, /canary/)
        return true
      },
    )
  })

test('openBmc refuses a password that is none of SecureOn, and does not repeat it', () => {
  assert.throws(
    () => openBmc('wol:', 'canary', quietLog),
    (e: Error) => /one of SecureOn looks like/.test(e.message) && !e.message.includes('canary'),
  )
})

test('openBmc refuses what IPMI cannot carry, without the password in the message', () => {
  const refuse = (url: string, password: string | undefined, error: RegExp) =>
    assert.throws(
      () => openBmc(url, password, quietLog),
      (e: Error) => error.test(e.message) && !e.message.includes('canary'),
    )
  refuse('ipmi://admin@h', undefined, /without a password/)
  refuse('ipmi://admin@h', '', /without a password/)
  refuse('redfish://admin@h', undefined, /without a password/)
  refuse('redfish://admin@h', '', /without a password/)
  refuse('ipmi://admin@h', 'canary-longer-than-20-bytes', /27 bytes, IPMI takes 20/)
  refuse('ipmi://admin-with-17-chars@h', 'x', /bytes, IPMI takes 16/)
})

test('openBmc refuses a password that makers ship, and does not repeat it', () => {
  for (const [url, password] of [
    ['redfish://ROOT@h', 'calvin'],
    ['pikvm://admin@h', 'admin'],
    ['amt://admin@h', 'admin'],
  ] as const)
    assert.throws(
      () => openBmc(url, password, quietLog),
      (e: Error) => /shipped with.*set another on the BMC/.test(e.message) && !e.message.includes('calvin'),
    )
})
