/** The client's parsers and its edges: addresses, streams and the frames of a channel. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defaultSocketPath, defaultTokenPath } from '../model/paths.ts'
import { parseMessage } from './channel.ts'
import { endpointFromEnvironment } from './endpoint.ts'
import { readEvents, readLines, readNdjson } from './lines.ts'
import { answerError, connectionError, target } from './transport.ts'

async function* bytes(...chunks: (string | Uint8Array)[]): AsyncGenerator<Uint8Array> {
  for (const chunk of chunks) yield typeof chunk === 'string' ? Buffer.from(chunk) : chunk
}

test('the socket is where the daemon and the client both look', () => {
  assert.equal(defaultSocketPath({ XDG_RUNTIME_DIR: '/run/user/0' }, 0), '/run/bareboat/api.sock')
  assert.equal(defaultSocketPath({ XDG_RUNTIME_DIR: '/run/user/7' }, 7), '/run/user/7/bareboat/api.sock')
  assert.equal(defaultSocketPath({ HOME: '/home/u' }, 7), '/home/u/.local/state/bareboat/api.sock')
  assert.equal(defaultTokenPath({ XDG_CONFIG_HOME: '', HOME: '/home/u' }), '/home/u/.config/bareboat/token')
})

test('the address comes from --host, then BAREBOAT_HOST; a token never from it', () => {
  assert.deepEqual(endpointFromEnvironment({ BAREBOAT_HOST: 'unix:///a' }, 1, 'unix:///b'), {
    kind: 'unix',
    path: '/b',
  })
  const tcp = endpointFromEnvironment({ BAREBOAT_HOST: 'http://h:1', BAREBOAT_TOKEN: 't' }, 1)
  assert.deepEqual(tcp, { kind: 'tcp', url: new URL('http://h:1'), token: 't' })
  for (const host of ['h:1', 'ftp://h', 'http://'])
    assert.throws(() => endpointFromEnvironment({}, 1, host), { code: 'invalid' }, host)
  assert.throws(
    () => endpointFromEnvironment({ BAREBOAT_TOKEN_FILE: '/nowhere' }, 1, 'http://h'),
    /Cannot read token file "\/nowhere": ENOENT/,
  )
})

test('a connection that fails says whether to start a server, or to look for the one that was there', () => {
  const said = (code: string) => connectionError(Object.assign(new Error(code), { code }), { kind: 'unix', path: '/s' })
  for (const [code, words] of [
    ['ENOENT', 'there is no such socket; start it with: bareboat server'],
    ['ECONNREFUSED', 'the connection was refused; start it with: bareboat server'],
    ['ECONNRESET', 'the connection broke before an answer; is it still running?'],
    ['EACCES', 'permission denied on its socket'],
  ] as const)
    assert.equal(said(code).message, `Cannot reach the bareboat server at "unix:///s": ${words}`)
})

test('lines end in LF, CRLF or CR, wherever the chunks end, and characters may be split', async () => {
  const euro = Buffer.from('€')
  const lines = await Array.fromAsync(
    readLines(bytes('a\r', '\nb\rc\n', euro.subarray(0, 1), euro.subarray(1), '\n', 'd')),
  )
  assert.deepEqual(lines, ['a', 'b', 'c', '€', 'd'])
  assert.deepEqual(await Array.fromAsync(readLines(bytes('x\r'))), ['x'])
})

test('server-sent events: several data lines, comments, ids, an unfinished last one', async () => {
  const text = ': hi\nid: 7\nevent: a\ndata: 1\ndata:2\n\nevent: empty\n\ndata\n\ndata: cut'
  assert.deepEqual(await Array.fromAsync(readEvents(bytes(text))), [
    { event: 'a', data: '1\n2', id: '7' },
    { event: 'message', data: '', id: '7' },
  ])
})

test('ndjson: blank lines are skipped, what is not JSON is an error', async () => {
  assert.deepEqual(await Array.fromAsync(readNdjson(bytes('{"a":1}\n\n2'))), [{ a: 1 }, 2])
  await assert.rejects(Array.fromAsync(readNdjson(bytes('{"a"\n'))), /Cannot read a line of a stream: not JSON/)
})

test('frames of a channel', () => {
  const control = (text: string) => parseMessage(Buffer.concat([Uint8Array.of(3), Buffer.from(text)]))
  assert.deepEqual(parseMessage(Uint8Array.of(1, 65)), { kind: 'stdout', bytes: Uint8Array.of(65) })
  assert.deepEqual(control('{"type":"exit","code":3}'), { kind: 'control', control: { type: 'exit', code: 3 } })
  for (const text of ['', 'null', '{"type":"exit"}', '{"type":"error","error":null}', '{"type":"x"}'])
    assert.throws(() => control(text), { name: 'WireError' }, text)
  for (const frame of [[], [0, 1], [4]]) assert.throws(() => parseMessage(Uint8Array.from(frame)), /is not a server's/)
})

test('errors keep the code of the server, and lists are repeated in a query', () => {
  const endpoint = { kind: 'unix', path: '/s' } as const
  assert.deepEqual(answerError(409, '{"error":{"code":"exhausted","message":"m"}}', endpoint).code, 'exhausted')
  assert.deepEqual(answerError(404, '{"error":{"code":"toString","message":"m"}}', endpoint).code, 'not_found')
  assert.deepEqual(answerError(418, '', endpoint).code, 'bad_peer')
  assert.equal(target('/x', { a: ['1', '2'], b: undefined, c: true, d: 'ä&' }), '/x?a=1&a=2&c=true&d=%C3%A4%26')
})
