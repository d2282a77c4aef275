import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { readConfig } from './config.ts'

const env = { HOME: '/home/a' }

function withFile(text: string, work: (path: string) => void): void {
  const dir = mkdtempSync(join(tmpdir(), 'bareboat-config-'))
  try {
    writeFileSync(join(dir, 'config.yaml'), text)
    work(join(dir, 'config.yaml'))
  } finally {
    rmSync(dir, { recursive: true })
  }
}

test('readConfig: flags come before the environment, the environment before the file', () =>
  withFile('httpPort: 1000\ntftpPort: 1001\ndhcp: false\ndhcpRouters: [10.0.0.1]\n', (path) => {
    const { config, entries } = readConfig(
      { httpPort: '3000' },
      path,
      { ...env, BAREBOAT_TFTP_PORT: '2001', BAREBOAT_HTTP_PORT: '2000' },
      1000,
    )
    assert.deepEqual(
      [config.httpPort, config.tftpPort, config.dhcp, config.dhcpRouters],
      [3000, 2001, false, ['10.0.0.1']],
    )
    const origins = Object.fromEntries(entries.map((entry) => [entry.key, entry.origin]))
    assert.deepEqual(
      [origins['httpPort'], origins['tftpPort'], origins['dhcp'], origins['tftp']],
      ['flag', 'environment', 'file', 'default'],
    )
  }))

test('readConfig: kernel parameters are separated by blanks, for commas are part of them', () => {
  const { config, entries } = readConfig({ kernelParams: 'console=ttyS1,115200 quiet' }, undefined, env, 0)
  assert.deepEqual(config.kernelParams, ['console=ttyS1,115200', 'quiet'])
  assert.equal(entries.find(({ key }) => key === 'kernelParams')!.value, 'console=ttyS1,115200 quiet')
  assert.deepEqual(readConfig({ kernelParams: '' }, undefined, env, 0).config.kernelParams, [])
})

test('readConfig: the token lies in the data directory unless it is named', () => {
  assert.equal(readConfig({ dataDir: '/srv/b' }, undefined, env, 1000).config.tokenFile, '/srv/b/api.token')
  assert.equal(readConfig({}, undefined, env, 0).config.dataDir, '/var/lib/bareboat')
})

test('readConfig says which key is wrong and what it should be', () => {
  assert.throws(
    () => readConfig({ httpPort: '0' }, undefined, env, 0),
    /Cannot read config key httpPort: "0" is not a port from 1 to 65535/,
  )
  assert.throws(() => readConfig({ nbdThreads: '65' }, undefined, env, 0), /nbdThreads: "65" is not a number from 0/)
  assert.throws(() => readConfig({ dhcp: 'maybe' }, undefined, env, 0), /is not true or false/)
  assert.throws(() => readConfig({ logLevel: 'loud' }, undefined, env, 0), /is not debug, info, warn, error/)
  assert.throws(() => readConfig({}, '/nonexistent.yaml', env, 0), /there is none/)
  withFile('htpPort: 1\n', (path) => assert.throws(() => readConfig({}, path, env, 0), /there is no key "htpPort"/))
  withFile('- a\n', (path) => assert.throws(() => readConfig({}, path, env, 0), /is not a list of keys/))
})

test('readConfig: a console of no files or no bytes cannot be kept', () => {
  assert.throws(
    () => readConfig({ consoleRecord: 'never' }, undefined, env, 1000),
    /config key consoleRecord: "never" is not powered, always, containers/,
  )
  for (const key of ['consoleFiles', 'consoleFileMib'])
    assert.throws(
      () => readConfig({ [key]: '0' }, undefined, env, 1000),
      new RegExp(`config key ${key}: 0 is not a number from 1 to 64`),
    )
})
