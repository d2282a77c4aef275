/**
 * Sends what is in a file, one line of hexadecimal each, to a server: `noise.ts udp|tcp HOST PORT FILE`. By TCP each line is a connection
 * that is given up after a moment.
 */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** Datagrams in one go; more, and the kernel drops them. */
const BURST = 50
const CONNECTIONS = 64
const PATIENCE_MS = 10

const [transport, host, port, file] = process.argv.slice(2) as [string, string, string, string]
const lines = readFileSync(file, 'latin1').split('\n')
const noise = lines.map((line) => Buffer.from(line, 'hex')).values()

if (transport === 'udp') {
  const socket = createSocket('udp4')
  socket.connect(Number(port), host)
  await once(socket, 'connect')
  // Whoever answers that nobody listens there is not our concern.
  socket.on('error', () => {})
  let count = 0
  for (const bytes of noise) {
    socket.send(bytes)
    if (++count % BURST === 0) await sleep(3)
  }
  await sleep(100)
  socket.close()
} else {
  await Promise.all(
    Array.from({ length: CONNECTIONS }, async () => {
      for (const bytes of noise) await speak(bytes)
    }),
  )
}

function speak(bytes: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(Number(port), host)
    const timer = setTimeout(() => socket.destroy(), PATIENCE_MS)
    socket.on('error', () => {})
    // A server that speaks first wants to hear what comes then.
    socket.resume()
    socket.once('close', () => {
      clearTimeout(timer)
      resolve()
    })
    socket.write(bytes)
  })
}
