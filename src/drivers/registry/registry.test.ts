import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { AppError } from '../../base/errors.ts'
import { quietLog } from '../../base/log.ts'
import { parseDigest } from '../../formats/oci/digest.ts'
import { sha256 } from '../../services/images/layout-maker.ts'
import { parseChallenges } from '../../wire/http/challenge.ts'
import { createRegistry, type RegistryConfig } from './registry.ts'

type Handler = (request: IncomingMessage, response: ServerResponse) => void

interface FakeServer extends AsyncDisposable {
  readonly host: string
  readonly url: string
  readonly seen: { url: string; authorization: string | undefined; body: string; range: string | undefined }[]
}

/** A server that answers as the test says, and remembers what it was asked. */
async function fake(handler: Handler): Promise<FakeServer> {
  const seen: FakeServer['seen'] = []
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', (text: Buffer) => (body += String(text)))
    request.on('end', () => {
      const { authorization, range } = request.headers
      seen.push({ url: `${request.method} ${request.url}`, authorization, body, range })
      handler(request, response)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const host = `127.0.0.1:${typeof address === 'object' ? address?.port : ''}`
  return {
    host,
    url: `http://${host}`,
    seen,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

const manifest = Buffer.from('{"schemaVersion":2}')
const manifestDigest = parseDigest(sha256(manifest))
const blob = randomBytes(400_000)
const blobDigest = parseDigest(sha256(blob))
const never = new AbortController().signal

function sendManifest(response: ServerResponse, bytes: Uint8Array = manifest): void {
  response.setHeader('content-type', 'application/vnd.oci.image.manifest.v1+json')
  response.end(bytes)
}

function open(config: Partial<RegistryConfig> = {}) {
  return createRegistry({ log: quietLog, now: Date.now, backOffMs: 5, ...config })
}

function fetchManifest(
  server: FakeServer,
  config: Partial<RegistryConfig> = {},
  reference = 'tag',
  access: object = {},
) {
  return withRegistry(config, (registry) =>
    registry.manifest({ registry: server.host, repository: 'a/b' }, reference, { plainHttp: true, ...access }, never),
  )
}

async function withRegistry<T>(
  config: Partial<RegistryConfig>,
  use: (registry: ReturnType<typeof open>) => Promise<T>,
) {
  await using registry = open(config)
  return await use(registry)
}

async function fetchBlob(server: FakeServer, offset = 0): Promise<Buffer> {
  return withRegistry({}, async (registry) => {
    const name = { registry: server.host, repository: 'a/b' }
    const parts: Uint8Array[] = []
    const stream = registry.stream(name, { digest: blobDigest, size: blob.length }, offset, { plainHttp: true }, never)
    for await (const part of stream) parts.push(part)
    return Buffer.concat(parts)
  })
}

const failsWith = (code: string, message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof AppError, String(error))
  assert.equal(error.code, code, error.message)
  assert.match(error.message, message)
  return true
}

const challenges = [
  { text: 'Basic realm="r"', is: [['basic', { realm: 'r' }]] },
  {
    text: 'Bearer realm="https://a/t",service="s",scope="repository:a:pull,push"',
    is: [['bearer', { realm: 'https://a/t', service: 's', scope: 'repository:a:pull,push' }]],
  },
  {
    text: 'Negotiate, Basic realm = "a \\"b\\"" , bearer Realm=x',
    is: [
      ['negotiate', {}],
      ['basic', { realm: 'a "b"' }],
      ['bearer', { realm: 'x' }],
    ],
  },
  { text: '', is: [] },
  { text: '"""', is: [] },
]
for (const c of challenges)
  test(`challenge: ${c.text || 'nothing'}`, () => {
    assert.deepEqual(
      parseChallenges(c.text).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)]),
      c.is,
    )
  })

test('a token is got where the challenge says, with the credential, and used until it ends', async () => {
  await using tokens = await fake((_request, response) => response.end('{"token":"t0ken","expires_in":300}'))
  await using server = await fake((request, response) => {
    if (request.headers.authorization === 'Bearer t0ken') return sendManifest(response)
    response.statusCode = 401
    response.setHeader(
      'www-authenticate',
      `Bearer realm="${tokens.url}/token?x=1",service="reg",scope="repository:evil:push"`,
    )
    response.end()
  })
  await withRegistry({}, async (registry) => {
    const name = { registry: server.host, repository: 'a/b' }
    const access = { plainHttp: true, credentials: { username: 'mary', password: 'pw' } }
    for (const reference of ['one', 'two'])
      assert.equal((await registry.manifest(name, reference, access, never)).digest, manifestDigest)
  })
  assert.equal(tokens.seen.length, 1)
  const [asked] = tokens.seen
  const query = new URL(asked!.url.slice(4), tokens.url).searchParams
  assert.deepEqual(Object.fromEntries(query), { x: '1', service: 'reg', scope: 'repository:a/b:pull', account: 'mary' })
  assert.equal(asked!.authorization, `Basic ${Buffer.from('mary:pw').toString('base64')}`)
  assert.deepEqual(
    server.seen.map(({ authorization }) => authorization),
    [undefined, 'Bearer t0ken', 'Bearer t0ken'],
  )
})

test('an identity token is exchanged by POST', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'bareboat-credentials-'))
  try {
    await using tokens = await fake((_request, response) => response.end('{"access_token":"t0ken"}'))
    await using server = await fake((request, response) => {
      if (request.headers.authorization === 'Bearer t0ken') return sendManifest(response)
      response.writeHead(401, { 'www-authenticate': `Bearer realm="${tokens.url}/token",service="reg"` }).end()
    })
    const path = join(directory, 'config.json')
    writeFileSync(path, JSON.stringify({ auths: { [`https://${server.host}/v2/`]: { identitytoken: 'refr3sh' } } }))
    await fetchManifest(server, { credentialsPath: path })
    const [asked] = tokens.seen
    assert.equal(asked?.url, 'POST /token')
    const form = Object.fromEntries(new URLSearchParams(asked!.body))
    assert.deepEqual(form, {
      service: 'reg',
      scope: 'repository:a/b:pull',
      grant_type: 'refresh_token',
      client_id: 'bareboat',
      refresh_token: 'refr3sh',
    })
  } finally {
    rmSync(directory, { recursive: true })
  }
})

test('a token server that refuses, redirects to nowhere or sends nonsense is named', async () => {
  const attempts: [Handler, string, RegExp][] = [
    [(_q, r) => r.writeHead(401).end('secret-echo'), 'unauthorized', /token server "127.*answers 401/],
    [(_q, r) => r.end('not json'), 'bad_peer', /sends no token/],
    [(_q, r) => r.end('{"token":"a\\nb"}'), 'bad_peer', /sends no token/],
    [(_q, r) => r.end(`{"token":"${'x'.repeat(300_000)}"}`), 'bad_peer', /longer than/],
  ]
  for (const [handler, code, message] of attempts) {
    await using tokens = await fake(handler)
    await using server = await fake((_q, response) =>
      response.writeHead(401, { 'www-authenticate': `Bearer realm="${tokens.url}/token"` }).end(),
    )
    await assert.rejects(fetchManifest(server), failsWith(code, message))
  }
  for (const realm of ['file:///etc/passwd', 'http://u:p@127.0.0.1/', 'nonsense', 'http://169.254.169.254/latest']) {
    await using server = await fake((_q, response) =>
      response.writeHead(401, { 'www-authenticate': `Bearer realm="${realm}"` }).end(),
    )
    await assert.rejects(fetchManifest(server), (error: AppError) => ['bad_peer', 'forbidden'].includes(error.code))
  }
})

test('a redirect to another origin loses the credential, one within the origin keeps it', async () => {
  await using store = await fake((_request, response) => response.end(blob))
  await using server = await fake((request, response) => {
    if (request.headers.authorization === undefined)
      return void response.writeHead(401, { 'www-authenticate': 'Basic realm="r"' }).end()
    if (request.url?.startsWith('/v2/')) return void response.writeHead(307, { location: '/here' }).end()
    response.writeHead(302, { location: `${store.url}/bytes` }).end()
  })
  await withRegistry({}, (registry) =>
    registry.blob(
      { registry: server.host, repository: 'a/b' },
      { digest: blobDigest, size: blob.length },
      { plainHttp: true, credentials: { username: 'u', password: 'p' } },
      never,
    ),
  )
  assert.deepEqual(
    server.seen.map(({ authorization }) => authorization !== undefined),
    [false, true, true],
  )
  assert.deepEqual(
    store.seen.map(({ authorization }) => authorization),
    [undefined],
  )
})

test("redirects do not go on for ever, nor to this network's own services", async () => {
  for (const location of [
    '/v2/a/b/manifests/tag',
    'http://169.254.169.254/x',
    'http://[fe80::1]/x',
    'file:///etc/passwd',
    'gopher://x/',
  ]) {
    await using server = await fake((_request, response) => void response.writeHead(302, { location }).end())
    await assert.rejects(fetchManifest(server), (error: AppError) => ['bad_peer', 'forbidden'].includes(error.code))
    assert.ok(server.seen.length <= 6)
  }
})

test('429 and 503 are tried again after the time that they ask for; at the end they are told', async () => {
  let failures = 2
  await using server = await fake((_request, response) => {
    if (failures-- > 0) return void response.writeHead(failures > 0 ? 429 : 503, { 'retry-after': '0' }).end()
    sendManifest(response)
  })
  await fetchManifest(server)
  assert.equal(server.seen.length, 3)
  failures = 100
  await assert.rejects(fetchManifest(server, { attempts: 3 }), failsWith('exhausted', /answers 429.*rate limit/))
  assert.equal(server.seen.length, 6)
})

test('what a manifest is said to be, it must be', async () => {
  await using server = await fake((request, response) => {
    if (request.url?.endsWith('lying')) response.setHeader('docker-content-digest', sha256(Buffer.from('x')))
    sendManifest(response, request.url?.endsWith('huge') ? Buffer.alloc((4 << 20) + 1) : manifest)
  })
  assert.equal(
    (await fetchManifest(server, {}, manifestDigest)).mediaType,
    'application/vnd.oci.image.manifest.v1+json',
  )
  await assert.rejects(
    fetchManifest(server, {}, sha256(Buffer.from('x'))),
    failsWith('invalid', /its digest is sha256:\w+, not/),
  )
  await assert.rejects(fetchManifest(server, {}, 'lying'), failsWith('invalid', /the registry calls it/))
  await assert.rejects(fetchManifest(server, {}, 'huge'), failsWith('bad_peer', /longer than 4194304 bytes/))
})

test('errors carry the code of the registry, printable', async () => {
  await using server = await fake((_request, response) =>
    response
      .writeHead(404)
      .end(JSON.stringify({ errors: [{ code: 'MANIFEST_UNKNOWN', message: 'manifest \u001b[31munknown' }] })),
  )
  await assert.rejects(
    fetchManifest(server),
    failsWith('not_found', /a\/b:tag": "127.* answers 404 MANIFEST_UNKNOWN \(manifest \?\[31munknown\)/),
  )
})

test('mirrors are tried in their order, then the registry', async () => {
  await using broken = await fake((_request, response) => response.writeHead(500).end())
  await using empty = await fake((_request, response) => response.writeHead(404).end())
  await using server = await fake((_request, response) => sendManifest(response))
  const mirrors = new Map([[server.host, [broken.url, `${empty.url}/prefix`]]])
  await fetchManifest(server, { mirrors, attempts: 2 })
  assert.deepEqual(
    [broken, empty, server].map(({ seen }) => seen.length),
    [2, 1, 1],
  )
  assert.equal(empty.seen[0]?.url, 'GET /prefix/v2/a/b/manifests/tag')
})

test('a layer goes on after each break, with Range or without', async () => {
  for (const knowsRange of [true, false]) {
    let breaks = 2
    await using server = await fake((request, response) => {
      const from = knowsRange ? Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0) : 0
      const headers: Record<string, string> = { 'content-length': String(blob.length - from) }
      if (from > 0) headers['content-range'] = `bytes ${from}-${blob.length - 1}/${blob.length}`
      response.writeHead(from > 0 ? 206 : 200, headers)
      if (breaks-- <= 0) return void response.end(blob.subarray(from))
      response.write(blob.subarray(from, Math.min(from + 150_000, blob.length)), () =>
        setTimeout(() => response.destroy(), 20),
      )
    })
    assert.ok((await fetchBlob(server)).equals(blob))
    assert.equal(server.seen.length, 3)
    assert.match(server.seen[2]!.range ?? '', /^bytes=\d{5,}-$/)
  }
})

test('a layer from an offset on, a short one, a long one, one of another range', async () => {
  const answer = (bytes: Uint8Array, head: Record<string, string> = {}, status = 200) =>
    fake((_request, response) => void response.writeHead(status, head).end(bytes))
  {
    await using server = await answer(blob.subarray(399_000), { 'content-range': 'bytes 399000-399999/400000' }, 206)
    assert.ok((await fetchBlob(server, 399_000)).equals(blob.subarray(399_000)))
  }
  {
    await using server = await answer(blob.subarray(0, 1000))
    await assert.rejects(fetchBlob(server), failsWith('invalid', /ends after 1000 bytes, its manifest says 400000/))
  }
  {
    await using server = await answer(Buffer.concat([blob, blob]))
    await assert.rejects(fetchBlob(server), failsWith('invalid', /longer than the 400000 bytes/))
  }
  {
    await using server = await answer(blob, { 'content-range': 'bytes 0-399999/400000' }, 206)
    await assert.rejects(fetchBlob(server, 5), failsWith('bad_peer', /others came/))
  }
})

test('an abort ends a request at once', async () => {
  await using server = await fake(() => {})
  await withRegistry({}, async (registry) => {
    const startedMs = performance.now()
    const name = { registry: server.host, repository: 'a/b' }
    await assert.rejects(registry.manifest(name, 'tag', { plainHttp: true }, AbortSignal.timeout(50)))
    assert.ok(performance.now() - startedMs < 10_000)
  })
})

test('a proxy on a unix socket carries everything', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'bareboat-egress-'))
  const path = join(directory, 'egress.sock')
  const sockets = new Set<Socket>()
  const tunnels: string[] = []
  const proxy = createServer((_request, response) => void response.writeHead(405).end())
  proxy.on('connect', (request: IncomingMessage, client: Socket) => {
    tunnels.push(request.url ?? '')
    const [host, port] = request.url!.split(':')
    const target = connect(Number(port), host, () => {
      client.write('HTTP/1.1 200 OK\r\n\r\n')
      client.pipe(target).pipe(client)
    })
    for (const socket of [client, target]) sockets.add(socket.on('error', () => {}))
  })
  await new Promise<void>((resolve) => proxy.listen(path, resolve))
  try {
    await using server = await fake((_request, response) => sendManifest(response))
    await fetchManifest(server, { proxy: { egress: path } })
    assert.deepEqual(tunnels, [server.host])
  } finally {
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => proxy.close(resolve))
    rmSync(directory, { recursive: true })
  }
})

test('HTTP_PROXY is asked for hosts that are not this machine', async () => {
  await using proxy = await fake((_request, response) => sendManifest(response))
  const config = { proxy: { httpProxy: proxy.url }, attempts: 1 }
  await withRegistry(config, (registry) =>
    registry.manifest({ registry: 'registry.example', repository: 'a' }, 'x', { plainHttp: true }, never),
  )
  assert.match(proxy.seen[0]?.url ?? '', /^GET http:\/\/registry\.example\/v2\/a\/manifests\/x$/)
  await using server = await fake((_request, response) => sendManifest(response))
  await fetchManifest(server, config)
  assert.equal(proxy.seen.length, 1)
})
