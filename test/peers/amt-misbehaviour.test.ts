/** The AMT driver against the ways in which its firmware goes wrong, each an option of the simulated AMT. */
import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { X509Certificate } from 'node:crypto'
import { quietLog } from '../../src/base/log.ts'
import { createAmtBmc, type AmtBmcOptions } from '../../src/drivers/bmc/amt/amt-bmc.ts'
import { startAmtSim, type AmtSimOptions } from '../fakes/amt-sim.ts'
import { hasProgram } from '../fakes/ipmi-sim.ts'

const patience = { offMs: 20, pollMs: 20, deadlineMs: 5000 }
const pxe = { device: 'pxe', firmware: 'uefi', once: true } as const

async function rig(options: AmtSimOptions, more: Partial<AmtBmcOptions> = {}) {
  const stack = new AsyncDisposableStack()
  const sim = stack.use(await startAmtSim(options))
  const bmc = stack.use(
    createAmtBmc({
      host: '127.0.0.1',
      port: sim.port,
      user: 'admin',
      password: 'P@ssw0rd',
      log: quietLog,
      patience,
      busyMs: 5,
      timeoutMs: 2000,
      ...more,
    }),
  )
  return { sim, bmc, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

for (const algorithm of ['MD5', 'SHA-256'] as const)
  for (const forgetsSilently of [false, true])
    test(`nonces of ${algorithm} that serve twice, ${forgetsSilently ? 'forgotten silently' : 'called stale'}`, async () => {
      await using it = await rig({ algorithm, nonceUses: 2, forgetsSilently })
      for (let n = 0; n < 6; n++) assert.equal(await it.bmc.status(), 'off')
      assert.equal(it.sim.logins, 3)
      assert.equal(it.sim.rejected, 0)
    })

test('a wrong password is said after one proof, and again after one more', async () => {
  await using it = await rig({ password: 'other' })
  await assert.rejects(it.bmc.status(), { code: 'unauthorized', message: /user or password is wrong/ })
  assert.equal(it.sim.rejected, 1)
  await assert.rejects(it.bmc.set('on'), (error: Error) => !JSON.stringify(error.message).includes('P@ssw0rd'))
  assert.ok(it.sim.rejected <= 3)
})

test('the password is not sent to who asks for Basic', async () => {
  await using it = await rig({ asksBasic: true })
  await assert.rejects(it.bmc.status(), { code: 'bad_peer', message: /offers no digest/ })
})

test('firmware that lets anybody in is said, and one that does not tell its version too', async () => {
  const worst = async (firmware: Readonly<Record<string, string>>) => {
    await using it = await rig({ firmware })
    return (await it.bmc.check!()).map(({ finding, severity }) => `${severity} ${finding}`)
  }
  assert.deepEqual(await worst({ AMT: '11.0.18', 'Build Number': '1002' }), [
    'critical firmware-at-risk',
    'warning no-encryption',
  ])
  assert.deepEqual(await worst({ AMT: '11.0.25', 'Build Number': '3001' }), ['warning no-encryption'])
  assert.deepEqual(await worst({}), ['warning firmware-at-risk', 'warning no-encryption'])
})

test('power that shows 300 ms later: done means seen', async () => {
  await using it = await rig({ powerDelayMs: 300 })
  await it.bmc.set('on')
  assert.equal(it.sim.isOn, true)
  assert.deepEqual(it.sim.trace, ['on'])
})

test('an AMT that returns 0 and does nothing is a timeout that says what it still says', async () => {
  await using it = await rig({ ignoresPower: true }, { patience: { ...patience, deadlineMs: 300 } })
  await assert.rejects(it.bmc.set('on'), { code: 'timeout', message: /took the command "on".*still says "off"/ })
  assert.deepEqual(it.sim.trace, ['on'])
})

for (const [name, options] of [
  ['lost', { losesPowerAnswers: true }],
  ['cut short', { cutsPowerAnswers: true }],
] as const)
  test(`power commands whose answers are ${name} are done once each`, async () => {
    await using it = await rig(options)
    await it.bmc.set('on')
    await it.bmc.set('cycle')
    assert.deepEqual(it.sim.trace, ['on', 'off', 'on'])
  })

for (const how of ['http', 'fault', 'return'] as const) {
  test(`an AMT that is busy three times (${how}) is asked again`, async () => {
    await using it = await rig({ busy: { how, times: 3 } })
    await it.bmc.set('on')
    assert.deepEqual(it.sim.trace, ['on'])
  })

  test(`an AMT that stays busy (${how}) is an error that says so`, async () => {
    await using it = await rig({ busy: { how, times: 100 } })
    await assert.rejects(it.bmc.set('on'), { code: 'conflict', message: /busy after 6 tries/ })
    assert.deepEqual(it.sim.trace, [])
  })
}

for (const [returns, code, message] of [
  [1, 'unsupported', /1: not supported/],
  [2, 'bad_peer', /2: unknown or unspecified error/],
  [4097, 'conflict', /4097: invalid state transition/],
  [32_768, 'bad_peer', /32768: of its vendor/],
] as const)
  test(`a return value of ${returns} is said at once`, async () => {
    await using it = await rig({ returns })
    await assert.rejects(it.bmc.set('on'), { code, message })
    assert.deepEqual(it.sim.trace, ['on'])
  })

for (const [name, options, message] of [
  ['XML that is cut short', { garbage: '<a:Envelope' }, /Cannot understand AMT/],
  ['a page of HTML', { garbage: '<html><body>login</body></html>' }, /Cannot understand AMT/],
  ['two megabytes', { garbage: ' '.repeat(2 * 1024 * 1024) }, /on AMT .*: its answer is longer than 1048576 bytes/],
  ['the answer to another request', { wrongRelatesTo: true }, /answered .* of another request/],
] as const)
  test(`${name} for a state is an error`, async () => {
    await using it = await rig(options)
    await assert.rejects(it.bmc.status(), { message })
  })

test('a connection that was closed meanwhile is opened anew to read, once', async () => {
  await using it = await rig({ breaksReads: 1 })
  assert.equal(await it.bmc.status(), 'off')
  await using broken = await rig({ breaksReads: 2 })
  await assert.rejects(broken.bmc.status(), { code: 'unreachable' })
})

test('soft-off is offered while the system can hear it', async () => {
  await using it = await rig({ isOn: true })
  await it.bmc.set('soft-off')
  assert.deepEqual(it.sim.trace, ['soft-off'])
  await using deaf = await rig({ isOn: true, noGraceful: true })
  await assert.rejects(deaf.bmc.set('soft-off'), { code: 'unsupported', message: /LMS/ })
  assert.deepEqual(deaf.sim.trace, [])
})

test('boot from PXE once: settings that were left on are taken back, and read back', async () => {
  await using it = await rig({ leftOn: 'BIOSSetup' })
  await it.bmc.setBoot(pxe)
  assert.deepEqual([it.sim.source, it.sim.role], ['Intel(r) AMT: Force PXE Boot', '1'])
  assert.match(it.sim.settings(), /BIOSSetup>false/)
  await it.bmc.setBoot({ device: 'none', firmware: 'uefi', once: true })
  assert.equal(it.sim.source, '')
})

test('boot that cannot be: kept settings, no PXE, for all boots', async () => {
  await using kept = await rig({ leftOn: 'UseIDER', keepsSettings: true })
  await assert.rejects(kept.bmc.setBoot(pxe), { code: 'bad_peer', message: /it kept UseIDER/ })
  assert.equal(kept.sim.source, '')
  await using without = await rig({ noPxe: true })
  await assert.rejects(without.bmc.setBoot(pxe), { code: 'unsupported', message: /lacks ForcePXEBoot/ })
  await assert.rejects(without.bmc.setBoot({ ...pxe, once: false }), { code: 'unsupported', message: /keeps one boot/ })
})

test('a closed port is unreachable', async () => {
  const gone = await rig({})
  await gone.sim[Symbol.asyncDispose]()
  await assert.rejects(gone.bmc.status(), { code: 'unreachable' })
  await gone.bmc[Symbol.asyncDispose]()
})

const noOpenssl = !hasProgram('openssl') && 'no openssl here'
test('TLS: a certificate of its own is refused, and taken by its fingerprint', { skip: noOpenssl }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'bareboat-amt-'))
  try {
    const path = (name: string) => join(folder, name)
    const words = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=amt', '-days', '2']
    spawnSync('openssl', [...words, '-keyout', path('key'), '-out', path('cert')])
    const tls = { key: readFileSync(path('key'), 'utf8'), cert: readFileSync(path('cert'), 'utf8') }
    const fingerprint = new X509Certificate(tls.cert).fingerprint256.replaceAll(':', '').toLowerCase()
    await using untrusted = await rig({ tls }, { isTls: true })
    await assert.rejects(untrusted.bmc.status(), {
      code: 'bad_peer',
      message: new RegExp(`add fingerprint=${fingerprint} to its URL`),
    })
    assert.equal(untrusted.sim.logins, 0, 'nothing was said')
    await using pinned = await rig({ tls }, { isTls: true, trust: { kind: 'fingerprint', sha256: fingerprint } })
    assert.equal(await pinned.bmc.status(), 'off')
    await using insecure = await rig({ tls }, { isTls: true, trust: { kind: 'anyone' } })
    assert.equal(await insecure.bmc.status(), 'off')
    await using plain = await rig({}, { isTls: true, trust: { kind: 'anyone' } })
    await assert.rejects(plain.bmc.status(), { code: 'unreachable', message: /is no TLS; .* write amt:\/\// })
    await using foreign = await rig({ tls }, { isTls: true, trust: { kind: 'fingerprint', sha256: '0'.repeat(64) } })
    await assert.rejects(foreign.bmc.status(), { code: 'bad_peer', message: /put the new one in its URL/ })
  } finally {
    rmSync(folder, { recursive: true })
  }
})

const noCurl = !hasProgram('curl') && 'no curl here'
for (const algorithm of ['MD5', 'SHA-256'] as const)
  test(
    `the simulated AMT takes the ${algorithm} digest of curl, and none with a wrong password`,
    { skip: noCurl },
    async () => {
      await using it = await rig({ algorithm })
      const ask = (password: string) => {
        const body = '<?xml version="1.0"?><e/>'
        const words = ['-s', '-o', '/dev/null', '-w', '%{http_code}', '--digest', '-u', `admin:${password}`, '-d', body]
        return new Promise<string>((resolve) =>
          execFile('curl', [...words, `http://127.0.0.1:${it.sim.port}/wsman`], (_error, stdout) => resolve(stdout)),
        )
      }
      assert.equal(await ask('P@ssw0rd'), '400')
      assert.equal(await ask('other'), '401')
    },
  )
