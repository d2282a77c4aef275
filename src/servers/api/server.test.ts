/** Who is answered, and what a request may cost. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { request, type IncomingHttpHeaders } from 'node:http'
import { connect, createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { quietLog } from '../../base/log.ts'
import { createApi, openApiDocument } from './app.ts'
import { createAttempts } from './attempts.ts'
import { limitBodies } from './body.ts'
import { newRouter, errorResponse } from './router.ts'
import { createApiServer } from './server.ts'

const TOKEN = 'a-token-of-more-than-32-characters-for-tests'
const folder = mkdtempSync(join(tmpdir(), 'bareboat-api-'))
const stop = new AbortController()
const added: unknown[] = []
let port = 0
let running: Promise<void>

// Only what is reached by these tests does anything; all else would throw.
const app = createApi({
  log: quietLog,
  version: 'test',
  isReady: () => true,
  machines: {
    add: (spec: unknown) => {
      added.push(spec)
      return Promise.resolve(spec)
    },
    list: () => Promise.resolve([]),
  },
} as unknown as Parameters<typeof createApi>[0])

before(async () => {
  port = await freePort()
  const tcp = { address: '127.0.0.1', port, token: TOKEN }
  const server = createApiServer({
    log: quietLog,
    app,
    socketPath: join(folder, 'api.sock'),
    tcp,
  } as unknown as Parameters<typeof createApiServer>[0])
  await new Promise<void>((ready, failed) => {
    running = server.run(stop.signal, ready)
    running.catch(failed)
  })
})
after(async () => {
  stop.abort()
  await running
  rmSync(folder, { recursive: true })
})

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const found = (server.address() as AddressInfo).port
  await new Promise((resolve) => server.close(resolve))
  return found
}

interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
}

function ask(
  method: string,
  path: string,
  { headers = {}, body, from = '127.0.0.1' }: { headers?: Record<string, string>; body?: string; from?: string } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request(
      { host: '127.0.0.1', port, method, path, headers, localAddress: from, agent: false },
      (response) => {
        let text = ''
        response.on('data', (part: Buffer) => (text += part.toString()))
        response.on('end', () => resolve({ status: response.statusCode!, headers: response.headers, text }))
      },
    )
    asked.on('error', reject)
    asked.end(body)
  })
}

const good = { authorization: `Bearer ${TOKEN}` }
const json = { ...good, 'content-type': 'application/json' }

test('P13: over TCP no route of the OpenAPI document answers without a token, but health does', async () => {
  const { paths = {} } = openApiDocument(app, 'test')
  const routes = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods ?? {}).map((method) => [method.toUpperCase(), path.replaceAll(/\{\w+\}/g, 'x')] as const),
  )
  assert.ok(routes.length > 25, `${routes.length} routes`)
  const hidden = [
    ['GET', '/v1/openapi.json'],
    ['GET', '/v1/events'],
    ['GET', '/v1/containers/x/logs'],
    ['GET', '/v1/containers/x/archive?path=/etc'],
    ['PUT', '/v1/containers/x/archive?path=/etc'],
    ['POST', '/v1/images/import'],
    ['GET', '/v1/machines/x/console/log'],
    ['GET', '/healthz?x'],
    ['GET', '//healthz'],
    ['GET', '/readyz/../v1/machines'],
  ] as const
  const systemRoutes = new Set(['/healthz', '/readyz'])
  for (const [method, path] of [...routes, ...hidden]) {
    if (systemRoutes.has(path)) continue
    const answer = await ask(method, path)
    assert.equal(answer.status, 401, `${method} ${path}`)
    if (method !== 'HEAD') assert.match(answer.text, /"unauthorized"/)
  }
  for (const path of systemRoutes) assert.equal((await ask('GET', path)).status, 200)
  assert.equal((await ask('GET', '/v1/machines', { headers: good })).status, 200)
})

test('channels are refused without a token, and to pages of browsers', async () => {
  const upgrade = (headers: string): Promise<string> =>
    new Promise((resolve) => {
      const socket = connect(port, '127.0.0.2'.replace('.2', '.1'))
      socket.write(
        `GET /v1/containers/x/exec HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n${headers}\r\n`,
      )
      socket.once('data', (bytes) => {
        resolve(bytes.toString().split('\r\n')[0]!)
        socket.destroy()
      })
    })
  assert.equal(await upgrade(''), 'HTTP/1.1 401 Unauthorized')
  assert.equal(await upgrade(`Authorization: Bearer ${TOKEN}\r\nOrigin: http://evil\r\n`), 'HTTP/1.1 401 Unauthorized')
  assert.equal(await upgrade(`Authorization: Bearer ${TOKEN}\r\n`), 'HTTP/1.1 101 Switching Protocols')
})

test('P14: after five wrong tokens an address waits, and others do not', async () => {
  const wrong = { authorization: 'Bearer wrong' }
  for (let n = 0; n < 5; n++)
    assert.equal((await ask('GET', '/v1/machines', { headers: wrong, from: '127.0.0.9' })).status, 401)
  const limited = await ask('GET', '/v1/machines', { headers: good, from: '127.0.0.9' })
  assert.equal(limited.status, 429)
  assert.ok(Number(limited.headers['retry-after']) > 50)
  assert.equal((await ask('GET', '/v1/machines', { headers: good })).status, 200)
})

test('attempts are forgotten after a minute, and their number is bounded', () => {
  let at = 0
  const attempts = createAttempts(() => at)
  for (let n = 0; n < 5; n++) attempts.failed('a')
  assert.equal(attempts.waitSeconds('a'), 60)
  at = 60_000
  assert.equal(attempts.waitSeconds('a'), 0)
  for (let n = 0; n < 5; n++) attempts.failed('a')
  for (let n = 0; n < 10_000; n++) attempts.failed(`b${n}`)
  assert.equal(attempts.waitSeconds('a'), 0)
})

const bodies = [
  { name: 'no JSON', body: '{"name":', error: /it is not JSON/ },
  { name: 'empty', body: '', error: /it is not JSON/ },
  { name: 'deep', body: `${'['.repeat(200_000)}${']'.repeat(200_000)}`, error: /nested deeper than 32/ },
  { name: 'large', body: `{"name":"${'x'.repeat(1 << 20)}"}`, error: /over 1048576 bytes/ },
  {
    name: 'brackets in a string',
    body: JSON.stringify({ name: '['.repeat(200) + '\\"' }),
    error: /name is not a name/,
  },
  {
    name: 'a stranger`s key',
    body: '{"__proto__":{"a":1},"name":"m","macs":["52:54:00:00:00:01"]}',
    error: /nrecognized key|__proto__/,
  },
  { name: 'a wrong field', body: '{"name":"m","macs":[]}', error: /macs/ },
]
for (const c of bodies)
  test(`a request with JSON that is ${c.name} is refused in words`, async () => {
    const count = added.length
    const answer = await ask('POST', '/v1/machines', { headers: json, body: c.body })
    assert.equal(answer.status, 422, answer.text)
    assert.match(answer.text, c.error)
    assert.equal(added.length, count)
  })

test('JSON under another content type is not taken', async () => {
  const body = '{"name":"m","macs":["52:54:00:00:00:01"]}'
  const count = added.length
  const answer = await ask('POST', '/v1/machines', { headers: { ...good, 'content-type': 'text/plain' }, body })
  assert.equal(answer.status, 422, answer.text)
  assert.equal(added.length, count)
})

test('a request that says its length twice, or length and chunks, is refused', async () => {
  for (const smuggled of [
    'Content-Length: 5\r\nContent-Length: 6',
    'Content-Length: 5\r\nTransfer-Encoding: chunked',
    'Transfer-Encoding: xchunked',
  ]) {
    const line = await new Promise<string>((resolve) => {
      const socket = connect(port, '127.0.0.1')
      socket.write(
        `POST /v1/machines HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${TOKEN}\r\n${smuggled}\r\n\r\nhello`,
      )
      socket.once('data', (bytes) => {
        resolve(bytes.toString().split('\r\n')[0]!)
        socket.destroy()
      })
    })
    assert.equal(line, 'HTTP/1.1 400 Bad Request', smuggled)
  }
  const huge = await ask('GET', '/v1/machines', { headers: { ...good, 'x-large': 'x'.repeat(70_000) } })
  assert.equal(huge.status, 431)
})

test('a body that does not come in time is given up', async () => {
  const slow = newRouter()
  slow.onError((error) => errorResponse(error))
  slow.use('*', limitBodies({ deadlineMs: 30 }))
  slow.post('/', (c) => c.text('read'))
  const never = new ReadableStream({ start() {} })
  const init = { method: 'POST', body: never, duplex: 'half', headers: { 'content-type': 'application/json' } }
  const answer = await slow.request('/', init as RequestInit)
  assert.equal(answer.status, 504)
})
