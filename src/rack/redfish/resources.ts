/** The resources of a machine's Redfish service (DSP0266, schemas of DSP8010), by path, as a pure function of the machine's state. */
import { basename } from 'node:path'
import type { VirtualMachine } from '../machine.ts'
import { DRIVES, type Drive } from '../medium.ts'
import { type Firmware, NETWORK } from '../plan.ts'
import type { BootDevice } from '../qemu-line.ts'

export type MachineState = Pick<VirtualMachine, 'spec' | 'isOn' | 'boot' | 'isBootKept' | 'media'>
export type Resource = Readonly<Record<string, unknown>>

export const ROOT = '/redfish/v1'
export const SYSTEM = `${ROOT}/Systems/1`
export const MANAGER = `${ROOT}/Managers/1`
export const CHASSIS = `${ROOT}/Chassis/1`
export const SESSIONS = `${ROOT}/SessionService/Sessions`
export const RESET = `${SYSTEM}/Actions/ComputerSystem.Reset`
/** Where a WebSocket of the serial line is, as OpenBMC has it. */
export const CONSOLE = '/console0'
export const SESSION_SECONDS = 1800

export const RESET_TYPES = [
  'On',
  'ForceOn',
  'ForceOff',
  'GracefulShutdown',
  'ForceRestart',
  'PowerCycle',
  'PushPowerButton',
] as const

/** BootSourceOverrideTarget, and what it is here. */
export const BOOT_TARGETS = {
  None: 'none',
  Pxe: 'pxe',
  Hdd: 'disk',
  Cd: 'cdrom',
  Usb: 'usb',
} as const satisfies Record<string, BootDevice>

export const DRIVE_IDS: Readonly<Record<Drive, string>> = { cd: 'Cd', usb: 'Usb' }

export function drivePath(drive: Drive): string {
  return `${MANAGER}/VirtualMedia/${DRIVE_IDS[drive]}`
}

/** The one boot mode of a firmware. */
export function bootMode(firmware: Firmware): 'UEFI' | 'Legacy' {
  return firmware === 'bios' ? 'Legacy' : 'UEFI'
}

/**
 * Every resource but sessions.
 * @returns from path (without a slash at its end) to resource
 */
export function resources(machine: MachineState): ReadonlyMap<string, Resource> {
  return new Map(
    [
      ...services(machine),
      system(machine),
      ...systemParts(machine),
      ...chassis(machine),
      ...manager(machine),
      ...DRIVES.map((drive) => virtualMedia(machine, drive)),
    ].map((resource) => [resource['@odata.id'], resource]),
  )
}

/** A collection, of whatever kind its first type parameter says. */
export function collection(path: string, type: string, members: readonly string[]): Resource & { '@odata.id': string } {
  return {
    '@odata.type': `#${type}Collection.${type}Collection`,
    '@odata.id': path,
    Name: `${type} Collection`,
    'Members@odata.count': members.length,
    Members: members.map(link),
  }
}

type Identified = Resource & { '@odata.id': string }

function services({ spec }: MachineState): Identified[] {
  return [
    {
      '@odata.type': '#ServiceRoot.v1_15_0.ServiceRoot',
      '@odata.id': ROOT,
      Id: 'RootService',
      Name: 'Root Service',
      RedfishVersion: '1.15.0',
      UUID: spec.uuid,
      Vendor: 'Bareboat',
      Product: 'Rack',
      Systems: link(`${ROOT}/Systems`),
      Chassis: link(`${ROOT}/Chassis`),
      Managers: link(`${ROOT}/Managers`),
      SessionService: link(`${ROOT}/SessionService`),
      Links: { Sessions: link(SESSIONS) },
    },
    collection(`${ROOT}/Systems`, 'ComputerSystem', [SYSTEM]),
    collection(`${ROOT}/Chassis`, 'Chassis', [CHASSIS]),
    collection(`${ROOT}/Managers`, 'Manager', [MANAGER]),
    {
      '@odata.type': '#SessionService.v1_1_8.SessionService',
      '@odata.id': `${ROOT}/SessionService`,
      Id: 'SessionService',
      Name: 'Session Service',
      ServiceEnabled: true,
      SessionTimeout: SESSION_SECONDS,
      Sessions: link(SESSIONS),
    },
  ]
}

function system({ spec, isOn, boot, isBootKept }: MachineState): Identified {
  const mode = bootMode(spec.firmware)
  // What no target stands for is none of Redfish's.
  const target = Object.entries(BOOT_TARGETS).find(([, device]) => device === boot)?.[0] ?? 'None'
  return {
    '@odata.type': '#ComputerSystem.v1_23_0.ComputerSystem',
    '@odata.id': SYSTEM,
    Id: '1',
    Name: spec.name,
    SystemType: 'Physical',
    Manufacturer: 'Bareboat',
    Model: 'Rack',
    SerialNumber: spec.serial,
    UUID: spec.uuid,
    PowerState: isOn ? 'On' : 'Off',
    Status: { State: isOn ? 'Enabled' : 'StandbyOffline', Health: 'OK' },
    ProcessorSummary: { Count: 1, Model: 'QEMU' },
    MemorySummary: { TotalSystemMemoryGiB: spec.memoryMiB / 1024 },
    Boot: {
      BootSourceOverrideEnabled: target === 'None' ? 'Disabled' : isBootKept ? 'Continuous' : 'Once',
      BootSourceOverrideTarget: target,
      'BootSourceOverrideTarget@Redfish.AllowableValues': Object.keys(BOOT_TARGETS),
      BootSourceOverrideMode: mode,
      'BootSourceOverrideMode@Redfish.AllowableValues': [mode],
    },
    SerialConsole: { WebSocket: { ServiceEnabled: true, ConsoleURI: CONSOLE, Interactive: true } },
    EthernetInterfaces: link(`${SYSTEM}/EthernetInterfaces`),
    VirtualMedia: link(`${MANAGER}/VirtualMedia`),
    Actions: { '#ComputerSystem.Reset': { target: RESET, '@Redfish.ActionInfo': `${SYSTEM}/ResetActionInfo` } },
    Links: { Chassis: [link(CHASSIS)], ManagedBy: [link(MANAGER)] },
  }
}

function systemParts({ spec, isOn }: MachineState): Identified[] {
  const nic = `${SYSTEM}/EthernetInterfaces/1`
  return [
    {
      '@odata.type': '#ActionInfo.v1_3_0.ActionInfo',
      '@odata.id': `${SYSTEM}/ResetActionInfo`,
      Id: 'ResetActionInfo',
      Name: 'Reset Action Info',
      Parameters: [{ Name: 'ResetType', Required: true, DataType: 'String', AllowableValues: RESET_TYPES }],
    },
    collection(`${SYSTEM}/EthernetInterfaces`, 'EthernetInterface', [nic]),
    {
      '@odata.type': '#EthernetInterface.v1_9_0.EthernetInterface',
      '@odata.id': nic,
      Id: '1',
      Name: `${spec.nic} card`,
      InterfaceEnabled: true,
      LinkStatus: isOn ? 'LinkUp' : 'LinkDown',
      MACAddress: spec.mac,
      PermanentMACAddress: spec.mac,
      Status: { State: 'Enabled', Health: 'OK' },
    },
  ]
}

function chassis({ spec, isOn }: MachineState): Identified[] {
  return [
    {
      '@odata.type': '#Chassis.v1_22_0.Chassis',
      '@odata.id': CHASSIS,
      Id: '1',
      Name: spec.name,
      ChassisType: 'RackMount',
      Manufacturer: 'Bareboat',
      Model: 'Rack',
      SerialNumber: spec.serial,
      PowerState: isOn ? 'On' : 'Off',
      Status: { State: 'Enabled', Health: 'OK' },
      Links: { ComputerSystems: [link(SYSTEM)], ManagedBy: [link(MANAGER)] },
    },
  ]
}

function manager({ spec }: MachineState): Identified[] {
  const nic = `${MANAGER}/EthernetInterfaces/1`
  return [
    {
      '@odata.type': '#Manager.v1_17_0.Manager',
      '@odata.id': MANAGER,
      Id: '1',
      Name: `BMC of ${spec.name}`,
      ManagerType: 'BMC',
      Manufacturer: 'Bareboat',
      Model: 'Rack BMC',
      PowerState: 'On',
      Status: { State: 'Enabled', Health: 'OK' },
      EthernetInterfaces: link(`${MANAGER}/EthernetInterfaces`),
      VirtualMedia: link(`${MANAGER}/VirtualMedia`),
      Links: { ManagerForServers: [link(SYSTEM)], ManagerForChassis: [link(CHASSIS)] },
    },
    collection(`${MANAGER}/EthernetInterfaces`, 'EthernetInterface', [nic]),
    {
      '@odata.type': '#EthernetInterface.v1_9_0.EthernetInterface',
      '@odata.id': nic,
      Id: '1',
      Name: 'BMC interface',
      InterfaceEnabled: true,
      // All BMCs of a rack are on its bridge.
      MACAddress: NETWORK.mac,
      IPv4Addresses: [{ Address: spec.bmcAddress, SubnetMask: '255.255.255.0', AddressOrigin: 'Static' }],
      Status: { State: 'Enabled', Health: 'OK' },
    },
    collection(`${MANAGER}/VirtualMedia`, 'VirtualMedia', DRIVES.map(drivePath)),
  ]
}

function virtualMedia({ media }: MachineState, drive: Drive): Identified {
  const path = drivePath(drive)
  const medium = media[drive]
  const isUrl = medium !== undefined && !medium.source.startsWith('/')
  return {
    '@odata.type': '#VirtualMedia.v1_6_0.VirtualMedia',
    '@odata.id': path,
    Id: DRIVE_IDS[drive],
    Name: drive === 'cd' ? 'Virtual CD' : 'Virtual USB stick',
    MediaTypes: drive === 'cd' ? ['CD', 'DVD'] : ['USBStick'],
    Image: isUrl ? medium.source : null,
    ImageName: medium === undefined ? null : basename(isUrl ? new URL(medium.source).pathname : medium.source),
    ConnectedVia: medium === undefined ? 'NotConnected' : isUrl ? 'URI' : 'Oem',
    Inserted: medium !== undefined,
    WriteProtected: medium?.isWritable !== true,
    TransferMethod: 'Stream',
    VerifyCertificate: true,
    Actions: {
      '#VirtualMedia.InsertMedia': { target: `${path}/Actions/VirtualMedia.InsertMedia` },
      '#VirtualMedia.EjectMedia': { target: `${path}/Actions/VirtualMedia.EjectMedia` },
    },
  }
}

function link(path: string): { '@odata.id': string } {
  return { '@odata.id': path }
}
