/** Whom the Redfish client trusts: certificates that openssl made. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { quietLog } from '../../src/base/log.ts'
import { openBmc } from '../../src/drivers/bmc/open.ts'
import { createRedfishClient } from '../../src/drivers/bmc/redfish/client.ts'
import { parseFingerprint, type Trust } from '../../src/drivers/bmc/trust.ts'
import { hasProgram } from '../fakes/ipmi-sim.ts'
import { startRedfishSim } from '../fakes/redfish-sim.ts'

suite('TLS to a Redfish service', { skip: hasProgram('openssl') ? false : 'no openssl here' }, () => {
  const scratch = mkdtempSync(join(tmpdir(), 'bareboat-redfish-tls-'))
  const at = (name: string) => join(scratch, name)
  const read = (name: string) => readFileSync(at(name), 'utf8')
  const openssl = (...args: string[]) =>
    execFileSync('openssl', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  const certificate = (name: string) => ({ key: read(`${name}.key`), cert: read(`${name}.crt`) })

  before(() => {
    const selfSigned = (name: string, subject: string) =>
      openssl(
        'req',
        '-x509',
        ...newKey,
        '-keyout',
        at(`${name}.key`),
        '-out',
        at(`${name}.crt`),
        '-days',
        '2',
        '-subj',
        subject,
      )
    selfSigned('own', '/CN=idrac')
    selfSigned('other', '/CN=idrac')
    selfSigned('ca', '/CN=test authority')
    for (const [name, san] of [
      ['signed', 'IP:127.0.0.1'],
      ['elsewhere', 'DNS:bmc.example'],
    ] as const) {
      openssl('req', ...newKey, '-keyout', at(`${name}.key`), '-out', at(`${name}.csr`), '-subj', '/CN=bmc')
      writeFileSync(at('ext'), `subjectAltName=${san}\n`)
      const authority = ['-CA', at('ca.crt'), '-CAkey', at('ca.key'), '-CAcreateserial']
      openssl(
        'x509',
        '-req',
        '-in',
        at(`${name}.csr`),
        ...authority,
        '-out',
        at(`${name}.crt`),
        '-days',
        '2',
        '-extfile',
        at('ext'),
      )
    }
  })
  after(() => rmSync(scratch, { recursive: true }))

  /** Reads the service root over TLS with that certificate; yields what the service was asked. */
  async function ask(name: string, trust?: Trust): Promise<readonly string[]> {
    await using sim = await startRedfishSim({ tls: certificate(name) })
    await using client = createRedfishClient({
      origin: sim.origin,
      user: 'admin',
      password: 'secret',
      log: quietLog,
      paceMs: 0,
      ...(trust ? { trust } : {}),
    })
    try {
      await client.get('/redfish/v1')
    } catch (error) {
      assert.deepEqual(sim.requests, [], 'nothing is sent to whom is not trusted')
      throw error
    }
    return sim.requests
  }
  const fingerprint = (name: string): string =>
    parseFingerprint(
      openssl('x509', '-in', at(`${name}.crt`), '-noout', '-fingerprint', '-sha256')
        .trim()
        .replace(/.*=/, ''),
    )!

  test('a certificate that the BMC signed itself is refused, with the fingerprint that openssl prints', async () => {
    await assert.rejects(ask('own'), (error: Error) => {
      assert.match(error.message, /it signed its certificate itself; compare its SHA-256 fingerprint/)
      assert.ok(error.message.includes(fingerprint('own')))
      return true
    })
  })

  test('pinned it is taken, whoever else answers is not', async () => {
    assert.ok((await ask('own', { kind: 'fingerprint', sha256: fingerprint('own') })).length > 0)
    await assert.rejects(ask('other', { kind: 'fingerprint', sha256: fingerprint('own') }), {
      code: 'bad_peer',
      message: new RegExp(`has the SHA-256 fingerprint ${fingerprint('other')}, not ${fingerprint('own')}`),
    })
  })

  test('signed by an authority for this address it is taken, for another name it is not', async () => {
    const trust: Trust = { kind: 'authorities', ca: read('ca.crt') }
    assert.ok((await ask('signed', trust)).length > 0)
    await assert.rejects(ask('signed'), { code: 'bad_peer', message: /not signed by anyone known here/ })
    await assert.rejects(ask('elsewhere', trust), { code: 'bad_peer', message: /for another name/ })
  })

  test('insecure takes whoever answers; a BMC without TLS is told apart', async () => {
    assert.ok((await ask('own', { kind: 'anyone' })).length > 0)
    await using plain = await startRedfishSim()
    await using bmc = openBmc(`redfish://admin@127.0.0.1:${plain.port}?insecure`, 'secret', quietLog)
    await assert.rejects(bmc.status(), { code: 'unreachable', message: /no TLS; .* write redfish\+http:\/\// })
  })

  test('the whole way by URL: pinned, on, seen', async () => {
    await using sim = await startRedfishSim({ tls: certificate('own') })
    const url = `redfish://admin@127.0.0.1:${sim.port}?fingerprint=${fingerprint('own')}`
    await using bmc = openBmc(url, 'secret', quietLog)
    await bmc.set('on')
    assert.equal(sim.isOn, true)
  })
})
