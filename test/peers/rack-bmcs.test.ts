/** The BMCs of a rack without QEMU behind them: redfishtool and curl speak to them, and so do our drivers and our crawler. */
import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { createServer as createTcpServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { promisify } from 'node:util'
import { WebSocket } from 'ws'
import { AppError } from '../../src/base/errors.ts'
import { quietLog } from '../../src/base/log.ts'
import { createAmtBmc } from '../../src/drivers/bmc/amt/amt-bmc.ts'
import { createPikvmBmc } from '../../src/drivers/bmc/pikvm/pikvm-bmc.ts'
import { createRedfishClient } from '../../src/drivers/bmc/redfish/client.ts'
import { createRedfishBmc } from '../../src/drivers/bmc/redfish/redfish-bmc.ts'
import { createAmtService } from '../../src/rack/amt/service.ts'
import { listen } from '../../src/rack/listening.ts'
import { createPikvmService } from '../../src/rack/pikvm/service.ts'
import { openStorage } from '../../src/rack/pikvm/storage.ts'
import type { RackOptions } from '../../src/rack/plan.ts'
import { createRedfishService } from '../../src/rack/redfish/service.ts'
import { wake } from '../../src/rack/wake.ts'
import { serveWeb, type WebHandler, type WebSockets } from '../../src/rack/web.ts'
import { crawlRedfish } from '../../src/services/discovery/redfish/crawl.ts'
import { serializeMagicPacket } from '../../src/wire/wol/packet.ts'
import { fakeRackMachine } from '../fakes/rack-machine.ts'
import { selfSigned } from '../fakes/self-signed.ts'

const run = promisify(execFile)
const missing = ['redfishtool', 'curl', 'openssl'].filter((program) => spawnSync('which', [program]).status !== 0)
const skip = missing.length > 0 ? `not installed: ${missing.join(', ')}` : false
const SYSTEM = '/redfish/v1/Systems/1'
const CD = '/redfish/v1/Managers/1/VirtualMedia/Cd'
const login = { user: 'admin', password: 'secret' }
const patience = { offMs: 10, pollMs: 10, deadlineMs: 5000 }

suite('BMCs of a rack', { skip }, () => {
  async function rig(options: RackOptions = {}) {
    const stack = new AsyncDisposableStack()
    const dir = mkdtempSync(join(tmpdir(), 'bareboat-rack-bmcs-'))
    stack.defer(() => rmSync(dir, { recursive: true }))
    const machine = fakeRackMachine(dir, options)
    const tls = selfSigned()
    const pem = join(dir, 'bmc.pem')
    writeFileSync(pem, tls.key + tls.cert)
    const sha256 = new X509Certificate(tls.cert).fingerprint256.replaceAll(':', '').toLowerCase()
    const trust = { kind: 'fingerprint', sha256 } as const
    const serve = async (handler: WebHandler, sockets?: WebSockets): Promise<number> => {
      const port = await freePort()
      stack.use(await serveWeb({ host: '127.0.0.1', port }, pem, handler, quietLog, sockets))
      return port
    }
    return { dir, machine, pem, trust, serve, stack, [Symbol.asyncDispose]: () => stack.disposeAsync() }
  }

  async function redfishRig(options: RackOptions = {}) {
    const it = await rig(options)
    const service = createRedfishService({ machine: it.machine, ...login, now: Date.now })
    const port = await it.serve(service.answer, {
      judge: (request) => service.judgeConsole(request),
      attach: (stream) => it.machine.serial.attach(stream),
    })
    return {
      ...it,
      port,
      client: { origin: `https://127.0.0.1:${port}`, ...login, trust: it.trust, log: quietLog, paceMs: 0 },
    }
  }

  for (const auth of ['Session', 'Basic'])
    test(`redfishtool with ${auth}: power, override, virtual media, what is wrong`, async () => {
      await using it = await redfishRig()
      const tool = async (...args: string[]): Promise<string> => {
        const base = ['-r', `127.0.0.1:${it.port}`, '-u', 'admin', '-p', 'secret', '-S', 'Always', '-A', auth]
        return (await run('redfishtool', [...base, ...args])).stdout
      }
      assert.match(await tool('Systems', 'list'), /"\/redfish\/v1\/Systems\/1"/)
      assert.match(await tool('Systems', 'get', '-I', '1', '-P', 'PowerState'), /"PowerState": "Off"/)
      await tool('Systems', 'setBootOverride', 'Once', 'Pxe', '-I', '1')
      await tool('Systems', 'reset', 'On', '-I', '1')
      assert.match(await tool('Systems', 'get', '-I', '1', '-P', 'PowerState'), /"PowerState": "On"/)
      await assert.rejects(tool('Systems', 'reset', 'Nmi', '-I', '1'))
      await tool('Systems', 'reset', 'PowerCycle', '-I', '1')
      await tool('raw', 'POST', `${CD}/Actions/VirtualMedia.InsertMedia`, '-d', '{"Image":"http://10.0.0.1/a.iso"}')
      assert.match(await tool('raw', 'GET', CD), /"Image": "http:\/\/10\.0\.0\.1\/a\.iso"/)
      await tool('raw', 'POST', `${CD}/Actions/VirtualMedia.EjectMedia`, '-d', '{}')
      assert.match(await tool('Managers', 'get', '-I', '1'), /"ManagerType": "BMC"/)
      assert.match(await tool('Chassis', 'get', '-I', '1'), /"ChassisType": "RackMount"/)
      assert.match(await tool('Systems', '-I', '1', 'EthernetInterfaces', '-i', '1'), /"52:54:00:29:00:01"/i)
      assert.deepEqual(it.machine.trace, [
        'redfish boot pxe',
        'redfish power-on',
        'redfish power-off',
        'redfish power-on',
        'redfish insert cd',
        'redfish eject cd',
      ])
    })

  test('the Redfish driver switches and overrides it, and a wrong password is told', async () => {
    await using it = await redfishRig({ firmware: 'uefi', diskMiB: 1 })
    await using bmc = createRedfishBmc({ ...it.client, patience })
    await bmc.setBoot({ device: 'disk', once: false, firmware: 'uefi' })
    await bmc.set('on')
    assert.equal(await bmc.status(), 'on')
    await bmc.setBoot({ device: 'none', once: true, firmware: 'uefi' })
    await bmc.set('cycle')
    await bmc.set('off')
    const power = ['redfish power-off', 'redfish power-on', 'redfish power-off']
    assert.deepEqual(it.machine.trace, ['redfish boot disk always', 'redfish power-on', 'redfish boot none', ...power])
    await using wrong = createRedfishBmc({ ...it.client, password: 'guess', patience })
    await assert.rejects(wrong.status(), { code: 'unauthorized' })
  })

  test('the crawler finds a machine with its MAC, its BMC and all that can be asked of it, and has nothing to complain of', async () => {
    await using it = await redfishRig()
    await using client = createRedfishClient(it.client)
    const get = async (path: string) => (await client.get(path)).body
    const [found, ...others] = await crawlRedfish(get, { now: Date.now, address: it.machine.spec.bmcAddress })
    assert.equal(others.length, 0)
    assert.deepEqual(
      [found!.system.serial, found!.system.uuid, found!.memory.totalMiB, found!.nics[0]!.mac, found!.bmc!.ip],
      ['RACK-DEFAULT-01', it.machine.spec.uuid, 1024, '52:54:00:29:00:01', '172.29.0.101'],
    )
    assert.deepEqual(found!.capabilities.bootTargets, ['Pxe', 'Hdd', 'Cd', 'Usb'])
    assert.deepEqual(found!.capabilities.virtualMedia, ['CD', 'DVD', 'USBStick'])
    assert.ok(found!.capabilities.resetTypes.includes('ForceOff'))
    assert.deepEqual(found!.notes, ['the system lists no processors, it only counts 1'])
  })

  test('ETags, methods, sessions and refusals are as DSP0266 has them', async () => {
    await using it = await redfishRig()
    const ask = async (method: string, path: string, body?: string, ...headers: string[]) => {
      const said = body === undefined ? [] : ['-d', body]
      const base = ['-sk', '-u', 'admin:secret', '-X', method, '-i', ...headers.flatMap((header) => ['-H', header])]
      const { stdout } = await run('curl', [...base, ...said, `https://127.0.0.1:${it.port}${path}`])
      return { status: Number(stdout.split(' ')[1]), text: stdout, etag: /etag: (\S+)/i.exec(stdout)?.[1] ?? '' }
    }
    const { etag } = await ask('GET', SYSTEM)
    assert.equal((await ask('GET', SYSTEM, undefined, `If-None-Match: ${etag}`)).status, 304)
    const change = '{"Boot":{"BootSourceOverrideTarget":"Cd","BootSourceOverrideEnabled":"Once"}}'
    assert.equal((await ask('PATCH', SYSTEM, change, 'If-Match: "old"')).status, 412)
    assert.equal((await ask('PATCH', SYSTEM, change, `If-Match: ${etag}`)).status, 200)
    assert.equal((await ask('PATCH', SYSTEM, change, `If-Match: ${etag}`)).status, 412)
    for (const [status, message, ...request] of [
      [404, /ResourceMissingAtURI/, 'GET', '/redfish/v1/Systems/2'],
      [404, /ResourceMissingAtURI/, 'GET', '/redfish/v1/__proto__'],
      [405, /allow: GET, HEAD, PATCH/i, 'DELETE', SYSTEM],
      [405, /allow: POST/i, 'GET', `${CD}/Actions/VirtualMedia.EjectMedia`],
      [400, /MalformedJSON/, 'PATCH', SYSTEM, '{'],
      [400, /PropertyUnknown/, 'PATCH', SYSTEM, '{"Boot":{},"AssetTag":"x"}'],
      [400, /PropertyValueNotInList.*Legacy/, 'PATCH', SYSTEM, '{"Boot":{"BootSourceOverrideMode":"UEFI"}}'],
      [400, /PropertyValueNotInList/, 'PATCH', SYSTEM, '{"Boot":{"BootSourceOverrideTarget":null}}'],
      [400, /Image is not an http/, 'POST', `${CD}/Actions/VirtualMedia.InsertMedia`, '{"Image":"nfs://a/b"}'],
      [
        400,
        /WriteProtected/,
        'POST',
        `${CD}/Actions/VirtualMedia.InsertMedia`,
        '{"Image":"http://a/b","WriteProtected":false}',
      ],
      [409, /OperationFailed/, 'POST', `${SYSTEM}/Actions/ComputerSystem.Reset`, '{"ResetType":"ForceRestart"}'],
      [413, /PayloadTooLarge/, 'PATCH', SYSTEM, `"${'x'.repeat(20_000)}"`],
      [501, /QueryNotSupported/, 'GET', `${SYSTEM}?$select=Id`],
    ] as const) {
      const [method, path, body] = request
      const answer = await ask(method, path, body)
      assert.equal(answer.status, status, `${method} ${path}: ${answer.text}`)
      assert.match(answer.text, message)
    }
    it.machine.insertError = new AppError('not_found', 'Cannot insert: gone')
    const insertion = await ask('POST', `${CD}/Actions/VirtualMedia.InsertMedia`, '{"Image":"http://a/b"}')
    assert.deepEqual([insertion.status, /CouldNotEstablish/.test(insertion.text)], [400, true])
    const nobody = await run('curl', [
      '-sk',
      '-o',
      '/dev/null',
      '-w',
      '%{http_code}',
      `https://127.0.0.1:${it.port}${SYSTEM}`,
    ])
    assert.equal(nobody.stdout, '401')
  })

  test('the serial line over a WebSocket, for who is logged in', async () => {
    await using it = await redfishRig()
    const open = async (path: string, headers: Record<string, string>): Promise<string> => {
      const socket = new WebSocket(`wss://127.0.0.1:${it.port}${path}`, { headers, rejectUnauthorized: false })
      return await new Promise<string>((resolve) => {
        let heard = ''
        socket.on('open', () => socket.send('typed'))
        socket.on('message', (data: Buffer) => {
          heard += data.toString()
          if (heard === 'typed') socket.close()
        })
        socket.on('close', () => resolve(heard))
        socket.on('error', (error) => resolve(error.message))
      })
    }
    const authorization = `Basic ${Buffer.from('admin:secret').toString('base64')}`
    assert.equal(await open('/console0', { authorization }), 'typed')
    assert.equal(await open('/console0', {}), 'Unexpected server response: 401')
    assert.equal(await open('/console1', { authorization }), 'Unexpected server response: 404')
  })

  test('the PiKVM driver presses by the LED, and shows an image of its storage to the machine', async () => {
    await using it = await rig()
    const storage = openStorage(it.machine.paths.pikvmDir)
    const port = await it.serve(createPikvmService({ machine: it.machine, storage, ...login }))
    const options = {
      host: '127.0.0.1',
      port,
      ...login,
      trust: it.trust,
      log: quietLog,
      patience,
      busyMs: 5,
    }
    await using bmc = createPikvmBmc(options)
    await bmc.set('on')
    await bmc.set('cycle')
    await bmc.set('off')
    assert.deepEqual(it.machine.trace, ['pikvm power-on', 'pikvm power-off', 'pikvm power-on', 'pikvm power-off'])

    await bmc.msd.write('stick.img', once(Buffer.from('hello')), 5)
    assert.equal(readFileSync(storage.pathOf('stick.img'), 'utf8'), 'hello')
    await using remote = await serveText('from afar')
    await bmc.msd.writeRemote('disc.iso', `${remote.origin}/disc.iso`)
    assert.deepEqual(
      [...storage.list()],
      [
        ['disc.iso', 9],
        ['stick.img', 5],
      ],
    )
    await assert.rejects(bmc.msd.writeRemote('disc.iso', `${remote.origin}/disc.iso`), /MsdImageExistsError/)
    await assert.rejects(bmc.msd.write('../x', once(Buffer.from('')), 0), /ValidatorError/)
    await assert.rejects(bmc.msd.setParameters({ image: 'none', isCdrom: true, isWritable: false }), /MsdUnknownImage/)
    await bmc.msd.setParameters({ image: 'stick.img', isCdrom: false, isWritable: true })
    await bmc.msd.setConnected(true)
    assert.deepEqual(it.machine.media, { usb: { source: storage.pathOf('stick.img'), isWritable: true } })
    await assert.rejects(bmc.msd.remove('stick.img'), /MsdConnectedError/)
    await bmc.msd.setConnected(false)
    await bmc.msd.remove('stick.img')
    assert.deepEqual((await bmc.msd.status()).images, ['disc.iso'])

    await using wrong = createPikvmBmc({ ...options, password: 'guess' })
    await assert.rejects(wrong.status(), { code: 'unauthorized' })
  })

  test('the AMT driver switches it and boots it by PXE once; curl proves the digest, and a replay is none', async () => {
    await using it = await rig()
    const port = await it.serve(createAmtService({ machine: it.machine, ...login }))
    const options = {
      host: '127.0.0.1',
      port,
      isTls: true,
      ...login,
      trust: it.trust,
      log: quietLog,
      patience,
    }
    await using bmc = createAmtBmc(options)
    await bmc.setBoot({ device: 'pxe', once: true, firmware: 'bios' })
    assert.equal(it.machine.boot, 'pxe')
    await bmc.set('on')
    assert.equal(await bmc.status(), 'on')
    await bmc.set('soft-off')
    await bmc.setBoot({ device: 'none', once: true, firmware: 'bios' })
    await assert.rejects(bmc.setBoot({ device: 'disk', once: true, firmware: 'bios' }), { code: 'unsupported' })
    assert.deepEqual(it.machine.trace, ['amt boot pxe', 'amt power-on', 'amt soft-off', 'amt boot none'])
    await using wrong = createAmtBmc({ ...options, password: 'guess' })
    await assert.rejects(wrong.status(), { code: 'unauthorized' })

    const url = `https://127.0.0.1:${port}/wsman`
    const curl = async (...args: string[]) =>
      (await run('curl', ['-sk', '-o', '/dev/null', '-w', '%{http_code}', ...args, url])).stdout
    const { stderr } = await run('curl', [
      '-skv',
      '--digest',
      '-u',
      'admin:secret',
      '-X',
      'GET',
      '-o',
      '/dev/null',
      url,
    ])
    const proof = /^> (Authorization: Digest .*response=.*)$/m.exec(stderr.replaceAll('\r', ''))![1]!
    // Let in, and told that it takes POST.
    assert.match(stderr, /< HTTP\/1\.1 405/)
    assert.equal(await curl('-H', proof), '401')
    assert.equal(await curl('--digest', '-u', 'admin:guess'), '401')
  })
})

test('a magic packet switches on the machine that it is for, when that is off and has mains power', () => {
  const machine = fakeRackMachine()
  const packet = serializeMagicPacket({ mac: '52:54:00:29:00:01' })
  wake(serializeMagicPacket({ mac: '52:54:00:29:00:02' }), [machine], quietLog)
  wake(packet.subarray(0, 90), [machine], quietLog)
  wake(new Uint8Array(2000).fill(0xff), [machine], quietLog)
  machine.isPlugged = false
  wake(packet, [machine], quietLog)
  assert.deepEqual(machine.trace, [])
  machine.isPlugged = true
  wake(packet, [machine], quietLog)
  wake(packet, [machine], quietLog)
  assert.deepEqual(machine.trace, ['wol power-on'])
})

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

async function serveText(text: string) {
  const server: Server = createServer((_request, response) =>
    response.writeHead(200, { 'content-length': text.length }).end(text),
  )
  const listening = await listen(server, { host: '127.0.0.1', port: 0 })
  const { port } = server.address() as AddressInfo
  return { origin: `http://127.0.0.1:${port}`, [Symbol.asyncDispose]: () => listening[Symbol.asyncDispose]() }
}

async function freePort(): Promise<number> {
  const server = createTcpServer()
  await using _listening = await listen(server, { host: '127.0.0.1', port: 0 })
  return (server.address() as AddressInfo).port
}
