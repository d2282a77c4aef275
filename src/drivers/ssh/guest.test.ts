/** The way to the agent against a real SSH server that is, or is not, the one of this boot. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import ssh2, { type AuthContext } from 'ssh2'
import { AppError } from '../../base/errors.ts'
import { quietLog } from '../../base/log.ts'
import { generateKey, opensshPrivateKey, publicKeyBlob } from '../../formats/ssh/keys.ts'
import { createGuestPort } from './guest.ts'

const ours = generateKey()
const client = generateKey()
const never = new AbortController().signal

/** An SSH server with this host key. @returns where it is, and what was said to it in order to get in */
async function serve(t: TestContext, hostKey = generateKey()) {
  const said: AuthContext['method'][] = []
  const server = new ssh2.Server({ hostKeys: [opensshPrivateKey(hostKey)] }, (connection) => {
    connection.on('authentication', (context) => {
      said.push(context.method)
      if (context.method === 'publickey') context.accept()
      else context.reject(['publickey'])
    })
    connection.on('error', () => {})
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  return { port: (server.address() as AddressInfo).port, said }
}

function addressAt(port: number) {
  return { ip: '127.0.0.1', port, hostKey: publicKeyBlob(ours.publicKey), clientKey: opensshPrivateKey(client) }
}

test('the agent with the key of this boot is spoken to', async (t) => {
  const { port, said } = await serve(t, ours)
  await using _session = await createGuestPort(quietLog).connect(addressAt(port), never)
  assert.ok(said.includes('publickey'))
})

test('an agent with any other key is refused before anything is said to it', async (t) => {
  const { port, said } = await serve(t)
  await assert.rejects(createGuestPort(quietLog).connect(addressAt(port), never), (error: AppError) => {
    assert.equal(error.code, 'bad_peer')
    assert.match(error.message, /its host key is not the one made for this boot/)
    return true
  })
  assert.deepEqual(said, [])
})

test('a man in the middle who takes the strict key exchange away is noticed (Terrapin, CVE-2023-48795)', async (t) => {
  const { port } = await serve(t, ours)
  // The marker is changed in flight; the exchange that both sides sign is then not the one that they saw.
  const middle = createServer((socket: Socket) => {
    const to = connect(port, '127.0.0.1')
    socket.on('data', (bytes) => {
      const text = bytes.toString('latin1').replace('kex-strict-c-v00', 'kex-loose!-c-v00')
      to.write(Buffer.from(text, 'latin1'))
    })
    to.on('data', (bytes) => socket.write(bytes))
    for (const [one, other] of [
      [socket, to],
      [to, socket],
    ] as const) {
      one.on('error', () => other.destroy())
      one.on('close', () => other.destroy())
    }
  })
  middle.listen(0, '127.0.0.1')
  await once(middle, 'listening')
  t.after(() => middle.close())
  const address = addressAt((middle.address() as AddressInfo).port)
  await assert.rejects(
    createGuestPort(quietLog).connect(address, never),
    (error: AppError) => error.code === 'unreachable',
  )
})
