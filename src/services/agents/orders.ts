/** What a machine in the agent is to do, and why, in the words that its console shows. */
import type { StoredMachine } from '../machines/ports.ts'
import type { AgentSession } from './sessions.ts'

export interface Order {
  readonly order: 'wait' | 'reboot' | 'power-off'
  readonly why: string
}

/** @param machine that its report belongs to; undefined where that is none, or was removed */
export function orderFor(session: AgentSession, machine: StoredMachine | undefined): Order {
  if (session.mustReboot === true) {
    session.mustReboot = false
    return { order: 'reboot', why: 'somebody asked for it' }
  }
  if (!machine) {
    return session.machineId === undefined
      ? { order: 'wait', why: `it says that it is a machine that is known already: add its MAC ${session.mac} to that` }
      : { order: 'reboot', why: 'it was removed from the server' }
  }
  const { name, admission, cordoned, bmc } = machine
  if (admission === 'rejected') return { order: 'power-off', why: `${name} is rejected` }
  if (cordoned) return { order: 'wait', why: `${name} is cordoned: bareboat machine uncordon ${name}` }
  if (admission === 'discovered') return { order: 'wait', why: `to be accepted: bareboat machine accept ${name}` }
  return bmc === undefined
    ? { order: 'wait', why: `${name} is accepted and needs a BMC: bareboat machine set ${name} --bmc URL` }
    : { order: 'power-off', why: `${name} is accepted: it is switched on when it has a container to run` }
}
