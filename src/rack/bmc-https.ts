/** The web servers of one machine's BMCs: Redfish and PiKVM on one port, as a PiKVM has both, and AMT on its own. */
import type { Log } from '../base/log.ts'
import { createAmtService } from './amt/service.ts'
import type { VirtualMachine } from './machine.ts'
import { createPikvmService } from './pikvm/service.ts'
import { openStorage } from './pikvm/storage.ts'
import { NETWORK } from './plan.ts'
import { createRedfishService } from './redfish/service.ts'
import { serveWeb, type WebHandler, type WebSockets } from './web.ts'

/** Listens on its BMC's address until disposed. */
export async function serveHttpsBmcs(machine: VirtualMachine, password: string, log: Log): Promise<AsyncDisposable> {
  await using stack = new AsyncDisposableStack()
  const login = { machine, user: NETWORK.bmcUser, password }
  const redfish = createRedfishService({ ...login, now: Date.now })
  const pikvm = createPikvmService({ ...login, storage: openStorage(machine.paths.pikvmDir) })
  const both: WebHandler = async (request) => {
    if (request.path.startsWith('/redfish')) return await redfish.answer(request)
    if (request.path.startsWith('/api/')) return await pikvm(request)
    return { status: 404 }
  }
  const serve = async (port: number, handler: WebHandler, sockets?: WebSockets): Promise<void> => {
    const where = { host: machine.spec.bmcAddress, port }
    stack.use(await serveWeb(where, machine.paths.bmcTls, handler, log.with({ machine: machine.spec.name }), sockets))
  }
  await serve(NETWORK.httpsPort, both, {
    judge: (request) => redfish.judgeConsole(request),
    attach: (stream) => machine.serial.attach(stream),
  })
  await serve(NETWORK.amtPort, createAmtService(login))
  return stack.move()
}
