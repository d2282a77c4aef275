/** One suite for every BMC driver: what the power port promises, against ipmi_sim, our simulated BMCs, an HTTP power API and what listens for magic packets. */
import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { suite, test } from 'node:test'
import { AppError } from '../../src/base/errors.ts'
import { quietLog } from '../../src/base/log.ts'
import { createAmtBmc } from '../../src/drivers/bmc/amt/amt-bmc.ts'
import { createHttpBmc } from '../../src/drivers/bmc/http/http-bmc.ts'
import { createIpmiBmc } from '../../src/drivers/bmc/ipmi/ipmi-bmc.ts'
import { createRedfishBmc } from '../../src/drivers/bmc/redfish/redfish-bmc.ts'
import { createManualBmc } from '../../src/drivers/bmc/manual/manual-bmc.ts'
import { createPikvmBmc } from '../../src/drivers/bmc/pikvm/pikvm-bmc.ts'
import { createWolBmc } from '../../src/drivers/bmc/wol/wol-bmc.ts'
import type { BmcPort } from '../../src/services/power/power-port.ts'
import { startAmtSim } from '../fakes/amt-sim.ts'
import { startBmcSim } from '../fakes/bmc-sim.ts'
import { hasProgram, startIpmiSim } from '../fakes/ipmi-sim.ts'
import { type RedfishSimOptions, startRedfishSim } from '../fakes/redfish-sim.ts'
import { startPikvmSim } from '../fakes/pikvm-sim.ts'

interface Subject extends AsyncDisposable {
  readonly bmc: BmcPort
  /** Power writes that arrived, in order. */
  trace(): string[]
}

const patience = { offMs: 50, pollMs: 50, deadlineMs: 5000 }
const ipmi = (port: number) =>
  createIpmiBmc({ host: '127.0.0.1', port, user: 'admin', password: 'secret', log: quietLog, patience })

const subjects: { name: string; needs?: string; open(): Promise<Subject> }[] = [
  {
    name: 'ipmi on ipmi_sim',
    needs: 'ipmi_sim',
    async open() {
      const sim = await startIpmiSim()
      const trace = () =>
        sim
          .trace()
          .filter((line) => line.startsWith('power'))
          .map((line) => (line === 'power 1' ? 'on' : 'off'))
      return subject(ipmi(sim.port), sim, trace)
    },
  },
  {
    name: 'ipmi on the simulated BMC, cipher suite 17',
    async open() {
      const sim = await startBmcSim({ cipherSuites: [17] })
      return subject(ipmi(sim.port), sim, () => sim.trace)
    },
  },
  { name: 'redfish', open: () => openRedfish({}) },
  {
    name: 'redfish with tasks, ETags, action info and transitions',
    open: () =>
      openRedfish({
        resetAnswer: 202,
        usesActionInfo: true,
        wantsIfMatch: true,
        comparesStrongly: true,
        powerDelayMs: 30,
      }),
  },
  { name: 'redfish without sessions', open: () => openRedfish({ hasNoSessions: true }) },
  { name: 'http', open: openHttp },
  ...(['MD5', 'SHA-256'] as const).map((algorithm) => ({
    name: `amt on the simulated AMT, digest with ${algorithm}`,
    async open() {
      const sim = await startAmtSim({ algorithm })
      const login = { user: 'admin', password: 'P@ssw0rd' }
      const bmc = createAmtBmc({ host: '127.0.0.1', port: sim.port, ...login, log: quietLog, patience })
      return subject(bmc, sim, () => sim.trace)
    },
  })),
  {
    name: 'pikvm on the simulated PiKVM',
    async open() {
      const sim = await startPikvmSim()
      const login = { user: 'admin', password: 'secret', isTls: false }
      const bmc = createPikvmBmc({ host: '127.0.0.1', port: sim.port, ...login, log: quietLog, patience })
      return subject(bmc, sim, () => sim.trace)
    },
  },
  { name: 'wol', open: openWol },
  {
    name: 'manual',
    open: () =>
      Promise.resolve(subject(createManualBmc(), { [Symbol.asyncDispose]: () => Promise.resolve() }, () => [])),
  },
]

for (const { name, needs, ...make } of subjects)
  suite(`a BMC: ${name}`, { skip: needs && !hasProgram(needs) ? `no ${needs} here` : false }, () => {
    test('on, off and cycle are seen to be done, and nothing is sent twice or for nothing', async () => {
      await using it = await make.open()
      if (!it.bmc.can.has('power')) return
      assert.equal(await it.bmc.status(), 'off')
      await it.bmc.set('off')
      assert.deepEqual(it.trace(), [])
      await it.bmc.set('on')
      assert.equal(await it.bmc.status(), 'on')
      await it.bmc.set('on')
      assert.deepEqual(it.trace(), ['on'])
      await it.bmc.set('cycle')
      assert.equal(await it.bmc.status(), 'on')
      assert.deepEqual(it.trace(), ['on', 'off', 'on'])
      await it.bmc.set('off')
      assert.equal(await it.bmc.status(), 'off')
      await it.bmc.set('cycle')
      assert.deepEqual(it.trace(), ['on', 'off', 'on', 'off', 'on'])
    })

    test('operations that are asked together are done one after the other', async () => {
      await using it = await make.open()
      if (!it.bmc.can.has('power')) return
      await Promise.all([it.bmc.set('on'), it.bmc.set('off'), it.bmc.set('on'), it.bmc.status()])
      assert.deepEqual(it.trace(), ['on', 'off', 'on'])
    })

    test('what can only switch on does so, says no state, and refuses the rest', async () => {
      await using it = await make.open()
      if (it.bmc.can.has('power')) return
      assert.ok(it.bmc.can.has('power-on'))
      assert.equal(await it.bmc.status(), 'unknown')
      await it.bmc.set('on')
      assert.deepEqual(it.trace(), it.bmc.can.has('by-hand') ? [] : ['on'])
      for (const action of ['off', 'cycle', 'soft-off'] as const)
        await assert.rejects(it.bmc.set(action), { code: 'unsupported' })
    })

    test('PXE once can be asked for', async () => {
      await using it = await make.open()
      if (!it.bmc.can.has('boot-override'))
        return await assert.rejects(it.bmc.setBoot({ device: 'pxe', firmware: 'uefi', once: true }), {
          code: 'unsupported',
        })
      for (const firmware of ['bios', 'uefi'] as const) await it.bmc.setBoot({ device: 'pxe', firmware, once: true })
      await it.bmc.setBoot({ device: 'none', firmware: 'uefi', once: true })
    })

    test('more than may wait is refused, and an aborted signal ends the wait', async () => {
      await using it = await make.open()
      const all = await Promise.allSettled(Array.from({ length: 40 }, () => it.bmc.status()))
      const refused = all.filter((r) => r.status === 'rejected')
      assert.ok(refused.length > 0 && refused.every((r) => r.reason instanceof AppError && r.reason.code === 'busy'))
      await assert.rejects(it.bmc.status(AbortSignal.abort(new Error('enough'))), /enough/)
    })

    test('what it cannot do it refuses', async () => {
      await using it = await make.open()
      assert.equal('console' in it.bmc, it.bmc.can.has('console'))
      if (!it.bmc.can.has('soft-off')) await assert.rejects(it.bmc.set('soft-off'), { code: 'unsupported' })
    })

    test('after it is closed it says so', async () => {
      await using it = await make.open()
      await it.bmc[Symbol.asyncDispose]()
      await assert.rejects(it.bmc.status(), { code: 'interrupted' })
    })
  })

test('the HTTP driver: 500, nonsense, silence and a closed port are errors that say so', async () => {
  const server = createServer((request, response) => {
    if (request.url === '/broken/status') response.writeHead(500).end()
    else if (request.url === '/nonsense/status') response.end('{"PoweredOn":"yes"}')
    else if (request.url !== '/silent/status') response.writeHead(302, { location: '/nonsense/status' }).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const base = `http://127.0.0.1:${portOf(server)}`
  const status = async (path: string) => {
    await using bmc = createHttpBmc({ url: base + path, log: quietLog, timeoutMs: 200 })
    return await bmc.status()
  }
  await assert.rejects(status('/broken'), { code: 'bad_peer', message: /answered 500, not 200/ })
  await assert.rejects(status('/nonsense'), { code: 'bad_peer', message: /no PoweredOn/ })
  await assert.rejects(status('/elsewhere'), { code: 'bad_peer', message: /answered 302, not 200/ })
  await assert.rejects(status('/silent'), { code: 'timeout', message: /in 200 ms/ })
  server.closeAllConnections()
  await new Promise<void>((resolve) => void server.close(() => resolve()))
  await assert.rejects(status('/closed'), { code: 'unreachable' })
})

function subject(bmc: BmcPort, sim: AsyncDisposable, trace: () => readonly string[]): Subject {
  return {
    bmc,
    trace: () => trace().filter((line) => line !== ''),
    async [Symbol.asyncDispose]() {
      await bmc[Symbol.asyncDispose]()
      await sim[Symbol.asyncDispose]()
    },
  }
}

async function openRedfish(options: RedfishSimOptions): Promise<Subject> {
  const sim = await startRedfishSim(options)
  const { origin } = sim
  const bmc = createRedfishBmc({ origin, user: 'admin', password: 'secret', log: quietLog, patience, paceMs: 0 })
  return subject(bmc, sim, () => sim.trace)
}

async function openHttp(): Promise<Subject> {
  let isOn = false
  const trace: string[] = []
  const server = createServer((request, response) => {
    const path = `${request.method} ${request.url}`
    if (path === 'POST /poweron' || path === 'POST /poweroff') {
      isOn = path === 'POST /poweron'
      trace.push(isOn ? 'on' : 'off')
    } else if (path !== 'POST /pxeboot' && path !== 'GET /status') return response.writeHead(501).end()
    return response.end(path === 'GET /status' ? JSON.stringify({ PoweredOn: isOn }) : '')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const bmc = createHttpBmc({ url: `http://127.0.0.1:${portOf(server)}`, log: quietLog, patience })
  const stop = { [Symbol.asyncDispose]: () => new Promise<void>((resolve) => void server.close(() => resolve())) }
  return subject(bmc, stop, () => trace)
}

/** Copies of a magic packet that come together are one waking. */
async function openWol(): Promise<Subject> {
  const trace: string[] = []
  const socket = createSocket('udp4')
  let lastMs = -Infinity
  socket.on('message', () => {
    if (performance.now() - lastMs > 1000) trace.push('on')
    lastMs = performance.now()
  })
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  const ports = [socket.address().port]
  const bmc = createWolBmc({ macs: ['52:54:00:00:00:01'], broadcast: '127.0.0.1', ports, log: quietLog })
  const stop = { [Symbol.asyncDispose]: () => new Promise<void>((resolve) => void socket.close(() => resolve())) }
  return subject(bmc, stop, () => trace)
}

function portOf(server: ReturnType<typeof createServer>): number {
  const address = server.address()
  return typeof address === 'object' && address ? address.port : 0
}
