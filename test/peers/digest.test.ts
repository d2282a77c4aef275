/** HTTP digest authentication of the AMT driver, judged by lighttpd: it lets us in, counts our nonces, and keeps a wrong password out. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { poll } from '../../src/base/clock.ts'
import { quietLog } from '../../src/base/log.ts'
import { createAmtBmc } from '../../src/drivers/bmc/amt/amt-bmc.ts'
import { hasProgram } from '../fakes/ipmi-sim.ts'

const REALM = 'Intel(r) AMT'

suite('HTTP digest', { skip: !hasProgram('lighttpd') && 'no lighttpd here' }, () => {
  for (const [algorithm, hash] of [
    ['MD5', 'md5'],
    ['SHA-256', 'sha256'],
  ] as const)
    test(`lighttpd lets the right ${algorithm} proof in, again and again, and no other`, async () => {
      await using server = await startLighttpd(algorithm, hash)
      const status = async (password: string) => {
        await using bmc = createAmtBmc({ host: '127.0.0.1', port: server.port, user: 'admin', password, log: quietLog })
        const answers = []
        for (let n = 0; n < 3; n++)
          answers.push(await bmc.status().then(String, (error: Error & { code?: string }) => error.code))
        return answers
      }
      // Behind the login is no WS-Man: whoever hears of that was let in.
      assert.deepEqual(await status('right'), ['bad_peer', 'bad_peer', 'bad_peer'])
      assert.deepEqual(await status('wrong'), ['unauthorized', 'unauthorized', 'unauthorized'])
    })
})

async function startLighttpd(algorithm: string, hash: string) {
  const folder = mkdtempSync(join(tmpdir(), 'bareboat-digest-'))
  const path = (name: string): string => join(folder, name)
  const port = await freePort()
  const secret = createHash(hash).update(`admin:${REALM}:right`).digest('hex')
  writeFileSync(path('users'), `admin:${REALM}:${secret}\n`)
  const lines = [
    'server.modules = ("mod_auth", "mod_authn_file")',
    `server.document-root = "${folder}"`,
    'server.bind = "127.0.0.1"',
    `server.port = ${port}`,
    `server.errorlog = "${path('log')}"`,
    'auth.backend = "htdigest"',
    `auth.backend.htdigest.userfile = "${path('users')}"`,
    `auth.require = ("/" => ("method" => "digest", "algorithm" => "${algorithm}", "realm" => "${REALM}", "require" => "valid-user"))`,
  ]
  writeFileSync(path('config'), `${lines.join('\n')}\n`)
  const child = spawn('lighttpd', ['-D', '-f', path('config')], { stdio: 'ignore' })
  const exited = once(child, 'exit')
  const listens = () =>
    new Promise<true | undefined>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => resolve(true))
      socket.once('error', () => resolve(undefined)).once('connect', () => socket.destroy())
    })
  const isUp = await poll(listens, { everyMs: 50, deadlineMs: 10_000 })
  const stop = async () => {
    child.kill()
    await exited
    rmSync(folder, { recursive: true })
  }
  if (!isUp) await stop()
  assert.ok(isUp, 'lighttpd does not listen')
  return { port, [Symbol.asyncDispose]: stop }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  return typeof address === 'object' && address ? address.port : 0
}
