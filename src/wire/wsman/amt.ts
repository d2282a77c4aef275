/** The part of Intel AMT's model that power and boot need (Intel AMT SDK, "WS-Management Class Reference"). */
import { WireError } from '../../base/errors.ts'
import type { Resource, WsmanFields } from './envelope.ts'
import { child, type XmlElement } from './xml.ts'

const CIM = 'http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/'
const AMT = 'http://intel.com/wbem/wscim/1/amt-schema/1/'

const bootConfig = { InstanceID: 'Intel(r) AMT: Boot Configuration 0' }

export const AMT_RESOURCES = {
  power: { uri: `${CIM}CIM_AssociatedPowerManagementService` },
  powerService: {
    uri: `${CIM}CIM_PowerManagementService`,
    selectors: { Name: 'Intel(r) AMT Power Management Service' },
  },
  system: {
    uri: `${CIM}CIM_ComputerSystem`,
    selectors: { CreationClassName: 'CIM_ComputerSystem', Name: 'ManagedSystem' },
  },
  bootCapabilities: { uri: `${AMT}AMT_BootCapabilities` },
  bootSettings: { uri: `${AMT}AMT_BootSettingData` },
  bootConfig: { uri: `${CIM}CIM_BootConfigSetting`, selectors: bootConfig },
  bootService: { uri: `${CIM}CIM_BootService`, selectors: { Name: 'Intel(r) AMT Boot Service' } },
} as const satisfies Record<string, Resource>

/** What AMT can be told to boot from, and the capability that says that it can. */
export const BOOT_SOURCES = {
  pxe: { instanceId: 'Intel(r) AMT: Force PXE Boot', capability: 'ForcePXEBoot' },
  disk: { instanceId: 'Intel(r) AMT: Force Hard-drive Boot', capability: 'ForceHardDriveBoot' },
  cd: { instanceId: 'Intel(r) AMT: Force CD/DVD Boot', capability: 'ForceCDorDVDBoot' },
} as const

export function bootSource(device: keyof typeof BOOT_SOURCES): Resource {
  return { uri: `${CIM}CIM_BootSourceSetting`, selectors: { InstanceID: BOOT_SOURCES[device].instanceId } }
}

/** What the firmware is made of: `AMT` with its version, `Build Number`, and others (AMT SDK, CIM_SoftwareIdentity). */
export function softwareIdentity(instanceId: string): Resource {
  return { uri: `${CIM}CIM_SoftwareIdentity`, selectors: { InstanceID: instanceId } }
}

/** Role of a boot configuration (CIM_BootService.SetBootConfigRole): 1 is IsNextSingleUse. */
export const ROLE_NEXT_SINGLE_USE = '1'

/** PowerState and RequestedPowerState (DSP1027, CIM_AssociatedPowerManagementService). */
export const POWER_STATES = {
  on: 2,
  sleepLight: 3,
  sleepDeep: 4,
  hibernate: 7,
  offHard: 6,
  offSoft: 8,
  offSoftGraceful: 12,
} as const

/** What the methods return (DSP1027 §7; CIM_PowerManagementService.RequestPowerStateChange). */
export const RETURN_VALUES: Readonly<Record<number, string>> = {
  0: 'done',
  1: 'not supported',
  2: 'unknown or unspecified error',
  3: 'cannot be done in time',
  4: 'failed',
  5: 'invalid parameter',
  6: 'in use',
  4096: 'job started',
  4097: 'invalid state transition',
  4098: 'a timeout is not supported',
  4099: 'busy',
}

export interface AmtPower {
  readonly state: number
  /** What may be asked for now; empty where the firmware does not say. */
  readonly available: ReadonlySet<number>
}

/** @throws {WireError} when it is another element, or a state is no number */
export function parseAmtPower(body: XmlElement): AmtPower {
  expectClass(body, 'CIM_AssociatedPowerManagementService')
  const available = body.children.filter(({ name }) => name === 'AvailableRequestedPowerStates')
  return {
    state: integer(child(body, 'PowerState'), 'PowerState'),
    available: new Set(available.map((one) => integer(one, one.name))),
  }
}

/** The ReturnValue of a method's output. @throws {WireError} when there is none */
export function parseReturnValue(body: XmlElement, method: string): number {
  expectClass(body, `${method}_OUTPUT`)
  return integer(child(body, 'ReturnValue'), 'ReturnValue')
}

/** The fields of an instance that are texts, in order; those that are there twice twice. @throws {WireError} */
export function parseInstance(body: XmlElement, name: string): WsmanFields {
  expectClass(body, name)
  return body.children.filter(({ children }) => children.length === 0).map((one) => [one.name, one.text] as const)
}

/** Fields of AMT_BootSettingData that the firmware keeps for itself: it refuses a Put that has them. */
const READ_ONLY = new Set([
  'BIOSLastStatus',
  'BootguardStatus',
  'OptionsCleared',
  'RPEEnabled',
  'SecureBootControlEnabled',
  'UEFIHTTPSBootEnabled',
  'UEFILocalPBABootEnabled',
  'UefiBootParametersArray',
  'WinREBootEnabled',
])
/** Settings that make the next boot something other than a plain one from the source that is asked for. */
const SWITCHES = [
  'BIOSPause',
  'BIOSSetup',
  'ConfigurationDataReset',
  'PlatformErase',
  'ReflashBIOS',
  'SecureErase',
  'UseIDER',
  'UseSafeMode',
  'UserPasswordBypass',
]

/** Which settings stand in the way of a plain boot. */
export function switchesOn(settings: WsmanFields): string[] {
  return settings.filter(([name, value]) => SWITCHES.includes(name) && value === 'true').map(([name]) => name)
}

/** The settings as they are put back, for a plain boot. */
export function plainSettings(settings: WsmanFields): WsmanFields {
  return settings
    .filter(([name]) => !READ_ONLY.has(name))
    .map(([name, value]) => [name, SWITCHES.includes(name) ? 'false' : value] as const)
}

function expectClass(body: XmlElement, name: string): void {
  if (body.name !== name) throw new WireError('WS-Man answer', `it is "${body.name.slice(0, 64)}", not "${name}"`)
}

function integer(element: XmlElement | undefined, name: string): number {
  if (element === undefined || !/^\d{1,10}$/.test(element.text))
    throw new WireError('WS-Man answer', `${name} is ${element ? 'no number' : 'missing'}`)
  return Number(element.text)
}
