/** What a BMC answers is anything: the Redfish driver yields a value or an AppError, and says nothing that a terminal would obey. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { AppError } from '../../src/base/errors.ts'
import { quietLog } from '../../src/base/log.ts'
import type { RedfishClient } from '../../src/drivers/bmc/redfish/client.ts'
import { readConsoleWays } from '../../src/drivers/bmc/redfish/console-ways.ts'
import { readDrives } from '../../src/drivers/bmc/redfish/drives.ts'
import { parseRedfishUrl } from '../../src/drivers/bmc/redfish/redfish-url.ts'
import { refusal } from '../../src/drivers/bmc/redfish/refusal.ts'
import { servicePath } from '../../src/drivers/bmc/redfish/service-path.ts'
import { findSystem, readSystem } from '../../src/drivers/bmc/redfish/system.ts'
import { parseFingerprint } from '../../src/drivers/bmc/trust.ts'
import { createMutator, randomFrom } from './mutate.ts'

const SEED = Number(process.env['SEED'] ?? 20_261_125)
/** Each reads four documents or more. */
const RUNS = 25_000

const tree = (name: string): [string, unknown][] =>
  Object.entries(
    JSON.parse(readFileSync(join(import.meta.dirname, `../packets/redfish/${name}.json`), 'utf8')) as object,
  )
const services = ['hpe-ilo5-dl325', 'openbmc', 'cray-ex425'].map((name) => new Map(tree(name)))
const error = {
  error: {
    code: 'Base.1.8.GeneralError',
    message: 'See ExtendedInfo.',
    '@Message.ExtendedInfo': [{ MessageId: 'Base.1.8.PropertyUnknown', Message: 'The property secret is unknown.' }],
  },
}

/** A document with parts replaced by something else, as JSON that a BMC may send. */
function spoil(value: unknown, random: () => number): unknown {
  if (random() < 0.03) return odd(random)
  if (Array.isArray(value)) return value.map((one) => spoil(one, random))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .filter(() => random() > 0.03)
      .map(([key, one]) => [key, spoil(one, random)]),
  )
}

function odd(random: () => number): unknown {
  const list = [null, 0, '', {}, [], true, '\u001b[2J\n', 'http://192.0.2.1/', '//x', 'x'.repeat(5000), [null], [[]]]
  return list[Math.floor(random() * list.length)]
}

function check(thrown: unknown): void {
  assert.ok(thrown instanceof AppError, String(thrown))
  // oxlint-disable-next-line no-control-regex -- that is what must not be there
  assert.doesNotMatch(thrown.message, /[\u0000-\u001f\u007f-\u009f]/)
}

test(`${RUNS} spoiled services: a system or an AppError`, async (t) => {
  t.diagnostic(`SEED=${SEED}`)
  const random = randomFrom(SEED)
  let answers = services[0]!
  const client = {
    address: 'fake:443',
    get: async (link: string) => {
      const path = servicePath(link, 'fake:443')
      return { path, etag: undefined, body: spoil(answers.get(path), random) }
    },
  } as Pick<RedfishClient, 'address' | 'get'> as RedfishClient
  let good = 0
  for (let i = 0; i < RUNS; i++) {
    answers = services[i % 3]!
    try {
      const { path } = await findSystem(client, i % 3 === 2 ? 'Node0' : undefined, quietLog)
      await readSystem(client, path)
      good++
    } catch (thrown) {
      check(thrown)
    }
  }
  assert.ok(good > RUNS / 20 && good < RUNS, `${good} of ${RUNS}`)
})

test(`${RUNS} spoiled consoles: ways with a port and a path on this BMC, or an AppError`, async () => {
  const random = randomFrom(SEED)
  const protocol = { ServiceEnabled: true, Port: 2200, ConsoleEntryCommand: 'vsp', HotKeySequenceDisplay: '~.' }
  const socket = { ServiceEnabled: true, ConsoleURI: 'wss://bmc.example/console0?x=1' }
  const manager = { SerialConsole: { ServiceEnabled: true, ConnectTypesSupported: ['SSH', 'IPMI', 'Telnet'] } }
  const system = { SerialConsole: { SSH: protocol, IPMI: protocol, Telnet: protocol, WebSocket: socket } }
  const managed = { Links: { ManagedBy: [{ '@odata.id': '/redfish/v1/Managers/1' }] } }
  const tree: Readonly<Record<string, unknown>> = { '/1': system, '/2': managed, '/redfish/v1/Managers/1': manager }
  const client = {
    address: 'fake:443',
    get: async (link: string) => {
      const path = servicePath(link, 'fake:443')
      return { path, etag: undefined, body: spoil(tree[path], random) }
    },
  } as Pick<RedfishClient, 'address' | 'get'> as RedfishClient
  let found = 0
  for (let i = 0; i < RUNS; i++)
    try {
      const { ssh, ipmi, webSocket } = await readConsoleWays(client, i % 2 === 0 ? '/1' : '/2')
      if (ssh ?? ipmi ?? webSocket) found++
      for (const way of [ssh, ipmi]) assert.ok(way === undefined || (way.port > 0 && way.port < 65_536))
      assert.ok(webSocket === undefined || /^\/[\x21-\x7e]*$/.test(webSocket.path))
    } catch (thrown) {
      check(thrown)
    }
  assert.ok(found > RUNS / 2, `${found} of ${RUNS}`)
})

test('20000 spoiled services with drives: drives that can be printed, or an AppError', async () => {
  const random = randomFrom(SEED)
  const trees = ['gigabyte-h262-media', 'hpe-ilo5-dl325-media'].map((name) => new Map(tree(name)))
  let answers = trees[0]!
  let isSpoiled = false
  const client = {
    address: 'fake:443',
    get: async (link: string) => {
      const body = answers.get(servicePath(link, 'fake:443'))
      return { path: link, etag: undefined, body: isSpoiled ? spoil(body, random) : body }
    },
  } as Pick<RedfishClient, 'address' | 'get'> as RedfishClient
  let found = 0
  for (let i = 0; i < 20_000; i++) {
    answers = trees[i % 2]!
    isSpoiled = false
    const place = await findSystem(client, undefined, quietLog)
    isSpoiled = true
    try {
      for (const { id, kinds, inserted = '' } of await readDrives(client, place)) {
        // oxlint-disable-next-line no-control-regex -- that is what must not be there
        assert.doesNotMatch(id + inserted, /[\u0000-\u001f\u007f-\uffff]/)
        assert.ok(kinds.length > 0 && id.length <= 256 && inserted.length <= 256)
        found++
      }
    } catch (thrown) {
      check(thrown)
    }
  }
  assert.ok(found > 5000, `${found} drives`)
})

test('100000 spoiled refusals: words that are printable and without our password', () => {
  const random = randomFrom(SEED)
  for (let i = 0; i < 100_000; i++) {
    const said = refusal('Cannot GET', 400, spoil(error, random), ['secret'])
    check(said)
    assert.ok(!said.message.includes('secret') && said.message.length < 1500)
  }
})

test('100000 URLs and fingerprints: a value or an AppError', () => {
  const mutator = createMutator(SEED)
  const seeds: readonly string[] = [
    'redfish://admin@[fd00::7]:8443?system=1&auth=basic&insecure',
    `redfish://a@h?fingerprint=${'ab'.repeat(32)}`,
    `redfish://a@h?console=ssh&command=vsp&hostkey=SHA256:${'aB+'.repeat(14)}A`,
  ]
  for (let i = 0; i < 100_000; i++) {
    const text = Buffer.from(mutator.mutate(Buffer.from(seeds[i % 3]!))).toString('latin1')
    const sha256 = parseFingerprint(text)
    assert.ok(sha256 === undefined || sha256.length === 64)
    try {
      assert.ok(URL.canParse(parseRedfishUrl(text).origin), text)
    } catch (thrown) {
      assert.ok(thrown instanceof AppError, `${text}: ${String(thrown)}`)
    }
  }
})
