/** WS-Management messages (DSP0226) in SOAP 1.2 envelopes, as Intel AMT speaks them: requests written, responses and faults read. */
import { WireError } from '../../base/errors.ts'
import { child, escapeXml, parseXml, type XmlElement } from './xml.ts'

export const SOAP = 'http://www.w3.org/2003/05/soap-envelope'
export const ADDRESSING = 'http://schemas.xmlsoap.org/ws/2004/08/addressing'
export const WSMAN = 'http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd'
const TRANSFER = 'http://schemas.xmlsoap.org/ws/2004/09/transfer'
const ANONYMOUS = `${ADDRESSING}/role/anonymous`
const WHAT = 'WS-Man answer'

/** A resource: a class of CIM, and which of its instances. */
export interface Resource {
  readonly uri: string
  readonly selectors?: Readonly<Record<string, string>>
}

/** What a method is given: a text, a reference to another resource, or lists of them. Order is kept. */
export type WsmanValue = string | Resource
export type WsmanFields = readonly (readonly [name: string, value: WsmanValue])[]

export type WsmanRequest = { readonly messageId: string; readonly resource: Resource } & (
  | { readonly do: 'get' }
  | { readonly do: 'put'; readonly fields: WsmanFields }
  | { readonly do: 'invoke'; readonly method: string; readonly fields: WsmanFields }
)

export type WsmanAnswer =
  | { readonly kind: 'answer'; readonly relatesTo: string; readonly body: XmlElement }
  | { readonly kind: 'fault'; readonly code: string; readonly subcode: string; readonly reason: string }

/** Serializes a request (DSP0226 §5, §7; WS-Transfer). */
export function serializeWsman(request: WsmanRequest): Uint8Array {
  const { resource, messageId } = request
  const name = className(resource)
  const action = { get: `${TRANSFER}/Get`, put: `${TRANSFER}/Put`, invoke: undefined }[request.do]
  const method = request.do === 'invoke' ? request.method : ''
  const body =
    request.do === 'get' ? '' : element(request.do === 'put' ? name : `${method}_INPUT`, request.fields, resource.uri)
  const header = [
    `<a:Action s:mustUnderstand="true">${escapeXml(action ?? `${resource.uri}/${method}`)}</a:Action>`,
    `<a:To s:mustUnderstand="true">/wsman</a:To>`,
    `<w:ResourceURI s:mustUnderstand="true">${escapeXml(resource.uri)}</w:ResourceURI>`,
    `<a:MessageID s:mustUnderstand="true">${escapeXml(messageId)}</a:MessageID>`,
    `<a:ReplyTo><a:Address>${ANONYMOUS}</a:Address></a:ReplyTo>`,
    `<w:OperationTimeout>PT20S</w:OperationTimeout>`,
    selectorSet(resource),
  ].join('')
  return new TextEncoder().encode(
    `<?xml version="1.0" encoding="utf-8"?><s:Envelope xmlns:s="${SOAP}" xmlns:a="${ADDRESSING}" xmlns:w="${WSMAN}"><s:Header>${header}</s:Header><s:Body>${body}</s:Body></s:Envelope>`,
  )
}

/**
 * Reads an answer: the one element of its body, or the fault.
 * @throws {WireError} when it is not XML, no envelope, or has not exactly one element in its body
 */
export function parseWsmanAnswer(bytes: Uint8Array): WsmanAnswer {
  const envelope = parseXml(bytes)
  if (envelope.namespace !== SOAP || envelope.name !== 'Envelope')
    throw new WireError(WHAT, `it is "${envelope.name.slice(0, 64)}", not a SOAP 1.2 envelope`)
  const body = child(envelope, 'Body')
  const content = body?.children[0]
  if (!content || body.children.length !== 1)
    throw new WireError(WHAT, `its body has ${body?.children.length ?? 0} elements, not one`)
  if (content.namespace === SOAP && content.name === 'Fault') return fault(content)
  return { kind: 'answer', relatesTo: child(child(envelope, 'Header'), 'RelatesTo')?.text ?? '', body: content }
}

/** The class that a resource is of: the last part of its URI. */
export function className({ uri }: Resource): string {
  return uri.slice(uri.lastIndexOf('/') + 1)
}

/** SOAP 1.2 part 1 §5.4: Code with Subcode, and the reason in words. */
function fault(content: XmlElement): WsmanAnswer {
  const code = child(content, 'Code')
  return {
    kind: 'fault',
    code: withoutPrefix(child(code, 'Value')?.text ?? ''),
    subcode: withoutPrefix(child(child(code, 'Subcode'), 'Value')?.text ?? ''),
    reason: child(child(content, 'Reason'), 'Text')?.text.slice(0, 300) ?? '',
  }
}

function withoutPrefix(qualified: string): string {
  return qualified.slice(qualified.indexOf(':') + 1).slice(0, 64)
}

function element(name: string, fields: WsmanFields, namespace: string): string {
  const inner = fields.map(([field, value]) => {
    const content =
      typeof value === 'string'
        ? escapeXml(value)
        : `<a:Address>${ANONYMOUS}</a:Address><a:ReferenceParameters><w:ResourceURI>${escapeXml(value.uri)}</w:ResourceURI>${selectorSet(value)}</a:ReferenceParameters>`
    return `<r:${field}>${content}</r:${field}>`
  })
  return `<r:${name} xmlns:r="${escapeXml(namespace)}">${inner.join('')}</r:${name}>`
}

function selectorSet({ selectors }: Resource): string {
  if (!selectors) return ''
  const all = Object.entries(selectors).map(
    ([name, value]) => `<w:Selector Name="${escapeXml(name)}">${escapeXml(value)}</w:Selector>`,
  )
  return `<w:SelectorSet>${all.join('')}</w:SelectorSet>`
}
