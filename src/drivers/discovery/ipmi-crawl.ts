/** Reads what a BMC without Redfish tells of itself, over the one IPMI driver that there is. */
import type { Log } from '../../base/log.ts'
import type { IpmiCrawlTarget, IpmiFacts } from '../../services/discovery/ports.ts'
import { createIpmiBmc } from '../bmc/ipmi/ipmi-bmc.ts'

/**
 * What a BMC does not have is absent; that it is off, or lets the user do little, is no reason to do without the rest.
 * @throws {AppError} as BmcPort, `invalid` for a user or password that IPMI cannot carry
 */
export async function readIpmiFacts(target: IpmiCrawlTarget, log: Log, signal: AbortSignal): Promise<IpmiFacts> {
  await using bmc = createIpmiBmc({ ...target, log })
  const hardware = bmc.hardware!
  const power = await bmc.status(signal)
  const info = await hardware.info(signal)
  const missing: string[] = []
  const ifAny = async <T>(what: string, read: () => Promise<T[]>): Promise<T[]> => {
    try {
      return await read()
    } catch (error) {
      signal.throwIfAborted()
      log.debug('part of a BMC not read', { bmc: bmc.address, what, why: (error as Error).message })
      missing.push(what)
      return []
    }
  }
  const frus = await ifAny('FRU inventory', () => hardware.fru(signal))
  const sensors = await ifAny('sensors', () => hardware.sensors(signal))
  return { power, info, frus, sensors, missing }
}
