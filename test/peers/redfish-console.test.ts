/** Serial consoles of BMCs that speak Redfish: over OpenSSH's server, over a WebSocket of Python's, over ipmi_sim, and through the daemon. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { X509Certificate } from 'node:crypto'
import { poll, sleep } from '../../src/base/clock.ts'
import { quietLog } from '../../src/base/log.ts'
import { runCli } from '../../src/cli/program.ts'
import { openBmc } from '../../src/drivers/bmc/open.ts'
import { createRedfishBmc, type RedfishBmcOptions } from '../../src/drivers/bmc/redfish/redfish-bmc.ts'
import type { BmcConsole } from '../../src/services/power/power-port.ts'
import { hasProgram, startIpmiSim } from '../fakes/ipmi-sim.ts'
import { startRedfishSim, type RedfishSimOptions } from '../fakes/redfish-sim.ts'
import { selfSigned } from '../fakes/self-signed.ts'
import { startSshBmc } from '../fakes/ssh-bmc.ts'
import { fakeTerminal } from '../fakes/terminal.ts'
import { startDaemon } from './durable-daemon.ts'

async function rig(options: RedfishSimOptions, more: Partial<RedfishBmcOptions> = {}) {
  const stack = new AsyncDisposableStack()
  const sim = stack.use(await startRedfishSim(options))
  const login = { origin: sim.origin, user: 'admin', password: 'secret', paceMs: 0, timeoutMs: 10_000 }
  const bmc = stack.use(createRedfishBmc({ ...login, log: quietLog, ...more }))
  const open = async (): Promise<Watched> => stack.use(watch(await bmc.console!()))
  return { sim, bmc, open, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

interface Watched extends AsyncDisposable {
  readonly console: BmcConsole
  text(): string
  /** Why it ended; undefined when it was closed. */
  readonly end: Promise<unknown>
}

function watch(console: BmcConsole): Watched {
  let text = ''
  const read = async (): Promise<unknown> => {
    try {
      for await (const bytes of console) text = (text + Buffer.from(bytes).toString('latin1')).slice(-10_000)
      return undefined
    } catch (error) {
      return error
    }
  }
  return { console, text: () => text, end: read(), [Symbol.asyncDispose]: () => console[Symbol.asyncDispose]() }
}

async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  const found = await poll(async () => (await isSo()) || undefined, { everyMs: 25, deadlineMs: 30_000 })
  assert.ok(found, `not so in 30 s: ${isSo.toString()}`)
}

/** Reads nothing for a second while the BMC sends as much as it can. @returns by how much memory grew, bytes */
async function growthUnread(console: BmcConsole): Promise<number> {
  const used = (): number => {
    const { external, arrayBuffers, heapUsed } = process.memoryUsage()
    return external + arrayBuffers + heapUsed
  }
  const output = console[Symbol.asyncIterator]()
  await output.next()
  const before = used()
  await delay(1500)
  const after = used()
  // It goes on where it stood.
  for (let got = 0; got < 20 << 20;) got += (await output.next()).value?.length ?? Infinity
  return after - before
}

const MAX_GROWTH_BYTES = 24 << 20

const needs = ['unshare', 'ssh-keygen', 'openssl'].find((name) => !hasProgram(name))
const noSsh = process.getuid!() !== 0 ? 'not root' : !existsSync('/usr/sbin/sshd') ? 'no sshd here' : needs

suite('a console over SSH', { skip: noSsh ?? false }, () => {
  const offering = (port: number, more: object = {}) => ({ SSH: { ServiceEnabled: true, Port: port, ...more } })

  test('typed and read; another key or none is refused with its fingerprint, and nothing was said', async () => {
    await using ssh = await startSshBmc()
    const serialConsole = offering(ssh.port)
    await using it = await rig({ serialConsole }, { hostKey: ssh.hostKey })
    const first = await it.open()
    await until(() => first.text() === 'login: ')
    await first.console.write(Buffer.from('root\r\u00e9\u0003'))
    await until(() => first.text().endsWith('root\r\u00c3\u00a9\u0003'))
    await assert.rejects(first.console.sendBreak(), { code: 'unsupported', message: /only IPMI's carries one/ })
    await first.console[Symbol.asyncDispose]()
    assert.equal(await first.end, undefined)
    await assert.rejects(first.console.write(Buffer.from('x')), { code: 'interrupted' })

    await using unpinned = await rig({ serialConsole })
    await assert.rejects(unpinned.open(), (error: Error & { code: string }) => {
      assert.equal(error.code, 'bad_peer')
      return error.message.includes(`add hostkey=${ssh.hostKey} to its URL`)
    })
    const other = `SHA256:${'A'.repeat(43)}`
    await using wrong = await rig({ serialConsole }, { hostKey: other })
    await assert.rejects(wrong.open(), {
      code: 'bad_peer',
      message: new RegExp(`is ${ssh.hostKey.replaceAll('+', '\\+')}, not ${other}`),
    })
  })

  test('a wrong password is said, and is in no message', async () => {
    await using ssh = await startSshBmc()
    const options = { password: 'canary', serialConsole: offering(ssh.port) }
    await using it = await rig(options, { password: 'canary', hostKey: ssh.hostKey })
    await assert.rejects(it.open(), (error: Error & { code: string }) => {
      assert.equal(error.code, 'unauthorized')
      return /over SSH: user or password is wrong/.test(error.message) && !error.message.includes('canary')
    })
  })

  test("a manager's shell is entered with the command that was said; without one it is asked for", async () => {
    await using ssh = await startSshBmc('cli')
    const serialConsole = offering(ssh.port, { ConsoleEntryCommand: 'vsp', SharedWithManagerCLI: true })
    await using it = await rig({ serialConsole }, { hostKey: ssh.hostKey })
    const entered = await it.open()
    await until(() => entered.text().endsWith('login: '))
    await using wrong = await rig({ serialConsole }, { hostKey: ssh.hostKey, command: 'console com2' })
    const refused = await wrong.open()
    assert.match(String(await refused.end), /its session was dropped|its session ended/)
    assert.match(refused.text(), /unknown: console com2/)
    const manager = { SerialConsole: { ServiceEnabled: true, ConnectTypesSupported: ['SSH', 'IPMI', 'Telnet'] } }
    await using unsaid = await rig({ manager }, { hostKey: ssh.hostKey })
    await assert.rejects(unsaid.open(), {
      code: 'unsupported',
      message: /SSH, .* add command=COMMAND and .*; and IPMI .* add console=ipmi .*; and Telnet, which is not spoken/,
    })
  })

  test('a session that ends, is dropped, or does not begin: typed errors, and it can be opened again', async () => {
    await using ssh = await startSshBmc('ends')
    const serialConsole = offering(ssh.port, { HotKeySequenceDisplay: 'Press ~. to exit\u001b[2J' })
    await using it = await rig({ serialConsole }, { hostKey: ssh.hostKey })
    const ended = await it.open()
    const why = (await ended.end) as Error & { code: string }
    assert.equal(why.code, 'unreachable')
    assert.match(why.message, /session ended \(what ends it: Press ~\. to exit \[2J\); open it again/)
    ssh.line = 'echo'
    const again = await it.open()
    await until(() => again.text() === 'login: ')
    await ssh.stop()
    assert.equal(((await again.end) as { code: string }).code, 'unreachable')
    await assert.rejects(again.console.write(Buffer.from('x')), { code: 'unreachable' })
    await assert.rejects(it.open(), { code: 'unreachable' })
    await ssh.start()
    const back = await it.open()
    await until(() => back.text() === 'login: ')
  })

  test('a BMC that takes the connection and says nothing has a deadline', async () => {
    const silent = createServer((socket) => void socket.on('error', () => {}).resume())
    silent.listen(0, '127.0.0.1')
    await once(silent, 'listening')
    const serialConsole = offering((silent.address() as AddressInfo).port)
    await using it = await rig({ serialConsole }, { hostKey: `SHA256:${'A'.repeat(43)}`, timeoutMs: 500 })
    await assert.rejects(it.open(), { code: 'timeout', message: /over SSH: no answer in 500 ms/ })
    const gone = new AbortController()
    const opening = it.bmc.console!({ signal: gone.signal })
    setTimeout(() => gone.abort(new Error('enough')), 50)
    await assert.rejects(opening, /enough/)
    await new Promise<void>((resolve) => void silent.close(() => resolve()))
  })

  test('output that nobody reads stops the BMC, not the server', async (t) => {
    await using ssh = await startSshBmc('flood')
    await using it = await rig({ serialConsole: offering(ssh.port) }, { hostKey: ssh.hostKey })
    await using console = await it.bmc.console!()
    const growth = await growthUnread(console)
    t.diagnostic(`${Math.round(growth / 1024)} KiB`)
    assert.ok(growth < MAX_GROWTH_BYTES, `${growth} bytes`)
  })
})

const PYTHON = '/usr/bin/python3'
const noPython = existsSync('/usr/lib/python3/dist-packages/websockets') ? undefined : 'no python3-websockets here'

interface WebSocketLine extends AsyncDisposable {
  readonly port: number
  readonly child: ChildProcess
}

async function startLine(mode = 'echo'): Promise<WebSocketLine> {
  const script = join(import.meta.dirname, 'web-socket-console.py')
  const child = spawn(PYTHON, [script, mode], { stdio: ['ignore', 'pipe', 'ignore'] })
  const [line] = (await once(child.stdout!, 'data')) as [Buffer]
  return {
    port: Number(line.toString()),
    child,
    async [Symbol.asyncDispose]() {
      const ended = once(child, 'exit')
      child.kill('SIGKILL')
      await ended
    },
  }
}

suite('a console over a WebSocket', { skip: noPython ?? false }, () => {
  test('where the service says, or where OpenBMC has it; bytes and text, over TLS with the pin of the service', async () => {
    await using line = await startLine()
    const tls = selfSigned()
    const path = '/redfish/v1/Systems/1/console'
    const serialConsole = { WebSocket: { ServiceEnabled: true, ConsoleURI: `wss://idrac.example${path}` } }
    await using it = await startRedfishSim({ tls, serialConsole, webSockets: { [path]: line.port } })
    const pin = new X509Certificate(tls.cert).fingerprint256
    await using bmc = openBmc(`redfish://admin@127.0.0.1:${it.port}?fingerprint=${pin}`, 'secret', quietLog)
    await using said = watch(await bmc.console!())
    await said.console.write(Buffer.from('root\r\u0000\u00ff', 'latin1'))
    await until(() => said.text() === 'login: root\r\u0000\u00ff')
    await said.console.write(Buffer.from('text'))
    await until(() => said.text().endsWith('said as text'))

    await using stranger = openBmc(`redfish://admin@127.0.0.1:${it.port}`, 'secret', quietLog)
    await assert.rejects(stranger.console!(), { code: 'bad_peer', message: /signed its certificate itself/ })
    // OpenBMC says SSH, and has this without saying so: no second key has to be compared.
    const webSockets = { '/console0': line.port }
    await using openBmcSim = await rig({ serialConsole: { SSH: { ServiceEnabled: true, Port: 1 } }, webSockets })
    const own = await openBmcSim.open()
    await until(() => own.text() === 'login: ')
  })

  test('Basic, which takes no session; a session of its own where Basic is refused, and it is closed', async () => {
    await using line = await startLine()
    const webSockets = { '/console0': line.port }
    await using basic = await rig({ webSockets }, { console: 'websocket' })
    await basic.open()
    assert.deepEqual(
      basic.sim.requests.filter((one) => one.startsWith('UPGRADE')),
      ['UPGRADE /console0'],
    )
    await using it = await rig({ webSockets, refusesBasic: true }, { console: 'websocket', idleMs: 10 })
    const opened = await it.open()
    await until(() => opened.text() === 'login: ')
    await until(() => it.sim.sessions === 1)
    await opened[Symbol.asyncDispose]()
    await until(() => it.sim.sessions === 0)
    await using without = await rig({}, { console: 'websocket' })
    await assert.rejects(without.open(), { code: 'unsupported', message: /at "\/console0": it answers 404 Not Found/ })
    assert.ok(!without.bmc.can.has('hardware') && without.bmc.can.has('console'))
    await using none = await rig({}, { console: 'none' })
    assert.ok(!none.bmc.can.has('console') && none.bmc.console === undefined)
    await using nothing = await rig({})
    await assert.rejects(nothing.open(), { code: 'unsupported', message: /its Redfish service offers none/ })
  })

  test('one that is closed, dropped, floods in one message, or falls silent ends with a typed error', async () => {
    await using line = await startLine()
    const webSockets = { '/console0': line.port }
    await using it = await rig({ webSockets }, { console: 'websocket', consoleKeepAliveMs: 250 })
    for (const [word, message] of [
      ['bye', /session ended \(1011 the host port \[2J is gone\)/],
      ['die', /its session was dropped/],
    ] as const) {
      const said = await it.open()
      await said.console.write(Buffer.from(word))
      const why = (await said.end) as Error & { code: string }
      assert.equal(why.code, 'unreachable')
      assert.match(why.message, message)
    }
    const quiet = await it.open()
    await until(() => quiet.text() === 'login: ')
    await sleep(1000)
    line.child.kill('SIGSTOP')
    assert.match(String(await quiet.end), /session ended \(nothing was heard in 500 ms\)/)
    line.child.kill('SIGCONT')
    await using huge = await startLine('huge')
    await using big = await rig({ webSockets: { '/console0': huge.port } }, { console: 'websocket' })
    assert.equal(((await (await big.open()).end) as { code: string }).code, 'unreachable')
  })

  test('output that nobody reads stops the BMC, not the server', async (t) => {
    await using line = await startLine('flood')
    await using it = await rig(
      { webSockets: { '/console0': line.port } },
      { console: 'websocket', consoleKeepAliveMs: 250 },
    )
    await using console = await it.bmc.console!()
    const growth = await growthUnread(console)
    t.diagnostic(`${Math.round(growth / 1024)} KiB`)
    assert.ok(growth < MAX_GROWTH_BYTES, `${growth} bytes`)
  })

  test('through the daemon: recorded from power-on, shared, and gone on with after the BMC dropped it', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'bareboat-redfish-console-'))
    await using stack = new AsyncDisposableStack()
    stack.defer(() => rmSync(folder, { recursive: true, force: true }))
    const line = stack.use(await startLine())
    const sim = stack.use(await startRedfishSim({ webSockets: { '/console0': line.port } }))
    const daemon = stack.use(startDaemon(folder))
    assert.ok(await daemon.isReady())
    const env = { BAREBOAT_HOST: `unix://${join(folder, 'api.sock')}`, BAREBOAT_BMC_PASSWORD: 'secret', USER: 'ann' }
    const start = (argv: string[], isTty = false) => {
      const terminal = fakeTerminal(undefined, { env, isTty })
      return { terminal, code: runCli(argv, terminal.io) }
    }
    const record = async (): Promise<string> => {
      const { terminal, code } = start(['machine', 'console', '--log', 'm'])
      await code
      return terminal.stdout() + terminal.stderr()
    }
    const bmc = `redfish+http://admin@127.0.0.1:${sim.port}`
    assert.equal(await start(['machine', 'add', 'm', '--mac', '52:54:00:00:00:01', '--bmc', bmc]).code, 0)
    assert.equal(await start(['machine', 'power', 'm', 'on']).code, 0)
    await until(async () => (await record()).includes('login: '))

    const ann = start(['machine', 'console', 'm'], true)
    const bob = start(['machine', 'console', 'm'], true)
    await until(() => bob.terminal.stderr().includes('read-only: ann@'))
    ann.terminal.stdin.write('id\r')
    await until(() => ann.terminal.stdout().includes('id\r') && bob.terminal.stdout().includes('id\r'))
    ann.terminal.stdin.write('die')
    await until(() => bob.terminal.stderr().includes('the console was lost'))
    await until(() => bob.terminal.stderr().includes('is back after'))
    ann.terminal.stdin.write('again\r')
    await until(() => bob.terminal.stdout().includes('again\r'))
    const said = await record()
    assert.match(said, /id\r/)
    assert.match(said, /the console was lost: .*its session was dropped/)
    for (const one of [ann, bob]) one.terminal.stdin.write('~.')
    assert.deepEqual(await Promise.all([ann.code, bob.code]), [0, 0])
    assert.equal(sim.requests.filter((one) => one === 'UPGRADE /console0').length, 2)
  })
})

test(
  'a console over IPMI is opened because the URL says so',
  { skip: hasProgram('ipmi_sim') ? false : 'no ipmi_sim here' },
  async () => {
    await using ipmi = await startIpmiSim()
    const serialConsole = { IPMI: { ServiceEnabled: true, Port: ipmi.port } }
    await using unsaid = await rig({ serialConsole })
    await assert.rejects(unsaid.open(), { code: 'unsupported', message: /IPMI serial over LAN: add console=ipmi/ })
    await using it = await rig({ serialConsole }, { console: 'ipmi' })
    const opened = await it.open()
    await opened.console.write(Buffer.from('hello'))
    await until(() => opened.text().includes('hello'))
    await using other = await rig({ serialConsole: { SSH: { ServiceEnabled: true } } }, { console: 'ipmi' })
    await assert.rejects(other.open(), {
      code: 'unsupported',
      message: /over IPMI: its Redfish service does not offer that/,
    })
  },
)
