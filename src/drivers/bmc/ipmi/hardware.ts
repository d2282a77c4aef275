/** What a BMC knows of itself and its machine, over IPMI. */
import { AppError } from '../../../base/errors.ts'
import type { Log } from '../../../base/log.ts'
import type { BmcFinding, BmcInfo } from '../../../model/bmc.ts'
import type { BmcHardware } from '../../../services/power/power-port.ts'
import { COMMANDS } from '../../../wire/ipmi/commands.ts'
import type { PowerReading } from '../../../wire/ipmi/dcmi.ts'
import { LAN_PARAMETER } from '../../../wire/ipmi/lan-commands.ts'
import { readFrus } from './fru-reader.ts'
import { manufacturerName } from './manufacturers.ts'
import { askOpenness } from './outside-session.ts'
import { Portion, type Ask } from './records.ts'
import { createSdrReader } from './sdr-reader.ts'
import { judge, readSuites } from './security-check.ts'
import { clearSel, readSel } from './sel-reader.ts'
import { orDeclined, readSensors } from './sensors.ts'
import { readUsers } from './users.ts'

const MAC_BYTES = 6

export interface HardwareDeps {
  readonly ask: Ask
  readonly host: string
  readonly port: number
  readonly address: string
  readonly log: Log
  readonly can: ReadonlySet<string>
  readonly cipherSuite: () => number | undefined
  readonly passwordBytes: number
  readonly isVendorDefault: boolean
  /** Turns what the BMC declines or garbles into an AppError. */
  readonly explained: <T>(work: () => Promise<T>) => Promise<T>
}

export function createIpmiHardware(deps: HardwareDeps): BmcHardware {
  const { ask, address, log, explained } = deps
  const portion = new Portion()
  const sdrs = createSdrReader(ask, portion, log)
  /** Names and units are worth having, and no reason to do without the rest. */
  const sdrsIfAny = async (signal?: AbortSignal) => (await orDeclined(sdrs(signal))) ?? []
  return {
    info: (signal) => explained(() => readInfo(deps, signal)),
    sensors: (signal) => explained(async () => readSensors(ask, await sdrs(signal), signal)),
    fru: (signal) => explained(async () => readFrus(ask, portion, await sdrsIfAny(signal), signal)),
    sel: (signal) => explained(async () => readSel(ask, await sdrsIfAny(signal), signal)),
    clearSel: (signal) => explained(() => clearSel(ask, address, signal)),
    identify: (seconds, signal) => explained(() => identify(deps, seconds, signal)),
    users: (signal) => explained(() => readUsers(ask, signal)),
  }
}

/** What is insecure about it; with a password that its maker gave it, only what can be seen without a login. */
export async function checkIpmi(deps: HardwareDeps, signal?: AbortSignal): Promise<BmcFinding[]> {
  const { ask, explained, isVendorDefault, passwordBytes } = deps
  const openness = await askOpenness(deps.host, deps.port, signal)
  const own = isVendorDefault
    ? { users: undefined, suites: undefined, cipherSuite: undefined }
    : await explained(async () => ({
        users: await readUsers(ask, signal),
        suites: await readSuites(ask, signal),
        cipherSuite: deps.cipherSuite(),
      }))
  return judge({ openness, isVendorDefault, passwordBytes, ...own })
}

async function readInfo({ ask, address, can, cipherSuite }: HardwareDeps, signal?: AbortSignal): Promise<BmcInfo> {
  const id = await ask(COMMANDS.getDeviceId, undefined, signal)
  const guid = await orDeclined(ask(COMMANDS.getSystemGuid, undefined, signal))
  const power = await orDeclined(ask(COMMANDS.getPowerReading, undefined, signal))
  const mac = await readMac(ask, signal)
  const suite = cipherSuite()
  return {
    address,
    protocol: `IPMI ${id.ipmiVersion}`,
    manufacturer: manufacturerName(id.manufacturerId),
    product: `0x${id.productId.toString(16).padStart(4, '0')}`,
    firmware: id.firmware,
    ...(guid && { guid: guidText(guid) }),
    ...(mac && { mac }),
    ...(suite === undefined ? {} : { cipherSuite: suite }),
    ...(power?.isActive && { power: powerOf(power) }),
    can: [...can],
  }
}

/** Of the network interface that we speak to (§23.2, parameter 5); undefined where the BMC declines, or the user is no operator. */
async function readMac(ask: Ask, signal?: AbortSignal): Promise<string | undefined> {
  try {
    const bytes = await orDeclined(ask(COMMANDS.getLanParameter, { parameter: LAN_PARAMETER.mac }, signal))
    return bytes?.length === MAC_BYTES
      ? Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(':')
      : undefined
  } catch (error) {
    if (error instanceof AppError && error.code === 'forbidden') return undefined
    throw error
  }
}

function powerOf(power: PowerReading): NonNullable<BmcInfo['power']> {
  const { currentWatts, minimumWatts, maximumWatts, averageWatts, periodMs } = power
  return { currentWatts, minimumWatts, maximumWatts, averageWatts, periodSeconds: periodMs / 1000 }
}

/**
 * A GUID as text. IPMI wants its bytes last first (§20.8), most makers send them as SMBIOS has them and some as RFC 4122 does: the
 * first of these orders that gives a version and variant of RFC 4122 is taken, else one that gives a version, else IPMI's.
 */
export function guidText(bytes: Uint8Array): string {
  const ipmi = bytes.toReversed()
  const smbios = Uint8Array.of(
    ...bytes.subarray(0, 4).toReversed(),
    ...bytes.subarray(4, 6).toReversed(),
    ...bytes.subarray(6, 8).toReversed(),
    ...bytes.subarray(8),
  )
  const orders = [ipmi, smbios, bytes]
  const hasVersion = (order: Uint8Array) => order[6]! >> 4 >= 1 && order[6]! >> 4 <= 5
  const isWhole = (order: Uint8Array) => hasVersion(order) && order[8]! >> 6 === 0b10
  const hex = (orders.find(isWhole) ?? orders.find(hasVersion) ?? ipmi).toHex()
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}

/** Set, and read back where the BMC says what its light does. */
async function identify(
  { ask, address }: HardwareDeps,
  seconds: number | undefined,
  signal?: AbortSignal,
): Promise<void> {
  const question = { seconds: seconds ?? 0, isForced: seconds === undefined }
  await ask(COMMANDS.chassisIdentify, question, signal)
  const { identify: state } = await ask(COMMANDS.getChassisStatus, undefined, signal)
  if (state === undefined || (state === 'off') === (seconds === 0)) return
  throw new AppError(
    'bad_peer',
    `Cannot turn the identify light of BMC "${address}" ${seconds === 0 ? 'off' : 'on'}: it took the command and says "${state}"`,
  )
}
