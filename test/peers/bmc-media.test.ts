/** Virtual media of BMC drivers against the ways in which real ones go wrong: each ends in a drive that was seen, or in a typed error. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { AppError } from '../../src/base/errors.ts'
import { quietLog } from '../../src/base/log.ts'
import { createPikvmBmc } from '../../src/drivers/bmc/pikvm/pikvm-bmc.ts'
import { behaviourOf } from '../../src/drivers/bmc/redfish/quirks.ts'
import { createRedfishBmc } from '../../src/drivers/bmc/redfish/redfish-bmc.ts'
import type { Medium } from '../../src/services/power/power-port.ts'
import { startPikvmSim, type PikvmSimOptions } from '../fakes/pikvm-sim.ts'
import type { MediaSimOptions } from '../fakes/redfish-media.ts'
import { type Mischief, startRedfishSim } from '../fakes/redfish-sim.ts'

const SECRET = 'CANARY-8f3kd02kslw0dk39'
const MEDIUM: Medium = {
  kind: 'cd',
  name: 'debian.iso',
  url: `http://10.0.0.1:8017/media/${SECRET}/debian.iso`,
  secret: SECRET,
  sizeBytes: 7,
  isWritable: false,
  async *read() {
    yield new Uint8Array(3)
    yield new Uint8Array(4)
  },
}
const INSERT = '/redfish/v1/Managers/BMC/VirtualMedia/CD1/Actions/VirtualMedia.InsertMedia'

type Ask = { method: string; path: string; count: number }

async function rig(media: MediaSimOptions, mischief?: (asked: Ask) => Mischief | undefined) {
  const stack = new AsyncDisposableStack()
  const sim = stack.use(await startRedfishSim({ media, ...(mischief ? { mischief } : {}) }))
  const bmc = stack.use(
    createRedfishBmc({
      origin: sim.origin,
      user: 'admin',
      password: 'secret',
      log: quietLog,
      patience: { pollMs: 5, declinedMs: 20 },
      paceMs: 0,
      backOffMs: 1,
      timeoutMs: 1000,
      mediaDeadlineMs: 400,
    }),
  )
  return { sim, media: bmc.media!, bmc, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

function first(times: number, mischief: Mischief, method: string, path: string) {
  return (asked: Ask) => (asked.method === method && asked.path === path && times-- > 0 ? mischief : undefined)
}

const ALL = { Image: MEDIUM.url, Inserted: true, WriteProtected: true }
const good: {
  name: string
  sim: MediaSimOptions
  mischief?: (asked: Ask) => Mischief | undefined
  last?: object
}[] = [
  { name: 'drives of the manager', sim: {}, last: ALL },
  { name: 'drives of the system', sim: { at: 'system' }, last: ALL },
  { name: 'without actions, by properties', sim: { actions: 'none' }, last: ALL },
  {
    name: 'one that knows no Inserted',
    sim: { refuses: ['Inserted'] },
    last: { Image: MEDIUM.url, WriteProtected: true },
  },
  {
    name: 'one that knows the image alone, and says so by arguments (iLO 4)',
    sim: { actions: 'none', refuses: ['Inserted', 'WriteProtected'], refusesBy: 'arguments' },
    last: { Image: MEDIUM.url },
  },
  {
    name: 'one that knows the image alone, and does not say why it refuses',
    sim: { refuses: ['Inserted', 'WriteProtected'], refusesBy: 'nothing' },
    last: { Image: MEDIUM.url },
  },
  {
    name: 'one that wants the protocol',
    sim: { wants: ['TransferProtocolType'] },
    last: { ...ALL, TransferProtocolType: 'HTTP' },
  },
  {
    name: 'one that wants protocol and method, and knows no Inserted',
    sim: { wants: ['TransferProtocolType', 'TransferMethod'], refuses: ['Inserted'] },
  },
  { name: 'one that wants .iso at the end', sim: { wantsSuffix: '.iso' } },
  { name: 'a task', sim: { hasTask: true } },
  { name: 'slow to show', sim: { lagMs: 100 } },
  { name: 'shows the name alone', sim: { shows: 'name' } },
  { name: 'shows a URL that is cut', sim: { shows: 'cut' } },
  { name: 'shows no scheme', sim: { shows: 'without-scheme' } },
  { name: 'keeps the image when it is taken out', sim: { keepsImage: true } },
  { name: 'says by the connection alone whether something is in', sim: { hasNoInserted: true } },
  { name: 'busy twice', sim: {}, mischief: first(2, 'busy', 'POST', INSERT) },
  { name: 'another session writes, 409', sim: {}, mischief: first(1, 'conflict', 'POST', INSERT) },
  { name: 'the answer is lost, it was done', sim: {}, mischief: first(1, 'acts-and-drops', 'POST', INSERT) },
  { name: '500 after it was done', sim: {}, mischief: first(1, 'acts-and-500', 'POST', INSERT) },
  { name: 'the session ends in the middle', sim: {}, mischief: first(1, 'forgotten', 'POST', INSERT) },
]

for (const { name, sim, mischief, last } of good)
  test(`redfish media: inserted, seen, taken out: ${name}`, async () => {
    await using it = await rig(sim, mischief)
    const drive = await it.media.insert('CD1', MEDIUM)
    assert.ok(drive.inserted !== undefined && it.media.holds(drive, MEDIUM))
    assert.ok(!it.media.holds(drive, { name: 'other.iso', secret: 'another' }))
    if (last) assert.deepEqual(it.sim.media.inserts.at(-1), last)
    assert.notEqual(it.sim.media.drive()['ConnectedVia'], 'NotConnected')
    await it.media.eject('CD1')
    assert.equal((await it.media.drives())[0]!.inserted, undefined)
    assert.equal(it.sim.media.drive()['ConnectedVia'], 'NotConnected')
    const { length } = it.sim.requests.filter((one) => one.includes('Eject'))
    await it.media.eject('CD1')
    assert.equal(
      it.sim.requests.filter((one) => one.includes('Eject')).length,
      length,
      'nothing is sent to an empty drive',
    )
    await it.media.insert('CD1', MEDIUM)
  })

const bad: {
  name: string
  sim: MediaSimOptions
  medium?: Partial<Medium>
  mischief?: (asked: Ask) => Mischief | undefined
  code: string
  message: RegExp
}[] = [
  {
    name: 'something is in it',
    sim: { holds: 'http://files/secret-of-somebody/rescue.iso?sig=abc' },
    code: 'conflict',
    message: /drive "CD1".*holds "rescue.iso", which stays there/,
  },
  {
    name: 'it says yes and does nothing',
    sim: { ignores: 'insert' },
    code: 'bad_peer',
    message: /took the medium and shows nothing; can it fetch/,
  },
  {
    name: 'the answer is lost, it was not done',
    sim: {},
    mischief: first(1, 'dropped', 'POST', INSERT),
    code: 'bad_peer',
    message: /did not answer and shows nothing/,
  },
  {
    name: 'no HTTP',
    sim: { protocols: ['NFS', 'CIFS', 'HTTPS'] },
    code: 'unsupported',
    message: /takes no HTTP, but NFS, CIFS, HTTPS; put a proxy with TLS/,
  },
  {
    name: 'another suffix',
    sim: { wantsSuffix: '.img' },
    code: 'unsupported',
    message: /ActionParameterValueFormatError.*--media-url/,
  },
  {
    name: 'it repeats the URL',
    sim: { repeats: true },
    code: 'unsupported',
    message: /The value http:\/\/10.0.0.1:8017\/media\/\*\*\*\*\/debian.iso/,
  },
  {
    name: 'no writing',
    sim: { isReadOnly: true },
    medium: { isWritable: true },
    code: 'unsupported',
    message: /not written to alone/,
  },
  { name: 'another kind', sim: {}, medium: { kind: 'usb' }, code: 'unsupported', message: /it plays cd, not usb/ },
  { name: 'nobody serves it', sim: {}, medium: { url: undefined }, code: 'conflict', message: /--interface NAME/ },
  {
    name: 'busy for ever',
    sim: {},
    mischief: first(1000, 'busy', 'POST', INSERT),
    code: 'exhausted',
    message: /ServiceTemporarilyUnavailable/,
  },
  { name: 'no drives', sim: { at: 'nobody' }, code: 'not_found', message: /it has none/ },
]

for (const { name, sim, medium, mischief, code, message } of bad)
  test(`redfish media: refused, and nothing is in the drive that was not: ${name}`, async () => {
    await using it = await rig(sim, mischief)
    const before = it.sim.media.drive()['Image'] as string | undefined
    await assert.rejects(it.media.insert('CD1', { ...MEDIUM, ...medium }), (error: AppError) => {
      assert.equal(error.code, code, error.message)
      assert.match(error.message, message)
      assert.ok(!error.message.includes(SECRET) && !error.message.includes('secret-of-somebody'))
      return true
    })
    assert.equal(it.sim.media.drive()['Image'], before)
  })

test('redfish media: a drive that says it was emptied and was not is an error', async () => {
  await using it = await rig({ ignores: 'eject', holds: 'http://files/x.iso' })
  await assert.rejects(it.media.eject('CD1'), { code: 'bad_peer', message: /said that it did, and still shows it/ })
})

test('redfish media: kinds, and the one boot from them', async () => {
  await using it = await rig({ holds: 'http://files/x.iso' })
  const drives = await it.media.drives()
  assert.deepEqual(
    drives.map(({ id, kinds, inserted }) => [id, kinds.join(), inserted]),
    [
      ['CD1', 'cd', 'http://files/x.iso'],
      ['USB1', 'usb', undefined],
    ],
  )
  await it.bmc.setBoot({ device: 'cd', firmware: 'uefi', once: true })
  assert.deepEqual([it.sim.boot['BootSourceOverrideTarget'], it.sim.boot['BootSourceOverrideEnabled']], ['Cd', 'Once'])
  await it.bmc.setBoot({ device: 'usb', firmware: 'bios', once: true })
  assert.equal(it.sim.boot['BootSourceOverrideTarget'], 'Usb')
})

for (const { name, drives } of [
  { name: 'gigabyte-h262-media', drives: [{ id: 'CD1', kinds: ['cd'], isWriteProtected: false }] },
  {
    name: 'hpe-ilo5-dl325-media',
    drives: [
      { id: '1', kinds: ['usb'], isWriteProtected: true },
      { id: '2', kinds: ['cd'], isWriteProtected: true },
    ],
  },
])
  test(`redfish media: the drives of ${name}, which are empty`, async () => {
    const path = join(import.meta.dirname, `../packets/redfish/${name}.json`)
    const tree = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>
    await using sim = await startRedfishSim({ tree })
    const login = { user: 'admin', password: 'secret', log: quietLog, paceMs: 0 }
    await using bmc = createRedfishBmc({ origin: sim.origin, ...login })
    assert.deepEqual(await bmc.media!.drives(), drives)
  })

test('redfish media: UsbCd where it is offered', async () => {
  const boot = {
    BootSourceOverrideEnabled: 'Disabled',
    BootSourceOverrideTarget: 'None',
    'BootSourceOverrideTarget@Redfish.AllowableValues': ['None', 'Pxe', 'Cd', 'UsbCd'],
  }
  await using sim = await startRedfishSim({ boot })
  const login = { user: 'admin', password: 'secret', log: quietLog, paceMs: 0 }
  await using bmc = createRedfishBmc({ origin: sim.origin, ...login })
  await bmc.setBoot({ device: 'cd', firmware: 'uefi', once: true })
  assert.equal(sim.boot['BootSourceOverrideTarget'], 'UsbCd')
})

test('redfish media: of a Lenovo the drives for URLs alone', async () => {
  const { behaviour, names } = behaviourOf({
    vendor: 'Lenovo',
    product: '',
    manufacturer: 'Lenovo',
    model: 'SR650',
    firmware: '',
  })
  assert.deepEqual(names, ['media-by-name'])
  assert.deepEqual(
    ['EXT1', 'RDOC1', 'Remote4'].filter((id) => behaviour.mediaDrives.test(id)),
    ['EXT1'],
  )
})

async function pikvm(options: PikvmSimOptions) {
  const stack = new AsyncDisposableStack()
  const sim = stack.use(await startPikvmSim(options))
  const login = { host: '127.0.0.1', port: sim.port, isTls: false, user: 'admin', password: 'secret' }
  const bmc = stack.use(createPikvmBmc({ ...login, log: quietLog, timeoutMs: 2000 }))
  return { sim, media: bmc.media!, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

for (const { name, options, medium, size } of [
  { name: 'PiKVM fetches it', options: {}, medium: {}, size: 2 },
  { name: 'it is sent where nobody serves it', options: {}, medium: { url: undefined }, size: 7 },
  { name: 'it is sent where PiKVM cannot fetch it', options: { remoteEnds: 'badly' as const }, medium: {}, size: 7 },
  { name: 'and where the fetching was cut off', options: { remoteEnds: 'cut' as const }, medium: {}, size: 7 },
])
  test(`pikvm media: in the drive, seen, taken out and gone: ${name}`, async () => {
    await using it = await pikvm(options)
    it.sim.images.set('bareboat-oldoldol-left.iso', 9)
    it.sim.images.set('of-somebody.iso', 9)
    const drive = await it.media.insert('msd', { ...MEDIUM, ...medium })
    assert.ok(it.media.holds(drive, MEDIUM))
    assert.deepEqual([...it.sim.images.values()], [9, size])
    assert.deepEqual([it.sim.drive.connected, it.sim.drive.cdrom, it.sim.drive.rw], [true, true, false])
    await it.media.eject('msd')
    assert.deepEqual([...it.sim.images.keys()], ['of-somebody.iso'])
    assert.equal((await it.media.drives())[0]!.inserted, undefined)
  })

test('pikvm media: a flash drive that is written to; what is in the drive stays', async () => {
  await using it = await pikvm({})
  await it.media.insert('msd', { ...MEDIUM, kind: 'usb', isWritable: true })
  assert.deepEqual([it.sim.drive.cdrom, it.sim.drive.rw], [false, true])
  await assert.rejects(it.media.insert('msd', { ...MEDIUM, name: 'other.iso' }), {
    code: 'conflict',
    message: /holds "bareboat-CANARY-8-debian.iso", which stays there/,
  })
  await using kept = await pikvm({ keepsDrive: true })
  await assert.rejects(kept.media.insert('msd', MEDIUM), { code: 'bad_peer', message: /kept what it had/ })
})
