/**
 * Which machine boots what, in memory: DHCP answers from it at once. It is read anew from the stores when a machine or a boot
 * changes, before the change is acted on.
 */
import { addressOf } from '../../model/addresses.ts'
import type { MachineStore, StoredMachine } from '../machines/ports.ts'
import type { BootStore } from './ports.ts'

interface Row {
  readonly machine: StoredMachine
  readonly token: string | undefined
}

export type Directory = Awaited<ReturnType<typeof openDirectory>>

/** @param httpUrl where machines reach the HTTP server for firmware */
export async function openDirectory(machines: MachineStore, boots: BootStore, httpUrl: string) {
  let byMac = new Map<string, Row>()
  let byAddress = new Map<string, string>()
  let refreshing: Promise<void> | undefined
  /** A reading that waits for the one before it: everybody who asks meanwhile is served by it. */
  let waiting: Promise<void> | undefined

  async function read(): Promise<void> {
    const rows = new Map<string, Row>()
    const addresses = new Map<string, string>()
    const all = await machines.list()
    const tokens = await boots.tokens()
    for (const machine of all) {
      const token = tokens.get(machine.id)
      for (const mac of machine.macs) rows.set(mac, { machine, token })
      for (const mac of machine.macs) {
        const address = addressOf(machine, mac)
        if (address !== undefined && !addresses.has(address)) addresses.set(address, mac)
      }
    }
    byMac = rows
    byAddress = addresses
  }
  await read()

  /** Whether a machine gets no answer from anybody: it is disabled, and nothing that was begun on it goes on. */
  function isSilent(mac: string): boolean {
    const row = byMac.get(mac)
    return row !== undefined && !row.machine.enabled && row.token === undefined
  }

  return {
    /** Reads the stores; a reading that began earlier does not count. */
    async refresh(): Promise<void> {
      waiting ??= (refreshing ?? Promise.resolve())
        .catch(() => {})
        .then(() => {
          refreshing = waiting
          waiting = undefined
          return read()
        })
      await waiting
    },

    machineOf: (mac: string): StoredMachine | undefined => byMac.get(mac)?.machine,

    isSilent,
    /** The same of whoever has a fixed address. */
    isSilentAt: (address: string): boolean => isSilent(byAddress.get(address) ?? ''),

    /** The script of a machine, as DHCP gives it to iPXE. */
    scriptUrl(mac: string): string {
      const row = byMac.get(mac)
      const path = row?.token === undefined ? 'waiting.ipxe' : `${row.token}/script.ipxe`
      return `${httpUrl}/boot/${path}?mac=${mac.replaceAll(':', '-')}`
    },

    addressFor(mac: string): string | undefined {
      const machine = byMac.get(mac)?.machine
      return machine && addressOf(machine, mac)
    },
    ownerOf: (address: string): string | undefined => byAddress.get(address),
    isKnown: (mac: string): boolean => byMac.has(mac),
    hostNameFor: (mac: string): string | undefined => byMac.get(mac)?.machine.name,
  }
}
