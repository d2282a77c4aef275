/** Static discovery: a nodes file held against what is known, and what it changes there. */
import { setImmediate } from 'node:timers/promises'
import type { Now } from '../../base/clock.ts'
import { AppError, WireError } from '../../base/errors.ts'
import type { NodesFile } from '../../formats/nodes/nodes.ts'
import { nodesText } from '../../formats/nodes/write.ts'
import type { StaticReport } from '../../model/nodes.ts'
import { machineCalled } from '../../model/machine.ts'
import { toNode } from './node-fields.ts'
import { planStatic } from './plan-static.ts'
import type { MachineStore, Roster, RosterChange, StoredMachine } from './ports.ts'

export interface StaticDeps {
  readonly store: MachineStore
  /** Reads a nodes file where it does not hold up others. @throws {WireError} */
  readonly readNodes: (text: string) => Promise<NodesFile>
  readonly now: Now
}

export interface StaticOptions {
  /** Of the file, for messages. */
  readonly source: string
  /** Whether what is known may be changed. */
  readonly overwrite: boolean
  readonly dryRun: boolean
}

export type StaticDiscovery = ReturnType<typeof createStaticDiscovery>

export function createStaticDiscovery({ store, readNodes, now }: StaticDeps) {
  return {
    /**
     * Makes the machines of a nodes file known: all of them, or none.
     * @throws {AppError} invalid where the file is not good; conflict where it differs from what is known, and may not change it
     */
    async discover(text: string, { source, overwrite, dryRun }: StaticOptions): Promise<StaticReport> {
      const { nodes, warnings } = await readNodes(text).catch((cause: unknown) => {
        if (!(cause instanceof WireError)) throw cause
        throw new AppError('invalid', `Cannot use "${source}":${cause.message.replace(/^Cannot read [^:]*: /, '\n  ')}`)
      })
      let report: StaticReport['machines'] = []
      const decide = (seen: Roster): RosterChange => {
        const plan = planStatic(nodes, seen.machines, { source, overwrite, now })
        report = plan.report
        return plan.change
      }
      if (dryRun) decide({ machines: await store.list(), groups: await store.groups() })
      else await store.changeAll(decide)
      return { dryRun, machines: report, warnings: [...warnings] }
    },

    /**
     * A nodes file of machines.
     * @param references all where none is named
     * @throws {AppError} not_found
     */
    async exported(references: readonly string[], format: 'yaml' | 'json'): Promise<string> {
      const all = await store.list()
      const named = references.map((reference) => {
        const machine = machineCalled(all, reference)
        if (!machine) throw new AppError('not_found', `Cannot export machine "${reference}": no such machine`)
        return machine
      })
      const machines = references.length === 0 ? all.toSorted(byNidAndName) : named
      const parts: string[] = []
      for (const part of nodesText(machines.map(toNode), format)) {
        // Making the text takes long enough for others to wait.
        if (parts.push(part) % 50 === 0) await setImmediate()
      }
      return parts.join('')
    },
  }
}

function byNidAndName(a: StoredMachine, b: StoredMachine): number {
  const order = (a.nid ?? Number.POSITIVE_INFINITY) - (b.nid ?? Number.POSITIVE_INFINITY)
  return Number.isNaN(order) || order === 0 ? a.name.localeCompare(b.name, 'en', { numeric: true }) : order
}
