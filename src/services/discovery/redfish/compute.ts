/** Processors, GPUs, memory and the TPM of one ComputerSystem. */
import {
  child,
  countOf,
  isPresent,
  linkOf,
  linksOf,
  numberOf,
  objectsOf,
  pathOf,
  type Resource,
  textOf,
} from '../../../formats/redfish/resource.ts'
import type { Walk } from '../../../formats/redfish/walk.ts'
import type { InventoryCpu, InventoryGpu, InventoryMemory, InventoryTpm } from '../../../model/inventory.ts'

/** More sockets than this in a summary are a mistake of the BMC. */
const MAX_SUMMARY = 64
/** Vendors of what PCI calls a display controller and nobody computes on: ASPEED, Matrox. */
const NO_GPU = new Set([0x1a03, 0x102b])

/**
 * CPUs and GPUs. Processors of other types (FPGA, DSP, cores listed below a processor) are neither. A BMC that only summarises its
 * CPUs yields as many as it counts.
 */
export async function readProcessors(
  walk: Walk,
  system: Resource,
): Promise<{ cpus: InventoryCpu[]; gpus: InventoryGpu[] }> {
  const processors = (await walk.members(linkOf(system, 'Processors'))).filter(isPresent)
  const typeOf = (processor: Resource) => textOf(processor, 'ProcessorType') ?? 'CPU'
  const cpus = processors.filter((processor) => typeOf(processor) === 'CPU').map(cpuOf)
  const gpuProcessors = processors.filter((processor) => typeOf(processor) === 'GPU')
  const gpus = [...gpuProcessors.map(gpuOf), ...(await readGraphics(walk, system, gpuProcessors))]
  if (gpus.length === 0) gpus.push(...(await readDisplays(walk, system)))
  if (cpus.length === 0) return { cpus: summarised(walk, system), gpus }
  const counted = countOf(child(system, 'ProcessorSummary'), 'Count')
  if (counted !== undefined && counted !== cpus.length)
    walk.note(`the system counts ${counted} processors and lists ${cpus.length}`)
  return { cpus, gpus }
}

/** Modules that are plugged in, and the total that the BMC says, else their sum. */
export async function readMemory(walk: Walk, system: Resource): Promise<InventoryMemory> {
  const modules = (await walk.members(linkOf(system, 'Memory'))).flatMap((module) => {
    const sizeMiB = countOf(module, 'CapacityMiB')
    if (!isPresent(module) || sizeMiB === undefined) return []
    return {
      name:
        textOf(module, 'DeviceLocator') ??
        textOf(child(module, 'Location', 'PartLocation'), 'ServiceLabel') ??
        nameOf(module),
      sizeMiB,
      kind: textOf(module, 'MemoryDeviceType') ?? textOf(module, 'MemoryType'),
      manufacturer: textOf(module, 'Manufacturer'),
      part: textOf(module, 'PartNumber'),
      serial: textOf(module, 'SerialNumber'),
      mhz: countOf(module, 'OperatingSpeedMhz'),
    }
  })
  const summary = numberOf(child(system, 'MemorySummary'), 'TotalSystemMemoryGiB')
  const said = summary === undefined || summary <= 0 ? undefined : Math.round(summary * 1024)
  const sum = modules.reduce((total, { sizeMiB }) => total + sizeMiB, 0)
  if (said === undefined && sum === 0) walk.note('the system says nothing of its memory')
  const totalMiB = said ?? (sum || undefined)
  return { totalMiB: Number.isSafeInteger(totalMiB) ? totalMiB : undefined, modules }
}

/** The TPM that the system lists, else the one of its chassis (TrustedComponents). */
export async function readTpm(
  walk: Walk,
  system: Resource,
  chassis: readonly Resource[],
): Promise<InventoryTpm | undefined> {
  const module = objectsOf(system, 'TrustedModules').find(isPresent)
  if (module)
    return {
      version: tpmVersion(textOf(module, 'InterfaceType')),
      firmware: textOf(module, 'FirmwareVersion'),
      isEnabled: isEnabled(module),
    }
  for (const one of chassis) {
    const components = await walk.members(linkOf(one, 'TrustedComponents'))
    const tpm = components.find((component) => child(component, 'TPM') !== undefined && isPresent(component))
    if (tpm)
      return {
        manufacturer: textOf(tpm, 'Manufacturer') ?? textOf(child(tpm, 'TPM'), 'CapabilitiesVendorID'),
        firmware: textOf(tpm, 'FirmwareVersion'),
        isEnabled: isEnabled(tpm),
      }
  }
  return undefined
}

function cpuOf(processor: Resource): InventoryCpu {
  const model = textOf(processor, 'Model')
  const vendorId = textOf(child(processor, 'ProcessorId'), 'VendorId')
  return {
    name: textOf(processor, 'Socket') ?? nameOf(processor),
    manufacturer: textOf(processor, 'Manufacturer'),
    // Some boards write the brand string where the vendor belongs, and a family where the brand string belongs.
    model: vendorId !== undefined && /\d/.test(vendorId) && / /.test(vendorId) ? vendorId : model,
    architecture: textOf(processor, 'InstructionSet') ?? textOf(processor, 'ProcessorArchitecture'),
    cores: countOf(processor, 'TotalCores'),
    threads: countOf(processor, 'TotalThreads'),
    maxMhz: countOf(processor, 'MaxSpeedMHz'),
    serial: textOf(processor, 'SerialNumber'),
  }
}

function summarised(walk: Walk, system: Resource): InventoryCpu[] {
  const summary = child(system, 'ProcessorSummary')
  const count = countOf(summary, 'Count')
  if (count === undefined) {
    walk.note('the system names no processors')
    return []
  }
  walk.note(`the system lists no processors, it only counts ${count}`)
  return Array.from({ length: Math.min(count, MAX_SUMMARY) }, () => ({ model: textOf(summary, 'Model') }))
}

function gpuOf(processor: Resource): InventoryGpu {
  const memory = objectsOf(processor, 'ProcessorMemory').find((one) => textOf(one, 'MemoryType') !== 'Cache')
  return { ...part(processor), memoryMiB: countOf(memory, 'CapacityMiB') }
}

/** Graphics controllers (Redfish 2021.1) that are not the same card as a processor of type GPU. */
async function readGraphics(walk: Walk, system: Resource, known: readonly Resource[]): Promise<InventoryGpu[]> {
  const paths = new Set(known.map((processor) => pathOf(processor)))
  return (await walk.members(linkOf(system, 'GraphicsControllers')))
    .filter(isPresent)
    .filter((controller) => !linksOf(child(controller, 'Links'), 'Processors').some((path) => paths.has(path)))
    .map(part)
}

/** PCI functions of the classes display controller and processing accelerator, where the BMC names no GPUs otherwise. */
async function readDisplays(walk: Walk, system: Resource): Promise<InventoryGpu[]> {
  const found: InventoryGpu[] = []
  for (const path of linksOf(system, 'PCIeDevices')) {
    const device = await walk.read(path)
    if (!device || !isPresent(device)) continue
    const functions = await walk.members(linkOf(device, 'PCIeFunctions'))
    for (const link of linksOf(child(device, 'Links'), 'PCIeFunctions')) functions.push((await walk.read(link)) ?? {})
    const display = functions.find((one) =>
      ['DisplayController', 'ProcessingAccelerators'].includes(textOf(one, 'DeviceClass') ?? ''),
    )
    if (!display) continue
    const vendor = Number(textOf(display, 'VendorId'))
    const id = Number(textOf(display, 'DeviceId'))
    if (NO_GPU.has(vendor)) continue
    const ids = [vendor, id].map((number) => number.toString(16).padStart(4, '0')).join(':')
    found.push({ ...part(device), pci: Number.isSafeInteger(vendor) && Number.isSafeInteger(id) ? ids : undefined })
  }
  return found
}

function part(resource: Resource): InventoryGpu {
  return {
    name: nameOf(resource),
    manufacturer: textOf(resource, 'Manufacturer'),
    model: textOf(resource, 'Model'),
    serial: textOf(resource, 'SerialNumber'),
  }
}

function nameOf(resource: Resource): string | undefined {
  return textOf(resource, 'Id') ?? textOf(resource, 'Name')
}

/** `TPM2_0` as `2.0`. */
function tpmVersion(type: string | undefined): string | undefined {
  return (
    /^TPM_?(\d)_(\d)$/
      .exec(type ?? '')
      ?.slice(1)
      .join('.') ?? type
  )
}

function isEnabled(resource: Resource): boolean | undefined {
  const state = textOf(child(resource, 'Status'), 'State')
  return state === undefined ? undefined : state === 'Enabled'
}
