/** A Redfish service's refusal in words: the messages of its extended error (DSP0266 §8.6, "Error responses"). */
import { AppError, type ErrorCode } from '../../../base/errors.ts'

/** The BMC answered, and the answer is no. */
export class RedfishRefusal extends AppError {
  readonly status: number
  /** Names of its messages without registry and version: `PropertyValueNotInList`. */
  readonly messages: readonly string[]

  constructor(code: ErrorCode, message: string, status: number, messages: readonly string[]) {
    super(code, message)
    this.status = status
    this.messages = messages
  }

  /** Whether one of its messages has this name. */
  says(...names: readonly string[]): boolean {
    return this.messages.some((message) => names.includes(message))
  }
}

/** No answer to a request that must not be sent twice: it may have been done. */
export class LostAnswer extends AppError {}

export interface ExtendedMessage {
  /** Without registry and version. */
  readonly name: string
  /** For people: printable, cut, without secrets. */
  readonly text: string
}

const MAX_MESSAGES = 3
const MAX_TEXT_CHARS = 240

const CODE_OF_STATUS: Readonly<Record<number, ErrorCode>> = {
  400: 'bad_peer',
  401: 'unauthorized',
  403: 'forbidden',
  404: 'not_found',
  405: 'unsupported',
  409: 'conflict',
  412: 'conflict',
  429: 'exhausted',
  501: 'unsupported',
  503: 'exhausted',
  504: 'timeout',
}

/** Names of messages that say more than the status does (DSP0268's Base registry). */
const CODE_OF_MESSAGE: Readonly<Record<string, ErrorCode>> = {
  ActionNotSupported: 'unsupported',
  ActionParameterNotSupported: 'unsupported',
  ActionParameterValueNotInList: 'unsupported',
  InsufficientPrivilege: 'forbidden',
  NoValidSession: 'unauthorized',
  PropertyNotWritable: 'unsupported',
  PropertyUnknown: 'unsupported',
  PropertyValueNotInList: 'unsupported',
  ResourceExhaustion: 'exhausted',
  ResourceInUse: 'conflict',
  ResourceInStandby: 'conflict',
  ServiceInUnknownState: 'conflict',
  ServiceTemporarilyUnavailable: 'exhausted',
  SessionLimitExceeded: 'exhausted',
}

/**
 * The error for an answer that is no success.
 * @param doing how the message begins, e.g. `Cannot PATCH "/redfish/v1/Systems/1" on BMC "10.0.3.7:443"`
 * @param secrets are masked where the BMC repeats them
 */
export function refusal(doing: string, status: number, body: unknown, secrets: readonly string[]): RedfishRefusal {
  const messages = extendedMessages(body, secrets)
  const said = messages.map(({ name, text }) => (text === '' ? name : `${name} (${text})`)).join(', ')
  const code =
    messages.map(({ name }) => CODE_OF_MESSAGE[name]).find((known) => known !== undefined) ??
    CODE_OF_STATUS[status] ??
    (status >= 500 ? 'unreachable' : 'bad_peer')
  return new RedfishRefusal(
    code,
    `${doing}: it answers ${status}${said === '' ? '' : ` ${said}`}`,
    status,
    messages.map(({ name }) => name),
  )
}

/**
 * The messages of an answer, the first few. They stand in `error["@Message.ExtendedInfo"]`; some services put them beside the
 * resource, and some have one message and no list.
 */
export function extendedMessages(body: unknown, secrets: readonly string[]): readonly ExtendedMessage[] {
  const error = member(body, 'error') ?? body
  const list = member(error, '@Message.ExtendedInfo')
  const entries: readonly unknown[] = Array.isArray(list) ? list : list === undefined ? [] : [list]
  const found = entries.slice(0, MAX_MESSAGES).flatMap((entry) => {
    // Some send no text, and say by the arguments what it is about (HPE iLO 4).
    const text = clean(member(entry, 'Message'), secrets) || clean(argumentsOf(entry), secrets)
    const name = shortName(member(entry, 'MessageId') ?? member(entry, 'MessageID'))
    return text === '' && name === '' ? [] : [{ name: name === '' ? 'error' : name, text }]
  })
  if (found.length > 0) return found
  const text = clean(member(error, 'message'), secrets)
  const name = shortName(member(error, 'code'))
  return text === '' && name === '' ? [] : [{ name: name === '' ? 'error' : name, text }]
}

function argumentsOf(entry: unknown): string {
  const list = member(entry, 'MessageArgs')
  return Array.isArray(list)
    ? list
        .slice(0, 8)
        .filter((one) => typeof one === 'string')
        .join(', ')
    : ''
}

/** `Base.1.8.GeneralError` → `GeneralError`. */
function shortName(id: unknown): string {
  if (typeof id !== 'string') return ''
  return /[A-Za-z0-9]{1,64}$/.exec(id.slice(0, 200))?.[0] ?? ''
}

/** A stranger's text for a terminal or a log: no control characters, no secret of ours, cut. */
function clean(text: unknown, secrets: readonly string[]): string {
  if (typeof text !== 'string') return ''
  let masked = text.slice(0, 4096)
  for (const secret of secrets) if (secret !== '') masked = masked.replaceAll(secret, '****')
  return masked
    .replaceAll(/[^\x20-\x7e]+/g, ' ')
    .trim()
    .slice(0, MAX_TEXT_CHARS)
    .replace(/\.$/, '')
}

function member(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  return Object.getOwnPropertyDescriptor(value, name)?.value
}
