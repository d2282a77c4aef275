/** What BMCs of a rack are asked: any path, query, header and body is answered, and nothing that is no command becomes one. */
import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { after, suite, test } from 'node:test'
import { digestAuthorization, digestChallengeOf } from '../../src/wire/http/digest.ts'
import { parseChallenges } from '../../src/wire/http/challenge.ts'
import { AMT_RESOURCES, bootSource } from '../../src/wire/wsman/amt.ts'
import { serializeWsman } from '../../src/wire/wsman/envelope.ts'
import { createAmtService } from '../../src/rack/amt/service.ts'
import { createPikvmService } from '../../src/rack/pikvm/service.ts'
import { openStorage } from '../../src/rack/pikvm/storage.ts'
import { createRedfishService } from '../../src/rack/redfish/service.ts'
import type { WebHandler, WebRequest } from '../../src/rack/web.ts'
import { fakeRackMachine } from '../fakes/rack-machine.ts'
import { createMutator } from './mutate.ts'

const SEED = 443
const ROUNDS = 6000
const login = { user: 'admin', password: 'secret' }
const basic = { authorization: `Basic ${Buffer.from('admin:secret').toString('base64')}` }
const COMMAND =
  /^(redfish|pikvm|amt) (power-on|power-off|reset|soft-off|boot (none|pxe|disk|cdrom|usb)( always)?|(insert|eject) (cd|usb))$/

interface Sample {
  readonly method: string
  readonly target: string
  readonly body?: string
}

suite('BMCs of a rack', () => {
  const dir = mkdtempSync(join(tmpdir(), 'bareboat-fuzz-rack-'))
  after(() => rmSync(dir, { recursive: true }))

  function request({ method, target, body = '' }: Sample, headers: WebRequest['headers']): WebRequest {
    const [path = '', query = ''] = target.split(/\?(.*)/s, 2)
    return { method, path, query: new URLSearchParams(query), headers, stream: Readable.from([Buffer.from(body)]) }
  }

  /** @returns how many answers had each status */
  async function storm(
    samples: readonly Sample[],
    serve: (machine: ReturnType<typeof fakeRackMachine>) => WebHandler,
    headersFor: (sample: Sample, handler: WebHandler) => Promise<WebRequest['headers']>,
  ): Promise<Map<number, number>> {
    const machine = fakeRackMachine(dir, { diskMiB: 1 })
    const handler = serve(machine)
    const mutator = createMutator(SEED)
    const changed = (text: string): string => Buffer.from(mutator.mutate(Buffer.from(text))).toString('latin1')
    const statuses = new Map<number, number>()
    for (let n = 0; n < ROUNDS; n++) {
      const sample = mutator.pick(samples)
      const part = mutator.below(4)
      const mutated = {
        method: part === 0 ? mutator.pick(['GET', 'POST', 'PATCH', 'PUT', 'DELETE', 'HEAD', '']) : sample.method,
        target: part === 1 ? changed(sample.target) : sample.target,
        body: part >= 2 ? changed(sample.body ?? '{}') : (sample.body ?? ''),
      }
      const answer = await handler(request(mutated, await headersFor(mutated, handler)))
      if (typeof answer.body === 'object') await Array.fromAsync(answer.body)
      assert.ok(
        (answer.status >= 200 && answer.status < 500) || answer.status === 501,
        JSON.stringify([mutated, answer]),
      )
      statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1)
    }
    for (const line of machine.trace) assert.match(line, COMMAND)
    assert.ok(machine.trace.length > ROUNDS / 100, `only ${machine.trace.length} commands`)
    return statuses
  }

  test(`Redfish: ${ROUNDS} requests (seed ${SEED})`, async () => {
    const system = '/redfish/v1/Systems/1'
    const drive = '/redfish/v1/Managers/1/VirtualMedia/Usb'
    const boot = {
      BootSourceOverrideTarget: 'Pxe',
      BootSourceOverrideEnabled: 'Once',
      BootSourceOverrideMode: 'Legacy',
    }
    const samples: Sample[] = [
      { method: 'GET', target: system },
      { method: 'PATCH', target: system, body: JSON.stringify({ Boot: boot }) },
      { method: 'POST', target: `${system}/Actions/ComputerSystem.Reset`, body: '{"ResetType":"PushPowerButton"}' },
      {
        method: 'POST',
        target: `${drive}/Actions/VirtualMedia.InsertMedia`,
        body: '{"Image":"http://10.0.0.1/a/b.img","Inserted":true}',
      },
      { method: 'POST', target: `${drive}/Actions/VirtualMedia.EjectMedia`, body: '{}' },
      {
        method: 'POST',
        target: '/redfish/v1/SessionService/Sessions',
        body: '{"UserName":"admin","Password":"secret"}',
      },
      { method: 'DELETE', target: '/redfish/v1/SessionService/Sessions/0123456789abcdef' },
    ]
    // Sessions that nobody uses are gone before they are all taken.
    let nowMs = 0
    const serve = (machine: ReturnType<typeof fakeRackMachine>) =>
      createRedfishService({ machine, ...login, now: () => (nowMs += 600_000) }).answer
    const statuses = await storm(samples, serve, async () => basic)
    for (const status of [200, 201, 204, 400, 404, 405])
      assert.ok((statuses.get(status) ?? 0) > 10, `${status}: ${statuses.get(status)}`)
  })

  test(`PiKVM: ${ROUNDS} requests (seed ${SEED})`, async () => {
    const storage = openStorage(join(dir, 'pikvm'))
    const samples: Sample[] = [
      { method: 'GET', target: '/api/atx' },
      { method: 'GET', target: '/api/msd' },
      { method: 'POST', target: '/api/atx/power?action=on&wait=1' },
      { method: 'POST', target: '/api/atx/click?button=power' },
      { method: 'POST', target: '/api/msd/write?image=a.img', body: 'twelve bytes' },
      { method: 'POST', target: '/api/msd/set_params?image=a.img&cdrom=0&rw=1' },
      { method: 'POST', target: '/api/msd/set_connected?connected=1' },
      { method: 'POST', target: '/api/msd/set_connected?connected=0' },
      { method: 'POST', target: '/api/msd/remove?image=a.img' },
      { method: 'POST', target: '/api/msd/write_remote?image=b.img&url=http://127.0.0.1:1/b' },
      { method: 'POST', target: '/api/msd/reset' },
    ]
    const statuses = await storm(
      samples,
      (machine) => createPikvmService({ machine, storage, ...login }),
      async () => ({ ...basic, 'content-length': '12' }),
    )
    for (const status of [200, 400, 404])
      assert.ok((statuses.get(status) ?? 0) > 10, `${status}: ${statuses.get(status)}`)
    assert.deepEqual(readdirSync(join(dir, 'pikvm')).toSorted(), [...storage.list().keys()], 'parts are left')
    assert.deepEqual(readdirSync(dir), ['pikvm'])
  })

  test(`AMT: ${ROUNDS} requests (seed ${SEED})`, async () => {
    const messageId = '1'
    const bodies = [
      serializeWsman({ do: 'get', resource: AMT_RESOURCES.power, messageId }),
      serializeWsman({ do: 'put', resource: AMT_RESOURCES.bootSettings, messageId, fields: [['UseSOL', 'true']] }),
      ...['2', '8', '10', '12'].map((state) =>
        serializeWsman({
          ...{ do: 'invoke', resource: AMT_RESOURCES.powerService, messageId },
          ...{ method: 'RequestPowerStateChange', fields: [['PowerState', state]] },
        } as const),
      ),
      serializeWsman({
        ...{ do: 'invoke', resource: AMT_RESOURCES.bootConfig, messageId },
        ...{ method: 'ChangeBootOrder', fields: [['Source', bootSource('pxe')]] },
      } as const),
      serializeWsman({
        ...{ do: 'invoke', resource: AMT_RESOURCES.bootService, messageId },
        ...{ method: 'SetBootConfigRole', fields: [['Role', '1']] },
      } as const),
    ]
    const samples = bodies.map((body): Sample => ({
      method: 'POST',
      target: '/wsman',
      body: Buffer.from(body).toString(),
    }))
    // What nobody may ask is not looked at, so that each is asked by who has the password.
    const prove = async (sample: Sample, handler: WebHandler): Promise<WebRequest['headers']> => {
      const asked = await handler(request(sample, {}))
      const challenge = digestChallengeOf(parseChallenges(asked.headers?.['www-authenticate'] ?? ''))!
      const uri = sample.target.split('?', 1)[0]!
      return {
        authorization: digestAuthorization(challenge, {
          ...{ method: sample.method, uri, ...login },
          nonceCount: 1,
          clientNonce: 'x',
        }),
      }
    }
    const statuses = await storm(samples, (machine) => createAmtService({ machine, ...login }), prove)
    for (const status of [200, 400, 404, 405])
      assert.ok((statuses.get(status) ?? 0) > 10, `${status}: ${statuses.get(status)}`)
  })
})
