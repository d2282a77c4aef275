/**
 * The HTTP power API of the Omni provider's development machines, one server per machine:
 * POST /poweron /poweroff /reboot /pxeboot, GET /status → {"PoweredOn":bool}.
 */
import { createServer } from 'node:http'
import { explain } from '../base/errors.ts'
import { listen } from './listening.ts'
import { NETWORK } from './plan.ts'
import type { ChassisCommand, VirtualMachine } from './machine.ts'

const ROUTES: Readonly<Record<string, ChassisCommand>> = {
  '/poweron': 'power-on',
  '/poweroff': 'power-off',
  '/reboot': 'reset',
  '/pxeboot': 'boot pxe',
}

/** Answers for one machine. Listens on its BMC's address until disposed. */
export async function serveHttpBmc(machine: VirtualMachine): Promise<AsyncDisposable> {
  const server = createServer((request, response) => {
    const path = (request.url ?? '').split('?', 1)[0]!
    request.resume()
    const end = (status: number, body = ''): void => {
      response.writeHead(status, { 'content-type': body.startsWith('{') ? 'application/json' : 'text/plain' }).end(body)
    }
    if (path === '/status') {
      if (request.method !== 'GET') return end(501, `Cannot ${request.method} "/status": it takes GET\n`)
      return end(200, JSON.stringify({ PoweredOn: machine.isOn }))
    }
    const command = Object.hasOwn(ROUTES, path) ? ROUTES[path] : undefined
    if (command === undefined) return end(404, `Cannot find "${path}": there is no such command\n`)
    if (request.method !== 'POST') return end(501, `Cannot ${request.method} "${path}": it takes POST\n`)
    machine.command(command, 'http').then(
      () => end(200),
      (cause: unknown) => end(500, `${explain(cause)}\n`),
    )
  })
  server.requestTimeout = 10_000
  server.maxConnections = 64
  return await listen(server, { host: machine.spec.bmcAddress, port: NETWORK.httpPort })
}
