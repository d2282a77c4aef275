/** An inventory as people read it: one thing a line. */
import type { Inventory } from '../../model/inventory.ts'
import { ago, humanSize } from './human.ts'
import { formatTable, printable } from './table.ts'

/** @param nowMs milliseconds since the epoch */
export function inventoryText(inventory: Inventory, nowMs: number): string {
  const { system, bmc, memory, tpm } = inventory
  const rows = [
    ['PART', 'NAME', 'SERIAL', 'WHAT'],
    ['system', '', system.serial, words(system.manufacturer, system.model, labelled('BIOS', system.biosVersion))],
    ...(bmc
      ? [['bmc', bmc.ip ?? '', bmc.serial, words(bmc.manufacturer, bmc.model, labelled('firmware', bmc.firmware))]]
      : []),
    ...(bmc?.lans ?? []).map((lan) => [
      ...['bmc lan', `channel ${lan.channel}`, lan.mac],
      words(lan.ip, labelled('gateway', lan.gateway), labelled('VLAN', lan.vlan), ...lan.ipv6) || 'no address',
    ]),
    ...(bmc?.users ?? []).map((user) => [
      ...['bmc user', user.name === '' ? '(null user)' : user.name, ''],
      words(user.privilege, user.isEnabled === false ? 'disabled' : undefined),
    ]),
    ...inventory.cpus.map((cpu) => [
      ...['cpu', cpu.name, cpu.serial],
      words(cpu.model, labelled('cores:', cpu.cores), labelled('threads:', cpu.threads)),
    ]),
    ['memory', '', '', memory.totalMiB === undefined ? '' : `${memory.totalMiB}MiB`],
    ...memory.modules.map((module) => [
      ...['module', module.name, module.serial],
      words(
        module.sizeMiB === undefined ? undefined : `${module.sizeMiB}MiB`,
        module.kind,
        module.manufacturer,
        module.part,
      ),
    ]),
    ...inventory.nics.map((nic) => [
      ...['nic', nic.name, nic.mac],
      words(nic.driver ?? nic.model ?? 'no driver', linkOf(nic.hasLink), speedOf(nic.speedMbps)),
    ]),
    ...inventory.disks.map((disk) => [
      ...['disk', disk.name, disk.serial],
      words(sizeOf(disk.sizeBytes), disk.kind, disk.manufacturer, disk.model),
    ]),
    ...inventory.gpus.map((gpu) => ['gpu', gpu.pci ?? gpu.name, gpu.serial, words(gpu.manufacturer, gpu.model)]),
    ...(tpm ? [['tpm', '', '', words(tpm.version, tpm.manufacturer)]] : []),
  ]
  const notes = inventory.notes.map((note) => `note: ${printable(note)}\n`).join('')
  const table = formatTable(
    rows.map((row) => row.map((cell) => printable(cell ?? ''))),
    { minimum: 6 },
  )
  return `As ${inventory.source} told ${ago(inventory.at, nowMs)}\n${table}${notes}`
}

function words(...parts: readonly (string | undefined)[]): string {
  return parts.filter((part) => part !== undefined && part !== '').join(' ')
}

function labelled(label: string, value: string | number | undefined): string | undefined {
  return value === undefined ? undefined : `${label} ${value}`
}

function linkOf(hasLink: boolean | undefined): string | undefined {
  return hasLink === undefined ? undefined : hasLink ? 'link' : 'no link'
}

function speedOf(speedMbps: number | undefined): string | undefined {
  return speedMbps === undefined ? undefined : `${speedMbps}Mb/s`
}

function sizeOf(sizeBytes: number | undefined): string | undefined {
  return sizeBytes === undefined ? undefined : humanSize(sizeBytes)
}
