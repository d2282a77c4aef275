/**
 * Intel AMT of one machine: the resources of WS-Management (DSP0226) that power and boot need, behind digest authentication, with the
 * states and return values of DSP1027. What boots next is what `ChangeBootOrder` and `SetBootConfigRole` say together, for one boot.
 */
import { AppError, explain, WireError } from '../../base/errors.ts'
import { AMT_RESOURCES, BOOT_SOURCES, POWER_STATES, ROLE_NEXT_SINGLE_USE } from '../../wire/wsman/amt.ts'
import { ADDRESSING, className, SOAP, WSMAN } from '../../wire/wsman/envelope.ts'
import { child, escapeXml, parseXml, type XmlElement } from '../../wire/wsman/xml.ts'
import type { ChassisCommand, VirtualMachine } from '../machine.ts'
import { readBody, TooLong, type WebAnswer, type WebHandler } from '../web.ts'
import { createDigestGuard } from './digest.ts'

export interface AmtServiceOptions {
  readonly machine: VirtualMachine
  readonly user: string
  readonly password: string
}

/** A fault: a subcode of DSP0226 §14.6, and words. */
class Fault extends Error {
  readonly subcode: string

  constructor(subcode: string, message: string) {
    super(message)
    this.subcode = subcode
  }
}

const BODY_MAX = 64 * 1024
const TRANSFER = 'http://schemas.xmlsoap.org/ws/2004/09/transfer'
const RETURNS = { done: 0, invalidParameter: 5, invalidTransition: 4097 } as const

const POWER_COMMANDS: Readonly<
  Record<string, { readonly whileOn?: boolean; readonly commands: readonly ChassisCommand[] }>
> = {
  [POWER_STATES.on]: { commands: ['power-on'] },
  [POWER_STATES.offSoft]: { commands: ['power-off'] },
  [POWER_STATES.offHard]: { commands: ['power-off'] },
  // Power cycle and master bus reset.
  5: { whileOn: true, commands: ['power-off', 'power-on'] },
  10: { whileOn: true, commands: ['reset'] },
  [POWER_STATES.offSoftGraceful]: { whileOn: true, commands: ['soft-off'] },
}

/** AMT_BootSettingData as firmware has it when no session has left anything. */
const SETTINGS: readonly (readonly [string, string])[] = [
  ['BIOSPause', 'false'],
  ['BIOSSetup', 'false'],
  ['BootMediaIndex', '0'],
  ['ConfigurationDataReset', 'false'],
  ['ElementName', 'Intel(r) AMT Boot Configuration Settings'],
  ['FirmwareVerbosity', '0'],
  ['InstanceID', 'Intel(r) AMT:BootSettingData 0'],
  ['OwningEntity', 'Intel(r) AMT'],
  ['ReflashBIOS', 'false'],
  ['UseIDER', 'false'],
  ['UseSOL', 'false'],
  ['UseSafeMode', 'false'],
  ['UserPasswordBypass', 'false'],
]

export function createAmtService({ machine, user, password }: AmtServiceOptions): WebHandler {
  const guard = createDigestGuard({
    user,
    password,
    realm: `Digest:${machine.spec.uuid.replaceAll('-', '').toUpperCase()}`,
  })
  const settings = new Map(SETTINGS)
  let source: 'pxe' | 'disk' | undefined
  let isNext = false

  const instances: Readonly<Record<string, () => Iterable<readonly [string, string]>>> = {
    [AMT_RESOURCES.power.uri]: () => [
      ...Object.keys(POWER_COMMANDS)
        .filter((state) => machine.isOn || POWER_COMMANDS[state]!.whileOn !== true)
        .map((state) => ['AvailableRequestedPowerStates', state] as const),
      ['PowerState', String(machine.isOn ? POWER_STATES.on : POWER_STATES.offSoft)],
    ],
    [AMT_RESOURCES.bootCapabilities.uri]: () => [
      ['ElementName', 'Intel(r) AMT: Boot Capabilities'],
      ['ForceHardDriveBoot', String(machine.spec.diskMiB > 0)],
      ['ForcePXEBoot', 'true'],
      ['InstanceID', 'Intel(r) AMT:BootCapabilities 0'],
    ],
    [AMT_RESOURCES.bootSettings.uri]: () => settings,
  }

  const methods: Readonly<Record<string, (input: XmlElement) => Promise<number>>> = {
    [`${AMT_RESOURCES.powerService.uri}/RequestPowerStateChange`]: async (input) => {
      const state = child(input, 'PowerState')?.text ?? ''
      const wanted = Object.hasOwn(POWER_COMMANDS, state) ? POWER_COMMANDS[state] : undefined
      if (wanted === undefined) return RETURNS.invalidParameter
      if (wanted.whileOn === true && !machine.isOn) return RETURNS.invalidTransition
      for (const command of wanted.commands) await machine.command(command, 'amt')
      return RETURNS.done
    },
    [`${AMT_RESOURCES.bootConfig.uri}/ChangeBootOrder`]: async (input) => {
      const reference = child(input, 'Source')
      const id = reference === undefined ? undefined : instanceOf(reference)
      const device = (['pxe', 'disk'] as const).find((one) => BOOT_SOURCES[one].instanceId === id)
      if (reference !== undefined && device === undefined) return RETURNS.invalidParameter
      source = device
      await arm()
      return RETURNS.done
    },
    [`${AMT_RESOURCES.bootService.uri}/SetBootConfigRole`]: async (input) => {
      isNext = child(input, 'Role')?.text === ROLE_NEXT_SINGLE_USE
      await arm()
      return RETURNS.done
    },
  }

  async function arm(): Promise<void> {
    const boot = isNext && source !== undefined ? source : 'none'
    if (machine.boot !== boot) await machine.command(`boot ${boot}`, 'amt')
  }

  /** @returns the element of the body */
  async function perform(resource: string, action: string, body: XmlElement | undefined): Promise<string> {
    const name = className({ uri: resource })
    const element = (tag: string, fields: Iterable<readonly [string, string]>): string => {
      const inner = [...fields].map(([key, value]) => `<g:${key}>${escapeXml(value)}</g:${key}>`)
      return `<g:${tag} xmlns:g="${escapeXml(resource)}">${inner.join('')}</g:${tag}>`
    }
    const instance = Object.hasOwn(instances, resource) ? instances[resource] : undefined
    if (action === `${TRANSFER}/Get` && instance !== undefined) return element(name, instance())
    if (action === `${TRANSFER}/Put` && resource === AMT_RESOURCES.bootSettings.uri) {
      for (const { name: key, text } of body?.children[0]?.children ?? []) {
        // What it keeps for itself may not even be named.
        if (!settings.has(key)) throw new Fault('InvalidRepresentation', `${key.slice(0, 64)} cannot be put`)
        settings.set(key, text.slice(0, 256))
      }
      return element(name, settings)
    }
    const method = Object.hasOwn(methods, action) ? methods[action] : undefined
    const input = body?.children[0]
    if (method === undefined || input === undefined || !action.startsWith(`${resource}/`))
      throw new Fault('ActionNotSupported', 'The action is not supported')
    return element(`${action.slice(resource.length + 1)}_OUTPUT`, [['ReturnValue', String(await method(input))]])
  }

  async function answer(bytes: Uint8Array): Promise<WebAnswer> {
    const envelope = parseXml(bytes)
    const header = child(envelope, 'Header')
    const textOf = (name: string): string => child(header, name)?.text ?? ''
    const relatesTo = textOf('MessageID')
    try {
      const body = await perform(textOf('ResourceURI'), textOf('Action'), child(envelope, 'Body'))
      return soap(200, relatesTo, body)
    } catch (error) {
      if (error instanceof Fault) return soap(400, relatesTo, faultOf(error))
      // The machine has no mains power, or its rack goes down.
      if (error instanceof AppError) return soap(500, relatesTo, faultOf(new Fault('InternalError', explain(error))))
      throw error
    }
  }

  return async ({ method, path, headers, stream }) => {
    const challenge = guard.challenge(method, path, headers.authorization)
    if (challenge !== undefined) return { status: 401, headers: { 'www-authenticate': challenge } }
    if (path !== '/wsman') return { status: 404 }
    if (method !== 'POST') return { status: 405, headers: { allow: 'POST' } }
    try {
      return await answer(await readBody(stream, BODY_MAX))
    } catch (error) {
      if (error instanceof WireError) return { status: 400, body: error.message }
      if (error instanceof TooLong) return { status: 413 }
      throw error
    }
  }
}

function instanceOf(reference: XmlElement): string {
  const set = child(child(reference, 'ReferenceParameters'), 'SelectorSet')
  return child(set, 'Selector')?.text ?? ''
}

function faultOf({ subcode, message }: Fault): string {
  const code = `<a:Code><a:Value>a:Sender</a:Value><a:Subcode><a:Value>c:${subcode}</a:Value></a:Subcode></a:Code>`
  return `<a:Fault>${code}<a:Reason><a:Text xml:lang="en-US">${escapeXml(message)}</a:Text></a:Reason></a:Fault>`
}

function soap(status: number, relatesTo: string, body: string): WebAnswer {
  const names = `xmlns:a="${SOAP}" xmlns:b="${ADDRESSING}" xmlns:c="${WSMAN}"`
  const header = `<a:Header><b:RelatesTo>${escapeXml(relatesTo.slice(0, 256))}</b:RelatesTo></a:Header>`
  return {
    status,
    headers: { 'content-type': 'application/soap+xml; charset=UTF-8' },
    body: `<?xml version="1.0" encoding="UTF-8"?><a:Envelope ${names}>${header}<a:Body>${body}</a:Body></a:Envelope>`,
  }
}
