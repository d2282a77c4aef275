/** The web server of one machine's BMC: Redfish below /redfish. */
import type { Log } from '../base/log.ts'
import type { VirtualMachine } from './machine.ts'
import { NETWORK } from './plan.ts'
import { createRedfishService } from './redfish/service.ts'
import { serveWeb, type WebHandler } from './web.ts'

/** Listens on its BMC's address until disposed. */
export async function serveHttpsBmc(machine: VirtualMachine, password: string, log: Log): Promise<AsyncDisposable> {
  const redfish = createRedfishService({ machine, user: NETWORK.bmcUser, password, now: Date.now })
  const handler: WebHandler = async (request) => {
    if (request.path.startsWith('/redfish')) return redfish(request)
    return { status: 404 }
  }
  const where = { host: machine.spec.bmcAddress, port: NETWORK.httpsPort }
  return await serveWeb(where, machine.paths.bmcTls, handler, log.with({ machine: machine.spec.name }))
}
