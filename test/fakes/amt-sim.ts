/**
 * A simulated Intel AMT: the WS-Man resources that power and boot need, behind digest authentication. It does what its options say,
 * which is also everything that firmware does wrong. Its digest is computed here, not by what is tested.
 */
import { createHash, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { join } from 'node:path'
import { child, escapeXml, parseXml, type XmlElement } from '../../src/wire/wsman/xml.ts'

export interface AmtSimOptions {
  readonly password?: string
  readonly algorithm?: 'MD5' | 'SHA-256'
  /** A nonce serves so many requests. */
  readonly nonceUses?: number
  /** Forgets nonces without calling them stale. */
  readonly forgetsSilently?: boolean
  /** Asks for Basic instead of digest. */
  readonly asksBasic?: boolean
  readonly isOn?: boolean
  /** How long a power command takes to show, milliseconds. */
  readonly powerDelayMs?: number
  /** Returns 0 and does nothing. */
  readonly ignoresPower?: boolean
  /** Does it, and closes the connection without an answer. */
  readonly losesPowerAnswers?: boolean
  /** Does it, and answers with half of the XML. */
  readonly cutsPowerAnswers?: boolean
  /** Closes the connection of so many requests that only read. */
  readonly breaksReads?: number
  /** The first so many requests of each kind are answered that it is busy. */
  readonly busy?: { readonly how: 'http' | 'fault' | 'return'; readonly times: number }
  /** What power commands return; default 0. */
  readonly returns?: number
  /** Answers with the number of another request. */
  readonly wrongRelatesTo?: boolean
  /** What every answer is. */
  readonly garbage?: string
  readonly noGraceful?: boolean
  readonly noPxe?: boolean
  /** Boot settings that an earlier session left on. */
  readonly leftOn?: string
  readonly keepsSettings?: boolean
  /** Of its firmware, by instance of CIM_SoftwareIdentity; default that of the recording. Empty: it knows none. */
  readonly firmware?: Readonly<Record<string, string>>
  readonly tls?: { readonly key: string; readonly cert: string }
}

export type AmtSim = Awaited<ReturnType<typeof startAmtSim>>

const PACKETS = join(import.meta.dirname, '../packets/wsman')
const SOAP = 'http://www.w3.org/2003/05/soap-envelope'
const REALM = 'Digest:A3829B3827DE4D33D4449B366831FD01'

export async function startAmtSim(options: AmtSimOptions = {}) {
  const algorithm = options.algorithm ?? 'MD5'
  const hash = (text: string) =>
    createHash(algorithm === 'MD5' ? 'md5' : 'sha256')
      .update(text)
      .digest('hex')
  const nonces = new Map<string, number>()
  const timers = new Set<NodeJS.Timeout>()
  let breaksLeft = options.breaksReads ?? 0
  let busyLeft = options.busy?.times ?? 0
  let settings = recorded('amt-boot-settingdata-get')
  if (options.leftOn) settings = settings.replace(`${options.leftOn}>false`, `${options.leftOn}>true`)
  const state = {
    isOn: options.isOn ?? false,
    /** Power commands that arrived, in order. */
    trace: [] as string[],
    /** What boots next: the instance of the source, and the role of the configuration. */
    source: '',
    role: '',
    settings: () => settings,
    logins: 0,
    rejected: 0,
  }

  function login(request: IncomingMessage): 'ok' | 'stale' | 'no' {
    const fields = new Map<string, string>()
    for (const [, key, quoted, bare] of (request.headers.authorization ?? '').matchAll(
      /(\w+)=(?:"([^"]*)"|([^\s,]+))/g,
    ))
      fields.set(key!, quoted ?? bare!)
    const response = fields.get('response') ?? ''
    if (response === '') return 'no'
    const count = fields.get('nc') ?? ''
    const seen = nonces.get(fields.get('nonce') ?? '')
    const a1 = hash(`admin:${REALM}:${options.password ?? 'P@ssw0rd'}`)
    const a2 = hash(`POST:${request.url}`)
    const proof = hash(`${a1}:${fields.get('nonce')}:${count}:${fields.get('cnonce')}:auth:${a2}`)
    if (proof !== response || fields.get('username') !== 'admin' || fields.get('uri') !== request.url) {
      state.rejected++
      return 'no'
    }
    // A count that was there already is a replay (RFC 7616 §3.4).
    if (seen === undefined || Number.parseInt(count, 16) !== seen + 1 || seen >= (options.nonceUses ?? 1000))
      return 'stale'
    nonces.set(fields.get('nonce')!, seen + 1)
    return 'ok'
  }

  function challenge(response: ServerResponse, isStale: boolean): void {
    const nonce = randomBytes(16).toString('base64')
    nonces.set(nonce, 0)
    state.logins++
    const stale = isStale && !options.forgetsSilently ? 'true' : 'false'
    const digest = `Digest realm="${REALM}", nonce="${nonce}",stale="${stale}",qop="auth", algorithm=${algorithm}`
    response.writeHead(401, { 'www-authenticate': options.asksBasic ? 'Basic realm="amt"' : digest }).end()
  }

  function power(input: XmlElement): number {
    const wanted = child(input, 'PowerState')?.text
    const action = { 2: 'on', 8: 'off', 12: 'soft-off' }[wanted ?? '']
    state.trace.push(action ?? `state ${wanted}`)
    const returns = options.returns ?? 0
    if (options.ignoresPower || returns !== 0) return returns
    const apply = () => void (state.isOn = action === 'on')
    if (options.powerDelayMs) timers.add(setTimeout(apply, options.powerDelayMs))
    else apply()
    return 0
  }

  function perform(
    resource: string,
    action: string,
    instance: string,
    body: XmlElement | undefined,
  ): string | undefined {
    const input = body?.children[0]
    const name = resource.slice(resource.lastIndexOf('/') + 1)
    const output = (method: string, value: number) =>
      `<g:${method}_OUTPUT xmlns:g="${resource}"><g:ReturnValue>${value}</g:ReturnValue></g:${method}_OUTPUT>`
    switch (`${name} ${action.slice(action.lastIndexOf('/') + 1)}`) {
      case 'CIM_AssociatedPowerManagementService Get': {
        const items = bodyOf(recorded('cim-service-availabletoelement-pull')).replace('>2<', state.isOn ? '>2<' : '>8<')
        const own = /<h:CIM_Associated[^]*<\/h:CIM_AssociatedPowerManagementService>/.exec(items)![0]
        return options.noGraceful ? own.replace(/<h:Available[^>]*>12<[^>]*>/, '') : own
      }
      case 'CIM_PowerManagementService RequestPowerStateChange':
        return output('RequestPowerStateChange', power(input!))
      case 'AMT_BootCapabilities Get': {
        const own = bodyOf(recorded('amt-boot-capabilities-get'))
        return options.noPxe ? own.replace('ForcePXEBoot>true', 'ForcePXEBoot>false') : own
      }
      case 'AMT_BootSettingData Get':
        return bodyOf(settings)
      case 'AMT_BootSettingData Put': {
        if (child(input, 'BIOSLastStatus')) return undefined
        for (const { name: field, text } of options.keepsSettings ? [] : input!.children)
          settings = settings.replace(new RegExp(`(<g:${field}>)[^<]*`), `$1${text}`)
        return bodyOf(settings)
      }
      case 'CIM_SoftwareIdentity Get': {
        const known = options.firmware ?? { AMT: '12.0.67', 'Build Number': '1579' }
        const version = known[instance]
        if (version === undefined) return undefined
        return bodyOf(recorded('cim-software-identity-get'))
          .replace('>AMTApps<', `>${instance}<`)
          .replace('>12.0.67<', `>${version}<`)
      }
      case 'CIM_BootConfigSetting ChangeBootOrder':
        state.source = input?.children[0] ? selector(input.children[0]) : ''
        return output('ChangeBootOrder', 0)
      case 'CIM_BootService SetBootConfigRole':
        state.role = child(input, 'Role')?.text ?? ''
        return output('SetBootConfigRole', 0)
      default:
        return undefined
    }
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parts: Buffer[] = []
    for await (const part of request) parts.push(part as Buffer)
    const outcome = login(request)
    if (outcome !== 'ok') return challenge(response, outcome === 'stale')
    const envelope = parseXml(Uint8Array.from(Buffer.concat(parts)))
    const header = child(envelope, 'Header')
    const action = child(header, 'Action')?.text ?? ''
    const isPower = action.endsWith('/RequestPowerStateChange')
    if (action.endsWith('/Get') && breaksLeft-- > 0) return void response.destroy()
    const isBusy = options.busy && busyLeft > 0 && (options.busy.how !== 'return' || isPower)
    if (isBusy) busyLeft--
    if (isBusy && options.busy.how === 'http') return void response.writeHead(503).end()
    const send = (status: number, body: string) => {
      const id = options.wrongRelatesTo ? 'x' : (child(header, 'MessageID')?.text ?? '')
      const names = `xmlns:a="${SOAP}" xmlns:b="http://schemas.xmlsoap.org/ws/2004/08/addressing" xmlns:c="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd" xmlns:g="${resource}" xmlns:h="urn:h"`
      const xml = `<?xml version="1.0" encoding="UTF-8"?><a:Envelope ${names}><a:Header><b:RelatesTo>${escapeXml(id)}</b:RelatesTo></a:Header><a:Body>${body}</a:Body></a:Envelope>`
      const isCut = isPower && options.cutsPowerAnswers
      response.writeHead(status, { 'content-type': 'application/soap+xml; charset=UTF-8' })
      response.end(options.garbage ?? (isCut ? xml.slice(0, xml.length / 2) : xml))
    }
    const resource = child(header, 'ResourceURI')?.text ?? ''
    const instance = child(child(header, 'SelectorSet'), 'Selector')?.text ?? ''
    const fault = (subcode: string) =>
      send(
        400,
        `<a:Fault><a:Code><a:Value>a:Sender</a:Value><a:Subcode><a:Value>c:${subcode}</a:Value></a:Subcode></a:Code><a:Reason><a:Text xml:lang="en-US">as told</a:Text></a:Reason></a:Fault>`,
      )
    if (isBusy && options.busy.how === 'fault') return fault('Concurrency')
    if (isBusy)
      return send(
        200,
        `<g:RequestPowerStateChange_OUTPUT><g:ReturnValue>4099</g:ReturnValue></g:RequestPowerStateChange_OUTPUT>`,
      )
    const body = perform(resource, action, instance, child(envelope, 'Body'))
    if (isPower && options.losesPowerAnswers) return void response.destroy()
    return body === undefined ? fault('ActionNotSupported') : send(200, body)
  }

  const handler = (request: IncomingMessage, response: ServerResponse) => void answer(request, response)
  const server = options.tls ? createTlsServer(options.tls, handler) : createServer(handler)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  return Object.assign(state, {
    port: typeof address === 'object' && address ? address.port : 0,
    async [Symbol.asyncDispose]() {
      for (const timer of timers) clearTimeout(timer)
      server.closeAllConnections()
      await new Promise<void>((resolve) => void server.close(() => resolve()))
    },
  })
}

function recorded(name: string): string {
  return readFileSync(join(PACKETS, `${name}.xml`), 'utf8')
}

/** What is inside of the body of a recorded answer. */
function bodyOf(xml: string): string {
  return /<a:Body>([^]*)<\/a:Body>/.exec(xml)![1]!
}

function selector(reference: XmlElement): string {
  const set = child(child(reference, 'ReferenceParameters'), 'SelectorSet')
  return child(set, 'Selector')?.text ?? ''
}
