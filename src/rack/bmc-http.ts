/**
 * The HTTP power API of the Omni provider's development machines, one server per machine:
 * POST /poweron /poweroff /reboot /pxeboot, GET /status → {"PoweredOn":bool}.
 */
import { createServer } from 'node:http'
import { explain } from '../base/errors.ts'
import { listen } from './listening.ts'
import { NETWORK } from './plan.ts'
import type { ChassisCommand, VirtualMachine } from './machine.ts'

const ROUTES: Readonly<Record<string, readonly ChassisCommand[]>> = {
  '/poweron': ['power-on'],
  '/poweroff': ['power-off'],
  // A machine that is off is switched on by a reboot too, as the original does.
  '/reboot': ['power-off', 'power-on'],
  '/pxeboot': ['boot pxe'],
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
    const commands = Object.hasOwn(ROUTES, path) ? ROUTES[path] : undefined
    if (commands === undefined) return end(404, `Cannot find "${path}": there is no such command\n`)
    if (request.method !== 'POST') return end(501, `Cannot ${request.method} "${path}": it takes POST\n`)
    run(machine, commands).then(
      () => end(200),
      (cause: unknown) => end(500, `${explain(cause)}\n`),
    )
  })
  server.requestTimeout = 10_000
  server.maxConnections = 64
  return await listen(server, { host: machine.spec.bmcAddress, port: NETWORK.httpPort })
}

async function run(machine: VirtualMachine, commands: readonly ChassisCommand[]): Promise<void> {
  for (const command of commands) await machine.command(command, 'http')
}
