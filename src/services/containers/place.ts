/** On which machine a container goes. */
import { AppError } from '../../base/errors.ts'
import type { RunOptions } from '../../model/container.ts'
import { machineCalled, matchesRank } from '../../model/machine.ts'
import type { RootfsKind } from '../../model/rootfs.ts'
import { closedBecause } from '../machines/admission.ts'
import type { StoredMachine } from '../machines/ports.ts'

/**
 * The machines that fit what was asked for and are free, lowest rank first, then by name.
 * @param arch the architecture that the image needs, where it is known already
 * @throws {AppError} not_found, invalid or exhausted, saying for the nearest machines why they do not do
 */
export function candidates(machines: readonly StoredMachine[], options: RunOptions, arch?: string): StoredMachine[] {
  const named = options.machine === undefined ? undefined : machineCalled(machines, options.machine)
  if (options.machine !== undefined && !named)
    throw new AppError('not_found', `Cannot run on machine "${options.machine}": no such machine`)
  const verdicts = (named ? [named] : machines).map((machine) => ({ machine, why: whyNot(machine, options, arch) }))
  const free = verdicts.filter(({ why }) => why === undefined).map(({ machine }) => machine)
  if (free.length > 0) return free.toSorted((a, b) => a.rank - b.rank || a.name.localeCompare(b.name))
  if (verdicts.length === 0)
    throw new AppError(
      'exhausted',
      `Cannot run "${options.image}": no machine is known; add one with: bareboat machine add`,
    )
  const reasons = verdicts.slice(0, 5).map(({ machine, why }) => `${machine.name} ${why}`)
  const more = verdicts.length > 5 ? `, and ${verdicts.length - 5} more` : ''
  throw new AppError('exhausted', `Cannot run "${options.image}": no machine is free (${reasons.join('; ')}${more})`)
}

/** Why a machine cannot take the container, as the end of a sentence; undefined when it can. */
function whyNot(machine: StoredMachine, options: RunOptions, arch: string | undefined): string | undefined {
  const closed = closedBecause(machine)
  if (closed !== undefined) return closed
  if (options.group !== undefined && !machine.groups.includes(options.group))
    return `is not in group "${options.group}"`
  if (!matchesRank(machine.rank, options.rank)) return `has rank ${machine.rank}`
  if (arch !== undefined && arch !== machine.arch) return `is ${machine.arch}, the image is for ${arch}`
  if (machine.bmc === undefined) return 'has no BMC, so that it cannot be switched on'
  if (machine.containerId !== undefined) return `runs container ${machine.containerId.slice(0, 12)}`
  return undefined
}

/** What kernel, initrd and the workload's own start need beside the root file system, MiB. */
const OVERHEAD_MIB = 256

/**
 * @param kind of the root file system
 * @param rootBytes what the root takes of the machine's memory
 * @throws {AppError} exhausted when a machine's memory cannot hold it
 */
export function refuseTooSmall(machine: StoredMachine, image: string, kind: RootfsKind, rootBytes: number): void {
  if (machine.memoryMiB === undefined) return
  const neededMiB = Math.ceil(rootBytes / 2 ** 20) + OVERHEAD_MIB
  if (neededMiB <= machine.memoryMiB) return
  const help = rootBytes > 0 ? '; --rootfs lazy needs no room for the image' : ''
  throw new AppError(
    'exhausted',
    `Cannot run "${image}" on "${machine.name}" with --rootfs ${kind}: it needs ${neededMiB} MiB and the machine has ${machine.memoryMiB} MiB${help}`,
  )
}
