/**
 * Which machine boots what, in memory: DHCP answers from it at once. It is read anew from the stores when a machine or a boot
 * changes, before the change is acted on.
 */
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

  async function read(): Promise<void> {
    const rows = new Map<string, Row>()
    const addresses = new Map<string, string>()
    for (const machine of await machines.list()) {
      const token = machine.enabled ? (await boots.openOf(machine.id))?.token : undefined
      for (const mac of machine.macs) rows.set(mac, { machine, token })
      if (machine.ip !== undefined) addresses.set(machine.ip, machine.macs[0]!)
    }
    byMac = rows
    byAddress = addresses
  }
  await read()

  return {
    /** Reads the stores; a reading that began earlier does not count. */
    async refresh(): Promise<void> {
      const mine = (refreshing ?? Promise.resolve()).catch(() => {}).then(read)
      refreshing = mine
      await mine
    },

    machineOf: (mac: string): StoredMachine | undefined => byMac.get(mac)?.machine,

    /** The script of a machine, as DHCP gives it to iPXE; undefined for one that is disabled and gets no answer at all. */
    scriptUrl(mac: string): string | undefined {
      const row = byMac.get(mac)
      if (row && !row.machine.enabled) return undefined
      const path = row?.token === undefined ? 'waiting.ipxe' : `${row.token}/script.ipxe`
      return `${httpUrl}/boot/${path}?mac=${mac.replaceAll(':', '-')}`
    },

    addressFor: (mac: string): string | undefined => byMac.get(mac)?.machine.ip,
    ownerOf: (address: string): string | undefined => byAddress.get(address),
    isKnown: (mac: string): boolean => byMac.has(mac),
    hostNameFor: (mac: string): string | undefined => byMac.get(mac)?.machine.name,
  }
}
