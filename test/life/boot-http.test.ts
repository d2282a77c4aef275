/** What machines are given over HTTP, and to whom (P12): the boot service behind its server, on loopback. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { request, type IncomingHttpHeaders } from 'node:http'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { poll } from '../../src/base/clock.ts'
import type { Fields, Log } from '../../src/base/log.ts'
import { startBootThread } from '../../src/daemon/network.ts'
import { heldBytes } from '../../src/drivers/boot-files.ts'
import { createBootDesk } from '../../src/servers/boot/desk.ts'
import { createBootServer } from '../../src/servers/boot/server.ts'
import type { BootFile } from '../../src/services/boot/boot.ts'
import { ROOT_HASH, openSmallSite, type SmallSite } from '../fakes/small-site.ts'
import { World, type Behaviour, type FakeMachine } from '../fakes/world.ts'

const MAC = '52:54:00:00:00:03'
const NOTHING = 'Cannot find what this address stood for\n'

interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly rawHeaders: readonly string[]
  readonly text: string
}

interface Options {
  readonly from?: string
  readonly headers?: Record<string, string>
  readonly body?: string
}

async function bench(
  t: TestContext,
  does: Partial<Behaviour>,
  log?: Log,
  {
    rootfs = 'ram',
    files = {},
    hasAgentMode = false,
  }: { rootfs?: 'ram' | 'lazy'; files?: Record<string, BootFile>; hasAgentMode?: boolean } = {},
) {
  const folder = mkdtempSync(join(tmpdir(), 'bareboat-boot-'))
  const world = new World()
  const machine = world.machine(MAC, '127.0.0.7', does)
  const site = await openSmallSite({ folder, world, rootfs, hasAgentMode, ...(log ? { log } : {}) })
  await site.addMachine('m1', MAC)
  const port = await freePort()
  const stop = new AbortController()
  const loader = heldBytes(Buffer.from('0123456789'))
  const loaders = new Map([['ipxe.efi', loader], ['tagged.efi', { ...loader, etag: 'abc' }], ...Object.entries(files)])
  const http = createBootServer({
    log: log ?? silent([]),
    desk: createBootDesk(site.boot, site.agents, (name) => loaders.get(name), site.attachments),
    startThread: startBootThread,
    address: '127.0.0.1',
    port,
  })
  let running = Promise.resolve()
  await new Promise<void>((ready) => {
    running = http.run(stop.signal, ready)
  })
  t.after(async () => {
    world.end()
    stop.abort()
    await running
    await site[Symbol.asyncDispose]()
    rmSync(folder, { recursive: true })
  })
  const ask = (
    method: string,
    path: string,
    { from = '127.0.0.7', headers = {}, body }: Options = {},
  ): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const asked = request(
        { host: '127.0.0.1', port, method, path, headers, localAddress: from, agent: false },
        (response) => {
          let text = ''
          response.on('data', (part: Buffer) => (text += part.toString('latin1')))
          response.on('end', () => {
            const { statusCode, headers, rawHeaders } = response
            resolve({ status: statusCode!, headers, rawHeaders, text })
          })
          response.on('error', reject)
        },
      )
      asked.on('error', reject)
      asked.end(body)
    })
  return { site, machine, ask }
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

/** Keeps every line of a log, debug too. */
function silent(lines: string[]): Log {
  const write = (event: string, fields?: Fields): void =>
    void lines.push(
      `${event} ${JSON.stringify(fields, (_key, value: unknown) => (value instanceof Error ? { m: value.message, s: value.stack } : value))}`,
    )
  const log: Log = { debug: write, info: write, warn: write, error: write, with: () => log }
  return log
}

/** A container whose machine is on and asks for nothing by itself. */
async function bootedBy(site: SmallSite, machine: FakeMachine): Promise<{ id: string; token: string }> {
  const { id } = await site.run()
  await poll(() => (machine.isOn ? true : undefined), { everyMs: 2, deadlineMs: 3000 })
  const boot = await poll(
    async () => ((await site.store.byId(id))?.state === 'booting' ? site.boots.byContainer(id) : undefined),
    { everyMs: 2, deadlineMs: 3000 },
  )
  return { id, token: boot!.token }
}

test('the orders of a boot go to the first address that asks, until the workload runs, and never after', async (t) => {
  const { site, machine, ask } = await bench(t, { bootsTo: 'nothing' })
  const { id, token } = await bootedBy(site, machine)
  const unknown = await ask('GET', `/boot/${'A'.repeat(43)}/spec`)
  const first = await ask('GET', `/boot/${token}/spec`)
  assert.equal(first.status, 200)
  assert.match(first.text, /^BB_ID=/m)
  assert.match(first.text, /BB_SSH_HOST_KEY=/)
  const foreign = await ask('GET', `/boot/${token}/spec`, { from: '127.0.0.8' })
  assert.equal((await ask('GET', `/boot/${token}/spec`)).status, 200, 'the same machine may ask again')
  for (const stage of ['initrd', 'rootfs', 'init', 'running'])
    assert.equal((await ask('POST', `/boot/${token}/stage/${stage}`)).status, 200)
  const afterRunning = await ask('GET', `/boot/${token}/spec`)
  await site.containers.stop(id, 0)
  const afterEnd = await ask('GET', `/boot/${token}/spec`)
  const files = ['kernel', 'initrd', 'rootfs.tar', `script.ipxe?mac=${MAC}`].map((name) =>
    ask('GET', `/boot/${token}/${name}`),
  )
  const posts = ['stage/running', 'failed/rootfs', 'exit/0'].map((name) => ask('POST', `/boot/${token}/${name}`))
  // Nothing tells a token that never was from one that is over or somebody else's.
  for (const answer of [unknown, foreign, afterRunning, afterEnd, ...(await Promise.all([...files, ...posts]))]) {
    assert.deepEqual([answer.status, answer.text], [404, NOTHING])
    assert.equal(answer.headers['content-type'], unknown.headers['content-type'])
  }
})

test('scripts: a container`s own, and why there is none', async (t) => {
  const { site, machine, ask } = await bench(t, { bootsTo: 'nothing' })
  const waiting = (mac: string) => ask('GET', `/boot/waiting.ipxe?mac=${mac}`)
  assert.match((await waiting('52-54-00-00-99-99')).text, /this machine is unknown here: its MAC is 52:54:00:00:99:99/)
  assert.match((await waiting(MAC)).text, /m1 has no container to boot/)
  assert.equal((await waiting('nonsense')).status, 422)
  const { id, token } = await bootedBy(site, machine)
  const { text } = await ask('GET', `/boot/${token}/script.ipxe?mac=${MAC}`)
  const name = (await site.store.byId(id))!.name
  const base = `http://10.0.0.1:8080/boot/${token}`
  const dashed = MAC.replaceAll(':', '-')
  assert.equal(
    text,
    `#!ipxe
echo Bareboat: m1 boots container ${name} (${id.slice(0, 12)})
imgfree
kernel --name kernel ${base}/kernel initrd=initrd bareboat.id=${id} bareboat.url=${base} BOOTIF=01-${dashed} console=ttyS0 || goto failed
initrd --name initrd ${base}/initrd || goto failed
boot || goto failed
:failed
echo Bareboat: loading or starting the kernel failed, trying again in 3 s
:again
sleep 3
chain --replace --autofree ${base}/script.ipxe?mac=${dashed} || goto again
goto again
`,
  )
  assert.equal((await waiting(MAC)).text, text)
  const grub = await ask('GET', `/boot/waiting.grub?mac=${MAC}`)
  const files = `(http,10.0.0.1:8080)/boot/${token}`
  assert.equal(
    grub.text,
    `set wait="3"
echo "Bareboat: m1 boots container ${name} (${id.slice(0, 12)})"
if linux "${files}/kernel" "bareboat.id=${id}" "bareboat.url=${base}" "BOOTIF=01-${dashed}" "console=ttyS0"; then
if initrd "${files}/initrd"; then
boot
fi
fi
echo "Bareboat: loading or starting the kernel failed, trying again in 3 s"
`,
  )
  assert.ok(grub.rawHeaders.includes('Content-Length'), 'GRUB looks for it letter by letter')
  assert.equal(
    (await ask('GET', `/boot/${token}/script.ipxe?mac=52-54-00-00-99-99`)).text,
    NOTHING,
    "another machine's MAC",
  )
  await site.containers.stop(id, 0)
  await site.machines.change('m1', { enabled: false })
  assert.deepEqual([(await waiting(MAC)).status, (await waiting(MAC)).text], [404, NOTHING], 'a disabled machine')
})

test('an unknown machine over HTTP: the agent`s files, its spec, report and orders, and nothing under another token', async (t) => {
  const { site, ask } = await bench(t, { bootsTo: 'nothing' }, undefined, { hasAgentMode: true })
  const script = await ask('GET', '/boot/waiting.ipxe?mac=52-54-00-00-99-99')
  const path = /http:\/\/10\.0\.0\.1:8080(\/agent\/[\w-]{43})\/kernel/.exec(script.text)![1]!
  assert.match(script.text, / bareboat\.url=\S+ BOOTIF=01-52-54-00-00-99-99 console=ttyS0 /)
  assert.equal((await ask('GET', `${path}/initrd`)).text, 'file')
  assert.match((await ask('GET', `${path}/spec`)).text, /^BB_MODE='agent'$/m)
  const report = (body: string) => ask('POST', `${path}/report`, { body })
  assert.deepEqual([(await report('nonsense')).status, (await report('x'.repeat(600_000))).status], [422, 422])
  assert.equal((await report('bareboat-hardware 1\n')).status, 200)
  assert.match((await ask('GET', `${path}/order`)).text, /^wait\nto be accepted: .*m-525400009999\n$/)
  assert.equal((await ask('POST', `${path}/failed/init`, { body: 'why' })).status, 200)
  for (const answer of [
    await ask('GET', `${path}/order`, { from: '127.0.0.8' }),
    await ask('GET', `/agent/${'A'.repeat(43)}/kernel`),
    await ask('GET', `${path.replace('agent', 'boot')}/spec`),
    await ask('GET', `${path}/rootfs.tar`),
    await ask('POST', `${path}/exit/0`),
  ])
    assert.deepEqual([answer.status, answer.text], [404, NOTHING])
  assert.deepEqual(
    (await site.machines.list()).map(({ name, admission }) => [name, admission]),
    [
      ['m-525400009999', 'discovered'],
      ['m1', 'accepted'],
    ],
  )
})

test('files answer HEAD and ranges', async (t) => {
  const { ask } = await bench(t, { bootsTo: 'nothing' })
  const head = await ask('HEAD', '/loader/ipxe.efi')
  assert.deepEqual([head.status, head.headers['content-length'], head.text], [200, '10', ''])
  const rows: [string, number, string, string | undefined][] = [
    ['bytes=0-3', 206, '0123', 'bytes 0-3/10'],
    ['bytes=8-', 206, '89', 'bytes 8-9/10'],
    ['bytes=-3', 206, '789', 'bytes 7-9/10'],
    ['bytes=5-100', 206, '56789', 'bytes 5-9/10'],
    ['bytes=10-', 416, '', 'bytes */10'],
    ['bytes=5-2', 200, '0123456789', undefined],
    ['bytes=0-1,4-5', 200, '0123456789', undefined],
    ['lines=1-2', 200, '0123456789', undefined],
  ]
  for (const [range, status, text, contentRange] of rows) {
    const answer = await ask('GET', '/loader/ipxe.efi', { headers: { range } })
    assert.deepEqual([answer.status, answer.text, answer.headers['content-range']], [status, text, contentRange], range)
  }
  assert.equal((await ask('GET', '/loader/../../etc/passwd')).status, 404)
})

test('files that have a tag say it, and a part is given only of the same bytes', async (t) => {
  const { ask } = await bench(t, { bootsTo: 'nothing' })
  const get = (headers: Record<string, string>) => ask('GET', '/loader/tagged.efi', { headers })
  const rows: [Record<string, string>, number, string][] = [
    [{}, 200, '0123456789'],
    [{ 'if-none-match': '"abc"' }, 304, ''],
    [{ 'if-none-match': '"abd"' }, 200, '0123456789'],
    [{ range: 'bytes=2-3', 'if-range': '"abc"' }, 206, '23'],
    [{ range: 'bytes=2-3', 'if-range': '"abd"' }, 200, '0123456789'],
  ]
  for (const [headers, status, text] of rows) {
    const answer = await get(headers)
    assert.deepEqual([answer.status, answer.text, answer.headers['etag']], [status, text, '"abc"'])
  }
})

test('a lazy root: its hash is in the script, and its export opens to the machine with the orders, while it has them', async (t) => {
  const { site, machine, ask } = await bench(t, { bootsTo: 'nothing' }, undefined, { rootfs: 'lazy' })
  const { id, token } = await bootedBy(site, machine)
  const exported = (address: string, name = token) => site.boot.exported(name, address)
  assert.match(
    (await ask('GET', `/boot/${token}/script.ipxe?mac=${MAC}`)).text,
    new RegExp(`bareboat.roothash=${ROOT_HASH} `),
  )
  assert.equal(await exported('127.0.0.7'), undefined, 'before anybody has the orders')
  const spec = (await ask('GET', `/boot/${token}/spec`)).text
  assert.match(spec, new RegExp(`^BB_NBD_EXPORT='?${token}'?$`, 'm'))
  assert.equal(await exported('127.0.0.7'), ROOT_HASH)
  assert.equal(await exported('127.0.0.8'), undefined, 'another address')
  assert.equal(await exported('127.0.0.7', 'A'.repeat(43)), undefined, 'another name')
  assert.equal((await site.store.byId(id))!.rootHash, ROOT_HASH)
  assert.equal((await ask('POST', `/boot/${token}/filled`)).status, 200)
  assert.ok((await site.store.byId(id))!.filledAt)
  await site.containers.stop(id, 0)
  assert.equal(await exported('127.0.0.7'), undefined, 'a boot that is over')
})

test('reports: what is too large, unknown or no number is refused and changes nothing', async (t) => {
  const { site, machine, ask } = await bench(t, { bootsTo: 'nothing' })
  const { id, token } = await bootedBy(site, machine)
  assert.equal((await ask('POST', `/boot/${token}/failed/rootfs`, { body: 'x'.repeat(20_000) })).status, 422)
  for (const word of ['', 'abc', '256', '-1', '1e1', '0x1', '1.5'])
    assert.equal((await ask('POST', `/boot/${token}/exit/${word}`)).status, 422, word)
  assert.equal((await ask('POST', `/boot/${token}/stage/dhcp`)).status, 422)
  assert.equal((await ask('PUT', `/boot/${token}/spec`)).status, 405)
  const seen = await site.store.byId(id)
  assert.deepEqual([seen?.state, seen?.cause, seen?.exitCode], ['booting', undefined, undefined])
  assert.equal((await ask('POST', `/boot/${token}/failed/rootfs`, { body: 'bad \u001b[31m bytes\n' })).status, 200)
  const ended = await site.containers.wait(id)
  assert.equal(ended.cause, 'bad ?[31m bytes')
})

test('any path and parameter is answered, and a token stays a secret', async (t) => {
  const { site, machine, ask } = await bench(t, { bootsTo: 'nothing' })
  const { token } = await bootedBy(site, machine)
  let state = 20261121
  const random = (below: number): number => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff
    return state % below
  }
  const words = [
    'boot',
    'loader',
    token,
    token.slice(1),
    'waiting.ipxe',
    'spec',
    'kernel',
    '%00',
    '%',
    '%zz',
    '..',
    '',
    'stage',
    'exit',
    '__proto__',
    '?mac=',
    '?mac=%27',
    '&',
    '\u0080'.normalize(),
    'a'.repeat(300),
  ]
  for (let n = 0; n < 1500; n++) {
    const path = encodeURI(
      `/${Array.from({ length: random(6) }, () => words[random(words.length)]).join('/')}`,
    ).replaceAll('%25', '%')
    const answer = await ask(random(4) === 0 ? 'POST' : 'GET', path, { from: '127.0.0.9' })
    assert.ok([200, 404, 405, 409, 416, 422].includes(answer.status), `${path}: ${answer.status}`)
  }
  assert.equal((await ask('GET', '/loader/ipxe.efi')).status, 200)
})

test('no secret reaches the log: BMC password, token, keys', async (t) => {
  const lines: string[] = []
  const { site, machine, ask } = await bench(t, { exitCode: 0, runsMs: 300, stageMs: 20 }, silent(lines))
  const secrets = new Set(['CANARY-BMC-pw'])
  const note = async (id: string): Promise<void> => {
    const boot = await poll(
      async () => {
        const open = await site.boots.byContainer(id)
        return open?.claimedBy === undefined ? undefined : open
      },
      { everyMs: 1, deadlineMs: 3000 },
    )
    for (const secret of [boot!.token, boot!.hostKeySeed, boot!.clientKey]) secrets.add(secret)
    // The middle of the private key, however its lines are broken.
    secrets.add(boot!.clientKey.split('\n')[2]!)
    await ask('GET', `/boot/${boot!.token}/spec`, { from: '127.0.0.9' })
    await ask('POST', `/boot/${boot!.token}/exit/999`)
    await ask('GET', `/boot/${boot!.token}/nothing`)
  }
  const good = await site.run()
  await note(good.id)
  await site.containers.wait(good.id)
  // And where it goes wrong: a deaf BMC, an image whose boot fails.
  Object.assign(machine.does, { bootsTo: 'rootfs', fails: { stage: 'rootfs', cause: 'no space' }, stageMs: 100 })
  const bad = await site.run()
  await note(bad.id)
  await site.containers.wait(bad.id)
  machine.does.isDeaf = true
  await site.containers.wait((await site.run()).id)
  const events = JSON.stringify([await site.events.history({}), await site.store.list(), await site.machines.list()])
  assert.ok(lines.length > 10)
  assert.equal(secrets.size, 9)
  for (const secret of secrets) {
    assert.ok(!lines.join('\n').includes(secret), `the log has ${secret.slice(0, 6)}…`)
    assert.ok(!events.includes(secret), `an event or record has ${secret.slice(0, 6)}…`)
  }
  // The test can fail: what is logged is found.
  assert.ok(lines.join('\n').includes(good.id))
})

test('a large file: asked for some megabytes at a time, sent whole and by range; a file that is too short breaks it off', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'bareboat-pieces-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const bytes = randomBytes(20 << 20)
  const [path, short] = [join(folder, 'large'), join(folder, 'short')]
  writeFileSync(path, bytes)
  writeFileSync(short, bytes.subarray(0, 9 << 20))
  const windows: number[] = []
  const of = (file: string): BootFile => ({
    sizeBytes: (20 << 20) + 3000,
    pieces(from, to) {
      windows.push(to - from)
      const end = Math.min(to, 20 << 20)
      return [
        ...(from < end ? [{ kind: 'file', path: file, offset: from, length: end - from } as const] : []),
        ...(to > end ? [{ kind: 'zeros', length: to - Math.max(from, end) } as const] : []),
      ]
    },
  })
  const lines: string[] = []
  const { ask } = await bench(t, { bootsTo: 'nothing' }, silent(lines), {
    files: { large: of(path), short: of(short) },
  })
  const all = Buffer.concat([bytes, Buffer.alloc(3000)])
  const whole = await ask('GET', '/loader/large')
  assert.ok(Buffer.from(whole.text, 'latin1').equals(all))
  assert.ok(Math.max(...windows) <= 8 << 20, String(windows))
  const part = await ask('GET', '/loader/large', { headers: { range: 'bytes=8388600-20971529' } })
  assert.ok(Buffer.from(part.text, 'latin1').equals(all.subarray(8_388_600, 20_971_530)))
  await assert.rejects(ask('GET', '/loader/short'), /ECONNRESET|aborted/)
  // The thread's words come beside its answers.
  const isSaid = () => lines.some((line) => /boot request broken off .*are missing/.test(line)) || undefined
  assert.ok(await poll(isSaid, { everyMs: 20, deadlineMs: 10_000 }), lines.join('\n'))
  assert.equal((await ask('GET', '/loader/large')).status, 200, 'the thread goes on')
})
