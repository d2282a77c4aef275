/** Machines as they are reached without a BMC: whether they are on the network, and off by our agent. */
import { fromHex } from '../../base/bytes.ts'
import { AppError } from '../../base/errors.ts'
import { untilAborted } from '../../base/task.ts'
import { publicKeyBlob } from '../../formats/ssh/keys.ts'
import { AGENT_PORT } from '../boot/spec.ts'
import type { Boot, BootStore } from '../boot/ports.ts'
import type { StoredMachine } from '../machines/ports.ts'
import type { SystemPort } from '../power/ports.ts'
import type { PowerState } from '../power/power-port.ts'
import type { GuestAddress, GuestPort } from './ports.ts'

export interface SystemDeps {
  readonly guest: GuestPort
  readonly boots: Pick<BootStore, 'openOf'>
  readonly leasedIp: (macs: readonly string[]) => string | undefined
  readonly presenceOf: (
    target: { readonly ip: string; readonly port: number },
    macs: readonly string[],
    signal?: AbortSignal,
  ) => Promise<PowerState>
}

/**
 * The discard service, which nobody offers: a system that is on says so with a reset, and writes nothing down. The agent's own port would
 * make it log each look.
 */
const PRESENCE_PORT = 9
/** How long an agent may take for the command. */
const AGENT_MS = 20_000

export function createSystem({ guest, boots, leasedIp, presenceOf }: SystemDeps): SystemPort {
  return {
    async presence(machine, signal) {
      const boot = await boots.openOf(machine.id)
      const ip = boot?.claimedBy ?? machine.ip ?? leasedIp(machine.macs)
      return ip === undefined ? 'unknown' : presenceOf({ ip, port: PRESENCE_PORT }, machine.macs, signal)
    },

    async powerOff(machine, signal) {
      const { ip, boot } = claimed(machine, await boots.openOf(machine.id))
      const address = {
        ip,
        port: AGENT_PORT,
        hostKey: publicKeyBlob(fromHex(boot.hostKeyPublic)),
        clientKey: boot.clientKey,
      }
      const deadline = AbortSignal.timeout(AGENT_MS)
      const end = signal ? AbortSignal.any([signal, deadline]) : deadline
      const code = await untilAborted(command(guest, address, end), end).catch((cause: unknown) => {
        if (!deadline.aborted || signal?.aborted) throw cause
        throw new AppError('unreachable', `Cannot reach the agent on "${machine.name}" in ${AGENT_MS / 1000} s`)
      })
      // A system that goes down at once takes the answer with it.
      if (code !== 0 && code !== undefined)
        throw new AppError('bad_peer', `Cannot switch off "${machine.name}": its agent ended with status ${code}`)
    },
  }
}

/** @returns the exit status, or undefined when the connection went away first */
async function command(guest: GuestPort, address: GuestAddress, signal: AbortSignal): Promise<number | undefined> {
  await using session = await guest.connect(address, signal)
  await using process = await session.run(['power-off'])
  process.endInput()
  return await process.exit
}

function claimed({ name }: StoredMachine, boot: Boot | undefined): { ip: string; boot: Boot } {
  if (boot?.claimedBy !== undefined) return { ip: boot.claimedBy, boot }
  throw new AppError('unreachable', `Cannot reach an agent on "${name}": nothing that we booted runs on it`)
}
