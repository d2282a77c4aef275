import assert from 'node:assert/strict'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { AppError } from '../../base/errors.ts'
import { NoAnswer, openWeb, type WebExchange, type WebOptions } from './web.ts'

async function rig(answer: RequestListener, options: Partial<WebOptions> = {}) {
  const stack = new AsyncDisposableStack()
  const asked: { line: string; atMs: number }[] = []
  const server = createServer((request, response) => {
    asked.push({ line: `${request.method} ${request.url}`, atMs: performance.now() })
    answer(request, response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  stack.defer(() => new Promise<void>((resolve) => void server.close(() => resolve())))
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const seen: WebExchange[] = []
  const observe = (exchange: WebExchange) => void seen.push(exchange)
  const web = stack.use(openWeb({ origin, peer: 'BMC "x"', timeoutMs: 2000, observe, ...options }))
  return { web, asked, seen, origin, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

const redirects: RequestListener = ({ url }, response) => {
  if (url === '/a') response.writeHead(302, { location: '/b' }).end()
  else if (url === '/away') response.writeHead(307, { location: 'http://192.0.2.1/b' }).end()
  else if (url === '/round') response.writeHead(301, { location: '/round' }).end()
  else response.end('here')
}

test('openWeb: a redirect is an answer, or followed on the same origin by a GET, three times at most', async () => {
  await using plain = await rig(redirects)
  assert.equal((await plain.web.ask({ method: 'GET', path: '/a' })).status, 302)
  await using following = await rig(redirects, { followsRedirects: true })
  assert.equal(Buffer.from((await following.web.ask({ method: 'GET', path: '/a' })).bytes).toString(), 'here')
  const lines = () => following.asked.map(({ line }) => line)
  assert.deepEqual(lines(), ['GET /a', 'GET /b'])
  for (const path of ['/away', '/round'])
    await assert.rejects(following.web.ask({ method: 'GET', path }), { code: 'bad_peer', message: /it redirects \(30/ })
  assert.equal(lines().filter((line) => line === 'GET /round').length, 4)
  await assert.rejects(following.web.ask({ method: 'POST', path: '/a' }), NoAnswer)
})

test('openWeb: the observer sees each request with its answer, or with the error', async () => {
  const dropsFirst = { times: 1 }
  await using it = await rig((request, response) => {
    if (dropsFirst.times-- > 0) request.socket.destroy()
    else response.setHeader('x-twice', ['1', '2']).end('pong')
  })
  const headers = { authorization: 'Basic canary' }
  const answer = await it.web.ask({ method: 'GET', path: '/ping?token=canary', headers, isSafe: true })
  assert.deepEqual(answer.headers['x-twice'], ['1', '2'])
  const [broken, good] = it.seen
  assert.equal(it.seen.length, 2)
  assert.ok(broken?.error instanceof NoAnswer && good?.error === undefined)
  assert.doesNotMatch(broken.error.message, /canary/)
  assert.equal(good?.origin, it.origin)
  assert.deepEqual(good.request.headers, headers)
  assert.equal(good.answer, answer)
  assert.ok(good.tookMs >= 0)
})

test('openWeb: a request that changes something is sent once, one that was not sent is no NoAnswer', async () => {
  await using it = await rig((request) => void request.socket.destroy())
  await assert.rejects(it.web.ask({ method: 'POST', path: '/on' }), { code: 'unreachable', message: /broke before/ })
  assert.equal(it.asked.length, 1)
  await using gone = openWeb({ origin: 'http://127.0.0.1:1', peer: 'BMC "x"', timeoutMs: 2000 })
  await assert.rejects(
    gone.ask({ method: 'POST', path: '/on' }),
    (error) => error instanceof AppError && !(error instanceof NoAnswer) && error.code === 'unreachable',
  )
})

test('openWeb: requests keep their pace, and an answer that is too long or too late has an end', async () => {
  const big: RequestListener = ({ url }, response) => {
    if (url === '/big') response.end(Buffer.alloc(2000))
    else if (url === '/late') response.write('begun')
    else response.end()
  }
  await using it = await rig(big, { paceMs: 60, maxAnswerBytes: 1000 })
  for (let n = 0; n < 3; n++) await it.web.ask({ method: 'GET', path: '/' })
  const gaps = it.asked.slice(1).map(({ atMs }, i) => atMs - it.asked[i]!.atMs)
  for (const gap of gaps) assert.ok(gap >= 55, `${gap} ms`)
  await assert.rejects(it.web.ask({ method: 'GET', path: '/big' }), { code: 'bad_peer', message: /longer than 1000 b/ })
  await assert.rejects(it.web.ask({ method: 'GET', path: '/late', timeoutMs: 50 }), {
    code: 'timeout',
    message: /no answer in 50 ms/,
  })
  const stopped = new AbortController()
  const asking = it.web.ask({ method: 'GET', path: '/late' }, stopped.signal)
  setTimeout(() => stopped.abort(new Error('enough')), 150)
  await assert.rejects(asking, /enough/)
})
