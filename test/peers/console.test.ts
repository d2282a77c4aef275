/** The console of the real daemon and command line, over ipmi_sim; ipmitool is the other program that wants it. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { promisify } from 'node:util'
import { poll } from '../../src/base/clock.ts'
import { runCli } from '../../src/cli/program.ts'
import { startDaemon } from './durable-daemon.ts'
import { hasProgram, startIpmiSim } from '../fakes/ipmi-sim.ts'
import { fakeTerminal, type FakeTerminal, type TerminalOptions } from '../fakes/terminal.ts'

const run = promisify(execFile)
const missing = ['ipmi_sim', 'ipmitool'].find((name) => !hasProgram(name))

suite('machine console over ipmi_sim', missing === undefined ? {} : { skip: missing }, () => {
  test(
    'recorded from power-on, shared, taken over on request only, and gone on with after a kill of the server',
    { timeout: 120_000 },
    async () => {
      const folder = mkdtempSync(join(tmpdir(), 'bareboat-console-'))
      await using stack = new AsyncDisposableStack()
      stack.defer(() => rmSync(folder, { recursive: true, force: true }))
      let line: Socket | undefined
      let typed = ''
      const sim = stack.use(
        await startIpmiSim((serial) => {
          line = serial
          // Firmware that says something every moment, and a machine that shows what it is typed.
          const timer = setInterval(() => serial.write('.'), 50)
          serial.on('close', () => clearInterval(timer))
          serial.on('data', (bytes) => {
            typed += bytes.toString('latin1')
            serial.write(bytes)
          })
        }),
      )
      const first = startDaemon(folder)
      stack.use(first)
      assert.ok(await first.isReady())
      const env = { BAREBOAT_HOST: `unix://${join(folder, 'api.sock')}`, BAREBOAT_BMC_PASSWORD: 'secret', USER: 'ann' }
      const start = (
        argv: string[],
        options: TerminalOptions = {},
      ): { terminal: FakeTerminal; code: Promise<number> } => {
        const terminal = fakeTerminal(undefined, { env, ...options })
        return { terminal, code: runCli(argv, terminal.io) }
      }
      const done = async (argv: string[], options: TerminalOptions = {}) => {
        const { terminal, code } = start(argv, options)
        return { code: await code, stdout: terminal.stdout(), stderr: terminal.stderr() }
      }
      const record = async () => (await done(['machine', 'console', '--log', 'm'])).stdout
      const bmc = `ipmi://admin@127.0.0.1:${sim.port}`
      assert.equal((await done(['machine', 'add', 'm', '--mac', '52:54:00:00:00:01', '--bmc', bmc])).code, 0)
      assert.equal(await record(), '')

      // From power-on, without anybody looking.
      assert.equal((await done(['machine', 'power', 'm', 'on'])).code, 0)
      await until(async () => (await record()).includes('...'))

      // Two viewers; what the first types comes to both and into the record.
      const ann = start(['machine', 'console', 'm'], { isTty: true })
      await until(() => ann.terminal.stdout().includes('.'))
      const bob = start(['machine', 'console', 'm'], { isTty: true, env: { ...env, USER: 'bob' } })
      await until(() => bob.terminal.stderr().includes('read-only: ann@'))
      bob.terminal.stdin.write('b')
      await until(() => bob.terminal.stderr().includes('not sent: ann@'))
      ann.terminal.stdin.write('id\r')
      await until(() => typed.includes('id\r') && bob.terminal.stdout().replaceAll('.', '').includes('id\r'))
      assert.ok(!typed.includes('b'))
      bob.terminal.stdin.write('\r~w')
      await until(() => ann.terminal.stderr().includes('read-only now: bob@'))
      bob.terminal.stdin.write('root')
      await until(async () => typed.includes('root') && (await record()).replaceAll('.', '').includes('root'))
      bob.terminal.stdin.write('\r~.')
      ann.terminal.stdin.write('~.')
      assert.deepEqual(await Promise.all([ann.code, bob.code]), [0, 0])

      // A killed server leaves its session open in the BMC; the next one has it again when the BMC lets go.
      first.child.kill('SIGKILL')
      await first.ended
      const second = startDaemon(folder)
      stack.use(second)
      assert.ok(await second.isReady())
      const before = await record()
      assert.ok(before.replaceAll('.', '').includes('root'))
      const refused = await done(['machine', 'console', 'm'], { input: '' })
      assert.match(refused.stderr, /another session of its BMC has it; take it over with --take-over/)
      assert.equal(refused.code, 5)
      const taken = start(['machine', 'console', '--take-over', 'm'], { isTty: true })
      await until(() => taken.terminal.stdout().includes('.'))
      await until(async () => (await record()).length > before.length)
      line!.end()
      taken.terminal.stdin.write('~.')
      assert.equal(await taken.code, 0)

      // Off ends the recording, so that others may have the console.
      assert.equal(await solStatus(sim.port), '01 01 00')
      assert.equal((await done(['machine', 'power', 'm', 'off'])).code, 0)
      await until(async () => (await solStatus(sim.port)) === '01 00 00')
    },
  )
})

/** What ipmitool reads as Get Payload Activation Status (IPMI v2.0 §24.4): most instances, and a bit for each that is active. */
async function solStatus(port: number): Promise<string> {
  const where = ['-I', 'lanplus', '-C', '3', '-H', '127.0.0.1', '-p', `${port}`, '-U', 'admin', '-P', 'secret']
  return (await run('ipmitool', [...where, 'raw', '0x06', '0x4a', '0x01'])).stdout.trim()
}

async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  assert.ok(
    await poll(async () => (await isSo()) || undefined, { everyMs: 50, deadlineMs: 20_000 }),
    `not so in 20 s: ${isSo.toString()}`,
  )
}
