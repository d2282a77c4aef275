import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { poll } from '../../src/base/clock.ts'
import { AppError } from '../../src/base/errors.ts'
import { openImageBench } from '../../src/drivers/layout/image-bench.ts'
import { tarOf } from '../../src/formats/tar/tar-maker.ts'
import {
  layoutFiles,
  makeImage,
  makeIndex,
  writeLayout,
  type MadeManifest,
} from '../../src/services/images/layout-maker.ts'
import { missingProgram, run, startRegistry } from './docker-registry.ts'
import { sampleLayers } from './sample-image.ts'
import { startTcpProxy } from './tcp-proxy.ts'
import { describeDirectory, describeTree } from './trees.ts'

const missing = missingProgram('docker-registry', 'skopeo', 'umoci', 'python3', 'tar', 'openssl', 'perl')
const skip = missing === undefined ? false : `no ${missing} here`
const scratch = mkdtempSync(join(tmpdir(), 'bareboat-registry-test-'))
after(() => rmSync(scratch, { recursive: true, force: true }))

/** Puts an image into a registry with skopeo. */
function push(image: MadeManifest, host: string, name: string, ...options: string[]): void {
  const directory = mkdtempSync(join(scratch, 'layout-'))
  writeLayout(directory, layoutFiles([{ tag: 'x', image }]))
  const plain = options.some((option) => option.startsWith('--dest-cert-dir')) ? [] : ['--dest-tls-verify=false']
  run('skopeo', 'copy', '--all', '--quiet', ...plain, ...options, `oci:${directory}:x`, `docker://${host}/${name}`)
}

/** Random bytes, so that no compression makes them fewer. */
function bigLayer(bytes: number) {
  return { plain: tarOf({ name: `big-${bytes}`, data: randomBytes(bytes) }), compression: 'none' as const }
}

const failsWith = (code: string, message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof AppError, String(error))
  assert.equal(error.code, code, error.message)
  assert.match(error.message, message)
  return true
}

for (const compression of ['gzip', 'zstd'] as const)
  test(`a pulled image with ${compression} layers has the tree that umoci unpacks`, { skip }, async () => {
    await using registry = await startRegistry()
    await using bench = await openImageBench()
    const image = makeImage({ layers: sampleLayers().map((plain) => ({ plain, compression })) })
    push(image, registry.host, 'sample/image:1', '--format', 'oci')
    const name = `${registry.host}/sample/image:1`
    const record = await bench.images.pull(name, { plainHttp: true })
    assert.deepEqual(record.references, [name])
    assert.equal(record.manifestDigest, image.digest)

    // umoci 0.4 reads no zstd; the content of the layers is the same.
    const same = makeImage({ layers: sampleLayersOf(bench.directory, record.layers) })
    const layout = mkdtempSync(join(scratch, 'umoci-'))
    writeLayout(layout, layoutFiles([{ tag: 'x', image: same }]))
    const bundle = join(layout, 'bundle')
    run('umoci', 'unpack', '--image', `${layout}:x`, bundle)
    const ours = await describeTree(await bench.images.tree(record.id), bench.blobs)
    const theirs = describeDirectory(join(bundle, 'rootfs'))
    assert.ok(ours.length > 75)
    assert.deepEqual(ours, theirs)

    // By digest, then not at all: it is here.
    const again = await bench.images.pull(`${registry.host}/sample/image@${image.digest}`, { policy: 'never' })
    assert.equal(again.id, record.id)
  })

function sampleLayersOf(directory: string, layers: readonly { readonly diffId: string }[]) {
  return layers.map(({ diffId }) => {
    const hex = diffId.slice('sha256:'.length)
    return { plain: readFileSync(join(directory, 'store/blobs/sha256', hex.slice(0, 2), hex)) }
  })
}

test('errors of a registry name what was asked for and what it said', { skip }, async () => {
  await using registry = await startRegistry()
  await using bench = await openImageBench()
  await assert.rejects(
    bench.images.pull(`${registry.host}/no/such:tag`, { plainHttp: true }),
    failsWith('not_found', new RegExp(`${registry.host}/no/such:tag.*404 MANIFEST_UNKNOWN`)),
  )
  push(makeImage({ layers: [{ plain: tarOf({ name: 'a' }) }], platform: 'linux/s390x' }), registry.host, 'one:1')
  await assert.rejects(
    bench.images.pull(`${registry.host}/one:1`, { plainHttp: true, platform: 'linux/arm64' }),
    failsWith('invalid', /for linux\/arm64: it is for linux\/s390x/),
  )
  await assert.rejects(
    bench.images.pull('one:1', { policy: 'never' }),
    failsWith('not_found', /docker.io\/library\/one:1/),
  )
  await assert.rejects(bench.images.pull('127.0.0.1:1/one:1'), failsWith('unreachable', /127\.0\.0\.1:1/))
  assert.deepEqual(bench.files(), [])
})

test('a loopback registry without TLS needs no option', { skip }, async () => {
  await using registry = await startRegistry()
  await using bench = await openImageBench()
  push(makeImage({ layers: [{ plain: tarOf({ name: 'a' }) }] }), registry.host, 'one:1')
  assert.equal((await bench.images.pull(`${registry.host}/one:1`)).layers.length, 1)
})

test('of an index the manifest of the platform that is asked for is taken', { skip }, async () => {
  await using registry = await startRegistry()
  await using bench = await openImageBench()
  const platforms = ['linux/amd64', 'linux/arm64/v8', 'linux/arm/v7']
  const images = platforms.map((platform) => ({
    platform,
    image: makeImage({ platform, layers: [{ plain: tarOf({ name: 'arch', data: platform }) }] }),
  }))
  push(makeIndex(images), registry.host, 'multi:1', '--format', 'oci')
  const name = `${registry.host}/multi:1`
  for (const [asked, expected] of [
    [undefined, 0],
    ['linux/arm64', 1],
    ['aarch64', 1],
    ['linux/arm/v7', 2],
  ] as const) {
    const record = await bench.images.pull(name, { plainHttp: true, ...(asked ? { platform: asked } : {}) })
    assert.equal(record.manifestDigest, images[expected]!.image.digest, asked ?? 'default')
  }
  await assert.rejects(
    bench.images.pull(name, { plainHttp: true, platform: 'linux/riscv64' }),
    failsWith('not_found', /nothing for linux\/riscv64, only for linux\/amd64, linux\/arm64\/v8, linux\/arm\/v7/),
  )
  // The tag went from image to image; the others stay under their ids.
  const all = await bench.images.list()
  assert.equal(all.map(({ references }) => references.length).join(''), '100')
})

test(
  'basic authentication: from the pull, from config.json, from a helper; a wrong password is told, not shown',
  { skip },
  async () => {
    await using registry = await startRegistry({ users: { mary: 's3cret:pass' } })
    const image = makeImage({ layers: [{ plain: tarOf({ name: 'a' }) }] })
    push(image, registry.host, 'private:1', '--dest-creds', 'mary:s3cret:pass')
    const name = `${registry.host}/private:1`
    const pull = async (config: string | undefined, password?: string) => {
      const registryConfig = config === undefined ? {} : { credentialsPath: config }
      await using bench = await openImageBench({ registry: registryConfig })
      const credentials = password === undefined ? {} : { credentials: { username: 'mary', password } }
      return await bench.images.pull(name, { plainHttp: true, ...credentials })
    }
    assert.equal((await pull(undefined, 's3cret:pass')).id.length, 71)
    await assert.rejects(pull(undefined, 'wr0ng'), (error: Error) => {
      assert.doesNotMatch(error.message + String(error.cause), /wr0ng/)
      return failsWith('unauthorized', /answers 401/)(error)
    })
    await assert.rejects(pull(undefined), failsWith('unauthorized', /asks for a login and there is none/))

    const file = join(scratch, 'config.json')
    const auth = Buffer.from('mary:s3cret:pass').toString('base64')
    writeFileSync(file, JSON.stringify({ auths: { [registry.host]: { auth } } }))
    await pull(file)
    // A part of the host is not the host.
    writeFileSync(
      file,
      JSON.stringify({ auths: { [registry.host.slice(0, -1)]: { auth }, [`${registry.host}0`]: { auth } } }),
    )
    await assert.rejects(pull(file), failsWith('unauthorized', /there is none/))

    const helpers = join(scratch, 'helpers')
    mkdirSync(helpers)
    const answer = JSON.stringify({ Username: 'mary', Secret: 's3cret:pass' })
    const script = `#!/bin/sh\nread server\n[ "$1 $server" = "get ${registry.host}" ] || { echo credentials not found; exit 1; }\necho '${answer}'\n`
    writeFileSync(join(helpers, 'docker-credential-test'), script, { mode: 0o755 })
    const path = process.env['PATH']
    process.env['PATH'] = `${helpers}:${path}`
    try {
      for (const config of [{ credHelpers: { [registry.host]: 'test' } }, { credsStore: 'test' }]) {
        writeFileSync(file, JSON.stringify(config))
        await pull(file)
      }
      writeFileSync(file, JSON.stringify({ credHelpers: { 'other.example': 'test' } }))
      await assert.rejects(pull(file), failsWith('unauthorized', /there is none/))
    } finally {
      process.env['PATH'] = path
    }
  },
)

test('TLS: a foreign authority is refused, taken with --ca or --insecure', { skip }, async () => {
  const at = (name: string) => join(scratch, name)
  const openssl = (...args: string[]) => run('openssl', ...args)
  openssl(
    'req',
    '-x509',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-keyout',
    at('ca.key'),
    '-out',
    at('ca.crt'),
    '-days',
    '2',
    '-subj',
    '/CN=test authority',
  )
  openssl(
    'req',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-keyout',
    at('tls.key'),
    '-out',
    at('tls.csr'),
    '-subj',
    '/CN=127.0.0.1',
  )
  writeFileSync(at('ext'), 'subjectAltName=IP:127.0.0.1\n')
  openssl(
    'x509',
    '-req',
    '-in',
    at('tls.csr'),
    '-CA',
    at('ca.crt'),
    '-CAkey',
    at('ca.key'),
    '-CAcreateserial',
    '-out',
    at('tls.crt'),
    '-days',
    '2',
    '-extfile',
    at('ext'),
  )
  await using registry = await startRegistry({ tls: { certificate: at('tls.crt'), key: at('tls.key') } })
  mkdirSync(at('certs'), { recursive: true })
  writeFileSync(at('certs/ca.crt'), readFileSync(at('ca.crt')))
  push(
    makeImage({ layers: [{ plain: tarOf({ name: 'a' }) }] }),
    registry.host,
    'tls:1',
    `--dest-cert-dir=${at('certs')}`,
  )
  const name = `${registry.host}/tls:1`
  const pull = async (options: object) => {
    await using bench = await openImageBench()
    return await bench.images.pull(name, options)
  }
  await assert.rejects(pull({}), failsWith('unreachable', /is not trusted; give its authority with --ca/))
  await assert.rejects(pull({ plainHttp: true }), failsWith('invalid', /400/))
  await pull({ ca: readFileSync(at('ca.crt'), 'utf8') })
  await pull({ insecure: true })
})

test('a transfer that is cut again and again goes on where it was', { skip }, async () => {
  await using registry = await startRegistry()
  const image = makeImage({ layers: [bigLayer(6_000_000), bigLayer(3_000_000)] })
  push(image, registry.host, 'big:1', '--format', 'oci')
  await using proxy = await startTcpProxy(registry.port, { cutAfterBytes: 1_500_000 })
  await using bench = await openImageBench()
  const record = await bench.images.pull(`127.0.0.1:${proxy.port}/big:1`, { plainHttp: true })
  assert.equal(record.layers.length, 2)
  const sizes = 9_000_000
  assert.ok(proxy.sentBytes() < sizes * 1.3, `${proxy.sentBytes()} bytes went over the wire`)
  assert.ok(proxy.requests.filter((line) => line.includes('/blobs/')).length >= 7)
})

test('two pulls at once fetch each layer once', { skip }, async () => {
  await using registry = await startRegistry()
  const shared = bigLayer(3_000_000)
  const images = ['one', 'two'].map((name) => makeImage({ layers: [shared, { plain: tarOf({ name }) }] }))
  images.forEach((image, at) => push(image, registry.host, `shared${at}:1`, '--format', 'oci'))
  await using proxy = await startTcpProxy(registry.port, { bytesPerTick: 100_000 })
  await using bench = await openImageBench()
  const seen: string[] = []
  const [a, b] = await Promise.all(
    [0, 1].map((at) =>
      bench.images.pull(`127.0.0.1:${proxy.port}/shared${at}:1`, { plainHttp: true }, (event) => {
        if (event.kind === 'layer' && event.state === 'downloading') seen.push(`${at} ${event.digest}`)
      }),
    ),
  )
  assert.notEqual(a!.id, b!.id)
  const digest = a!.layers[0]!.digest
  assert.equal(proxy.requests.filter((line) => line.endsWith(digest)).length, 1)
  for (const at of [0, 1]) assert.ok(seen.includes(`${at} ${digest}`), `pull ${at} saw no progress`)
})

test('of two pulls, one that is interrupted leaves the other alone', { skip }, async () => {
  await using registry = await startRegistry()
  push(makeImage({ layers: [bigLayer(3_000_000)] }), registry.host, 'big:1', '--format', 'oci')
  await using proxy = await startTcpProxy(registry.port, { bytesPerTick: 50_000 })
  await using bench = await openImageBench()
  const name = `127.0.0.1:${proxy.port}/big:1`
  const stop = new AbortController()
  const first = bench.images.pull(
    name,
    { plainHttp: true },
    (event) => {
      if (event.kind === 'layer' && event.state === 'downloading') stop.abort()
    },
    stop.signal,
  )
  const second = bench.images.pull(name, { plainHttp: true })
  await assert.rejects(first, failsWith('interrupted', /it was interrupted/))
  assert.equal((await second).layers.length, 1)
})

test('a killed process leaves nothing half-written, and the next pull goes on where it was', { skip }, async () => {
  await using registry = await startRegistry()
  push(makeImage({ layers: [bigLayer(8_000_000)] }), registry.host, 'big:1', '--format', 'oci')
  await using proxy = await startTcpProxy(registry.port, { bytesPerTick: 60_000 })
  const directory = mkdtempSync(join(scratch, 'killed-'))
  const name = `127.0.0.1:${proxy.port}/big:1`
  const child = spawn(process.execPath, [join(import.meta.dirname, 'pull-once.ts'), directory, name], {
    stdio: 'inherit',
  })
  const incoming = join(directory, 'store/incoming')
  const partBytes = () => {
    try {
      const part = run('ls', incoming)
        .split('\n')
        .find((file) => file.endsWith('.part'))
      return part === undefined ? 0 : statSync(join(incoming, part)).size
    } catch {
      return 0
    }
  }
  const held = await poll(() => (partBytes() > 3_000_000 ? partBytes() : undefined), {
    everyMs: 20,
    deadlineMs: 20_000,
  })
  child.kill('SIGKILL')
  await new Promise((resolve) => child.once('exit', resolve))
  assert.ok(held !== undefined, 'the transfer did not get far enough')

  const before = proxy.sentBytes()
  await using bench = await openImageBench({ directory })
  assert.deepEqual(await bench.images.list(), [])
  assert.deepEqual(
    bench.files().filter((file) => !file.endsWith('.part')),
    [],
  )
  const record = await bench.images.pull(name, { plainHttp: true })
  assert.equal(record.layers.length, 1)
  assert.ok(proxy.sentBytes() - before < 8_100_000 - held, 'it began from the start')
  assert.deepEqual(
    bench.files().filter((file) => file.includes('incoming')),
    [],
  )
})
