/** Each BMC that is played here, through the command line and a server of its own: added, asked, switched on and off. */
import assert from 'node:assert/strict'
import { execFile, spawn, spawnSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { poll } from '../../src/base/clock.ts'
import { startAmtSim } from '../fakes/amt-sim.ts'
import { startBmcSim } from '../fakes/bmc-sim.ts'
import { hasProgram } from '../fakes/ipmi-sim.ts'
import { startPikvmSim } from '../fakes/pikvm-sim.ts'

const MAIN = ['--disable-warning=ExperimentalWarning', join(import.meta.dirname, '../../src/main.ts')]

suite('BMCs on the command line', { skip: !hasProgram('openssl') && 'no openssl here' }, () => {
  const stack = new AsyncDisposableStack()
  let folder = ''
  let tls = { key: '', cert: '' }
  let fingerprint = ''
  const path = (name: string): string => join(folder, name)

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'bareboat-bmc-'))
    stack.defer(() => rmSync(folder, { recursive: true }))
    const words = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=kvm', '-days', '2']
    spawnSync('openssl', [...words, '-keyout', path('key'), '-out', path('cert')])
    tls = { key: readFileSync(path('key'), 'utf8'), cert: readFileSync(path('cert'), 'utf8') }
    fingerprint = new X509Certificate(tls.cert).fingerprint256
    const server = spawn(
      process.execPath,
      [...MAIN, 'server', '--data-dir', path('data'), '--socket', path('socket')],
      {
        stdio: 'ignore',
        env: { ...process.env, BAREBOAT_KIT_DIR: path('kits'), BAREBOAT_NFS_DIR: path('nfs') },
      },
    )
    stack.defer(async () => {
      const ended = once(server, 'exit')
      server.kill()
      await ended
    })
    const isUp = async () => ((await bareboat('machine', 'ls')).code === 0 ? true : undefined)
    assert.ok(await poll(isUp, { everyMs: 200, deadlineMs: 30_000 }), 'the server does not answer')
  })
  after(() => stack.disposeAsync())

  function bareboat(...words: string[]): Promise<{ code: number; out: string; err: string }> {
    const env = { ...process.env, BAREBOAT_HOST: `unix://${path('socket')}` }
    return new Promise((resolve) => {
      const child = execFile(process.execPath, [...MAIN, ...words], { env, timeout: 60_000 }, (_error, out, err) =>
        resolve({ code: child.exitCode ?? -1, out: out.trim(), err: err.trim() }),
      )
    })
  }

  let count = 0
  async function add(name: string, bmc: string, password?: string) {
    if (password !== undefined) writeFileSync(path('password'), `${password}\n`)
    const given = password === undefined ? [] : ['--bmc-password-file', path('password')]
    count++
    return bareboat(
      'machine',
      'add',
      name,
      '--mac',
      `52:54:00:00:00:${String(count).padStart(2, '0')}`,
      '--bmc',
      bmc,
      ...given,
    )
  }

  test(
    'record and replay: an exchange goes into a file, and is concluded from again without the BMC',
    { timeout: 120_000 },
    async () => {
      await using sim = await startBmcSim({ password: 'field word' })
      assert.equal((await add('liar', `ipmi://admin@127.0.0.1:${sim.port}`, 'field word')).code, 0)
      const file = path('liar.jsonl')
      const recorded = await bareboat('machine', 'bmc', 'record', 'liar', '-o', file, '--', 'on')
      assert.equal(recorded.code, 0, recorded.err)
      assert.match(recorded.err, /exchanges, \d+ bytes/)
      assert.ok(!readFileSync(file, 'utf8').includes('field word'))
      const replayed = await bareboat('machine', 'bmc', 'replay', file)
      assert.equal(replayed.code, 0, replayed.err)
      assert.match(replayed.out, /Chassis Control 01: 00h/)
      assert.match(replayed.out, /^then: done$/m)
      assert.match(replayed.out, /^ now: done$/m)
      assert.equal((await bareboat('machine', 'bmc', 'record', 'liar', '-o', file, '--', 'dance')).code, 2)
      assert.equal((await bareboat('machine', 'bmc', 'replay', path('key'))).code, 2)
      assert.deepEqual(sim.trace, ['on'])
    },
  )

  const played = [
    {
      name: 'amt',
      password: 'P@ssw0rd',
      start: () => startAmtSim({ firmware: { AMT: '11.0.18', 'Build Number': '1002' } }),
      url: (port: number) => `amt://admin@127.0.0.1:${port}`,
      checked: /^critical firmware-at-risk: firmware 11\.0\.18 build 1002 lets anybody .*\n.*\nwarning no-encryption: /,
    },
    {
      name: 'amts',
      password: 'P@ssw0rd',
      start: () => startAmtSim({ tls, algorithm: 'SHA-256' }),
      url: (port: number) => `amts://admin@127.0.0.1:${port}?fingerprint=${fingerprint}`,
      checked: /^no findings$/,
    },
    {
      name: 'pikvm',
      password: 'secret',
      start: () => startPikvmSim({ tls }),
      url: (port: number) => `pikvm://admin@127.0.0.1:${port}?fingerprint=${fingerprint}`,
      checked: /Cannot ask the BMC of "pikvm" what is insecure about it: IPMI and AMT can/,
    },
  ]
  for (const { name, password, start, url, checked } of played)
    test(`${name}: added, asked, switched on, off, checked, and refused with a wrong password`, async () => {
      await using sim = await start()
      const added = await add(name, url(sim.port), password)
      assert.deepEqual([added.code, added.err], [0, ''])
      assert.equal((await bareboat('machine', 'power', name)).out, 'off')
      assert.equal((await bareboat('machine', 'power', name, 'on')).out, 'on')
      assert.equal(sim.isOn, true)
      assert.equal((await bareboat('machine', 'power', name, 'off')).out, 'off')
      assert.deepEqual(sim.trace, ['on', 'off'])
      const check = await bareboat('machine', 'bmc', 'check', name)
      assert.match(`${check.out}${check.err}`, checked)
      writeFileSync(path('password'), 'canary\n')
      const changed = await bareboat('machine', 'set', name, '--bmc-password-file', path('password'))
      assert.equal(changed.code, 0, changed.err)
      const refused = await bareboat('machine', 'power', name)
      assert.equal(refused.code, 3)
      assert.match(refused.err, /user or password is wrong/)
      assert.doesNotMatch(refused.err, /canary/)
    })

  test('a certificate that nobody vouched for is refused with its fingerprint', async () => {
    await using sim = await startPikvmSim({ tls })
    await add('stranger', `pikvm://admin@127.0.0.1:${sim.port}`, 'secret')
    const refused = await bareboat('machine', 'power', 'stranger')
    assert.equal(refused.code, 6)
    assert.match(refused.err, new RegExp(`add fingerprint=${fingerprint.replaceAll(':', '').toLowerCase()}`))
  })

  test('wol: woken, and refused to be switched off', async () => {
    assert.equal((await add('desk', 'wol:?broadcast=127.0.0.1')).code, 0)
    assert.deepEqual(await bareboat('machine', 'power', 'desk', 'on'), { code: 0, out: 'unknown', err: '' })
    const cycled = await bareboat('machine', 'power', 'desk', 'cycle')
    assert.equal(cycled.code, 8)
    assert.match(cycled.err, /its BMC can only power-on/)
    assert.match((await bareboat('machine', 'add', 'x', '--mac', MAC, '--bmc', 'wol:m7')).err, /is not a MAC address/)
  })

  test('manual: power is refused, in so many words', async () => {
    assert.equal((await add('shelf', 'manual:')).code, 0)
    const refused = await bareboat('machine', 'power', 'shelf', 'on')
    assert.equal(refused.code, 8)
    assert.match(refused.err, /Cannot switch on "shelf": it has no BMC; switch it on by hand/)
    const off = await bareboat('machine', 'power', 'shelf', 'off')
    assert.equal(off.code, 8)
    assert.match(off.err, /nothing tells whether it is on/)
  })
})

const MAC = '52:54:00:00:00:ff'
