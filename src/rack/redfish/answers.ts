/** Answers of a Redfish service: resources with their ETags, and refusals in the words of the Base registry (DSP8011). */
import { createHash } from 'node:crypto'
import type { WebAnswer } from '../web.ts'
import type { Resource } from './resources.ts'

const HEADERS = {
  'content-type': 'application/json; charset=utf-8',
  'odata-version': '4.0',
  'cache-control': 'no-cache',
}

/** A request that is not done, and why. */
export class Refusal extends Error {
  readonly status: number
  readonly messageId: string
  readonly headers: Readonly<Record<string, string>>

  /** @param messageId of the Base registry, e.g. `PropertyUnknown` */
  constructor(status: number, messageId: string, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(message)
    this.status = status
    this.messageId = messageId
    this.headers = headers
  }
}

/** The ETag of a resource: another one when anything in it is another (RFC 9110 §8.8.3). */
export function etagOf(resource: Resource): string {
  return `"${createHash('sha256').update(JSON.stringify(resource)).digest('base64url').slice(0, 16)}"`
}

export function shown(resource: Resource, status = 200, headers: Readonly<Record<string, string>> = {}): WebAnswer {
  return { status, headers: { ...HEADERS, etag: etagOf(resource), ...headers }, body: JSON.stringify(resource) }
}

export function done(): WebAnswer {
  return { status: 204, headers: { 'odata-version': '4.0' } }
}

export function refused({ status, messageId, message, headers }: Refusal): WebAnswer {
  const id = `Base.1.13.${messageId}`
  const info = { '@odata.type': '#Message.v1_1_2.Message', MessageId: id, Message: message, Severity: 'Critical' }
  const error = { code: id, message, '@Message.ExtendedInfo': [info] }
  return { status, headers: { ...HEADERS, ...headers }, body: JSON.stringify({ error }) }
}

/** Whether an If-Match or If-None-Match names this ETag (RFC 9110 §13.1.1). */
export function names(header: string, etag: string): boolean {
  return header.trim() === '*' || header.split(',').some((one) => one.trim() === etag)
}
