import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { listen } from './listening.ts'
import { checkMedium, driveFor, drivesConfig, parseMedium, plugDrive, unplugDrive } from './medium.ts'
import type { Qmp } from './qmp.ts'

const parsed = [
  { name: 'a file', source: '/a/b c.iso', drive: 'cd', isWritable: false },
  { name: 'a stick to write to', source: '/a/b.img', drive: 'usb', isWritable: true },
  { name: 'a URL', source: 'https://10.0.0.1:8443/t/a.iso?x=1', drive: 'cd', isWritable: false },
  { name: 'a CD to write to', source: '/a.iso', drive: 'cd', isWritable: true, error: /a CD cannot be written to/ },
  { name: 'a URL to write to', source: 'http://a/b', drive: 'usb', isWritable: true, error: /read by HTTP cannot/ },
  { name: 'a relative path', source: 'a.iso', drive: 'cd', isWritable: false, error: /neither an absolute path/ },
  { name: 'another scheme', source: 'nfs://a/b', drive: 'cd', isWritable: false, error: /neither an absolute path/ },
  { name: 'a quote', source: '/a"\n[device "x"]', drive: 'cd', isWritable: false, error: /a quote or a control/ },
  { name: 'a line break', source: '/a\n[device]', drive: 'cd', isWritable: false, error: /a quote or a control/ },
  { name: 'too much', source: `/${'a'.repeat(1000)}`, drive: 'cd', isWritable: false, error: /longer than 1000 bytes/ },
  { name: 'no URL', source: 'http://', drive: 'cd', isWritable: false, error: /it is no URL/ },
] as const
for (const { name, source, drive, isWritable, ...row } of parsed)
  test(`parseMedium: ${name}`, () => {
    if ('error' in row) return assert.throws(() => parseMedium(drive, source, isWritable), row.error)
    assert.deepEqual(parseMedium(drive, source, isWritable), { source, isWritable })
  })

test('driveFor: ISO images are CDs, all else is a stick', () => {
  assert.deepEqual(['/a/b.iso', '/a/B.ISO', 'http://h/t/a.iso?token=x', '/a/b.img', 'http://h/a.iso/b'].map(driveFor), [
    'cd',
    'cd',
    'cd',
    'usb',
    'usb',
  ])
})

test('drivesConfig: a drive of its own for each medium', () => {
  const media = {
    cd: { source: 'http://10.0.0.1/t/a.iso', isWritable: false },
    usb: { source: "/it's, here", isWritable: true },
  }
  assert.equal(
    drivesConfig(media),
    `[drive "cd-medium"]
  if = "none"
  format = "raw"
  readonly = "on"
  file.driver = "http"
  file.url = "http://10.0.0.1/t/a.iso"
[drive "usb-medium"]
  if = "none"
  format = "raw"
  readonly = "off"
  file.driver = "file"
  file.filename = "/it's, here"
`,
  )
})

test('checkMedium: files that are there, servers that give ranges; the path of a URL is in no message', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'bareboat-medium-'))
  const server = createServer((request, response) => {
    const status = { '/ranges': 206, '/whole': 200 }[request.url!] ?? 404
    response.writeHead(status).end('x')
  })
  await using _listening = await listen(server, { host: '127.0.0.1', port: 0 })
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const check = (source: string) => checkMedium({ source, isWritable: false })
  try {
    writeFileSync(join(dir, 'a.iso'), '')
    await check(join(dir, 'a.iso'))
    await assert.rejects(check(join(dir, 'b.iso')), { code: 'not_found', message: /ENOENT/ })
    await assert.rejects(check(dir), { code: 'invalid', message: /is not a file/ })
    await check(`${origin}/ranges`)
    await assert.rejects(check(`${origin}/whole`), { code: 'bad_peer', message: /gives no ranges of bytes/ })
    await assert.rejects(check(`${origin}/secret`), (error: Error) => {
      assert.equal(error.message, `Cannot insert "${origin}": its server answers 404`)
      return true
    })
    await assert.rejects(check('http://127.0.0.1:1/secret'), { code: 'unreachable' })
  } finally {
    rmSync(dir, { recursive: true })
  }
})

test('plugDrive: a drive that cannot be plugged in whole is taken away again', async () => {
  const said: string[] = []
  const qmp: Qmp = {
    shutdownReason: undefined,
    async ask(command, args = {}) {
      said.push([command, args['id'] ?? args['node-name'] ?? args['path']].join(' '))
      if (command === 'qom-set') throw new Error('no')
    },
    async removeDevice(id) {
      said.push(`remove ${id}`)
    },
  }
  await assert.rejects(plugDrive(qmp, 'cd', { source: '/a.iso', isWritable: false }, 'medium-1'), /no/)
  const added = ['blockdev-add medium-1', 'device_add cd-port', 'device_add cd', 'qom-set /machine/peripheral/cd-port']
  assert.deepEqual(said, [...added, 'remove cd-port', 'blockdev-del medium-1'])
  said.length = 0
  await unplugDrive(qmp, 'usb', undefined)
  assert.deepEqual(said, ['remove usb-port'])
})
