import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { text } from 'node:stream/consumers'
import { after, before, test } from 'node:test'
import { serveEgress } from './egress.ts'
import { listen } from './listening.ts'

const dir = mkdtempSync(join(tmpdir(), 'egress-'))
const socketPath = join(dir, 'egress.sock')
const stack = new AsyncDisposableStack()
let origin = ''

before(async () => {
  const server = createServer((incoming, response) => {
    const seen = {
      method: incoming.method,
      url: incoming.url,
      host: incoming.headers.host,
      connection: incoming.headers['proxy-connection'],
    }
    void text(incoming).then((body) => {
      response.setHeader('set-cookie', ['a=1', 'b=2'])
      response.end(JSON.stringify({ ...seen, body }))
    })
  })
  stack.use(await listen(server, { host: '127.0.0.1', port: 0 }))
  origin = `127.0.0.1:${(server.address() as AddressInfo).port}`
  stack.use(await serveEgress(socketPath))
})
after(async () => {
  await stack.disposeAsync()
  rmSync(dir, { recursive: true })
})

async function throughProxy(path: string, body = ''): Promise<{ status: number; cookies: number; body: string }> {
  const headers = { 'proxy-connection': 'keep-alive', host: 'somewhere.else' }
  const sent = request({ socketPath, path, method: body === '' ? 'GET' : 'POST', headers, agent: false })
  sent.end(body)
  const [response] = (await once(sent, 'response')) as [import('node:http').IncomingMessage]
  return {
    status: response.statusCode!,
    cookies: response.headers['set-cookie']?.length ?? 0,
    body: await text(response),
  }
}

test('egress: forwards a request with an absolute URI and its body', async () => {
  const { status, cookies, body } = await throughProxy(`http://${origin}/v2/?q=1`, 'hello')
  assert.deepEqual([status, cookies], [200, 2])
  assert.deepEqual(JSON.parse(body), { method: 'POST', url: '/v2/?q=1', host: origin, body: 'hello' })
})

const refusals = [
  { path: '/v2/', status: 400 },
  { path: 'https://127.0.0.1/', status: 400 },
  { path: 'http://127.0.0.1:1/', status: 502 },
]
for (const { path, status } of refusals)
  test(`egress: answers ${status} for ${path}`, async () => {
    assert.equal((await throughProxy(path)).status, status)
  })

async function connect(target: string): Promise<{ status: number; socket: Duplex }> {
  const sent = request({ socketPath, path: target, method: 'CONNECT', agent: false })
  sent.end()
  const [response, socket] = (await once(sent, 'connect')) as [import('node:http').IncomingMessage, Duplex]
  return { status: response.statusCode!, socket }
}

test('egress: CONNECT makes a tunnel', async () => {
  const { status, socket } = await connect(origin)
  assert.equal(status, 200)
  socket.write('GET /inner HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n')
  assert.match(await text(socket), /"url":"\/inner"/)
})

for (const [target, status] of [
  ['127.0.0.1:1', 502],
  ['nonsense', 400],
  ['127.0.0.1:99999', 400],
] as const)
  test(`egress: CONNECT ${target} is answered ${status}`, async () => {
    const { status: got, socket } = await connect(target)
    socket.destroy()
    assert.equal(got, status)
  })

test('egress: the socket is for its owner only', () => {
  assert.equal(statSync(socketPath).mode & 0o077, 0)
})
