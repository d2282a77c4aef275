/** Starting a machine without a container anew: by its agent where it is in the agent now, else by its BMC. */
import { AppError } from '../../base/errors.ts'
import type { StoredMachine } from '../machines/ports.ts'
import type { PowerService } from '../power/power.ts'
import type { AgentsService } from './agents.ts'

export interface RebootDeps {
  readonly agents: Pick<AgentsService, 'reboot'>
  readonly power: Pick<PowerService, 'status' | 'set' | 'setBoot'>
}

/**
 * @returns who does it: an agent that was told does it within some seconds, a BMC has done it
 * @throws {AppError} conflict while a container has the machine, or it is off; invalid where nobody can do it; as `power.set`
 */
export async function reboot({ agents, power }: RebootDeps, machine: StoredMachine): Promise<'agent' | 'bmc'> {
  const { id, name, containerId, bmc } = machine
  if (containerId !== undefined)
    throw new AppError(
      'conflict',
      `Cannot reboot machine "${name}": it runs container ${containerId.slice(0, 12)}; start that anew with: bareboat restart ${containerId.slice(0, 12)}`,
    )
  if (agents.reboot(id)) return 'agent'
  if (bmc === undefined)
    throw new AppError(
      'invalid',
      `Cannot reboot machine "${name}": it is not in the agent and has no BMC; set one with: bareboat machine set ${name} --bmc URL`,
    )
  if ((await power.status(machine)) === 'off')
    throw new AppError(
      'conflict',
      `Cannot reboot machine "${name}": it is off; switch it on with: bareboat machine power ${name} on`,
    )
  // As for a container: what it boots is for the server to say.
  await power.setBoot(machine, { device: 'pxe', firmware: machine.firmware ?? 'uefi', once: true })
  await power.set(machine, 'cycle')
  return 'bmc'
}
