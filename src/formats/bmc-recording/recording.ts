/**
 * What passed between us and a BMC during one operation, as JSON lines: first what it is, then a line for each exchange, last what came
 * of it. Nothing that logs in is in it: of a login there is what was agreed, never what proved it.
 */
import { z } from 'zod'
import { WireError } from '../../base/errors.ts'

export const RECORDING_VERSION = 1
/** A longer one is not read; whoever records stops before. */
export const MAX_RECORDING_BYTES = 768 * 1024
const MAX_STEPS = 8192
/** IPMI messages fit a datagram. */
const MAX_HEX = 4096

const text = z.string().max(MAX_RECORDING_BYTES)
const word = z.string().max(256)
const ms = z.number().nonnegative().max(86_400_000)
const hex = z
  .string()
  .max(MAX_HEX)
  .regex(/^(?:[0-9a-f]{2})*$/)
const byte = z.int().min(0).max(0xff)
const failure = z.strictObject({ code: word, message: text })

const header = z.strictObject({
  kind: z.literal('bareboat-bmc-recording'),
  version: z.literal(RECORDING_VERSION),
  protocol: word,
  operation: word,
  /** Milliseconds since the epoch. */
  at: z.int().nonnegative(),
  release: word,
})
/** `ms` is since the recording began, `tookMs` how long the exchange took. */
const timing = { ms, tookMs: ms }
/** A session was set up with a cipher suite, or was not. */
const ipmiSession = z.strictObject({
  is: z.literal('ipmi-session'),
  ...timing,
  suite: byte.optional(),
  privilege: z.enum(['operator', 'administrator']).optional(),
  error: failure.optional(),
})
/** A command and its answer: completion code and data, neither where nothing came. */
const ipmi = z.strictObject({
  is: z.literal('ipmi'),
  ...timing,
  /** For people. */
  name: word,
  netFn: byte,
  command: byte,
  data: hex,
  completion: byte.optional(),
  answer: hex.optional(),
})
/** A request over HTTP and its answer, neither where none came. Headers that log in are masked. */
const http = z.strictObject({
  is: z.literal('http'),
  ...timing,
  method: word,
  path: text,
  headers: z.record(word, text),
  body: text.optional(),
  status: z.int().min(100).max(999).optional(),
  answerHeaders: z.record(word, text).optional(),
  answer: text.optional(),
  error: failure.optional(),
})
const outcome = z.strictObject({
  is: z.literal('outcome'),
  ms,
  /** What the operation yielded; absent where it yields nothing. */
  value: z.unknown().optional(),
  error: failure.optional(),
  /** The recording became too long: exchanges are missing. */
  isCut: z.boolean().optional(),
})
const step = z.discriminatedUnion('is', [ipmiSession, ipmi, http, outcome])

export type RecordingHeader = Omit<z.infer<typeof header>, 'kind' | 'version'>
export type IpmiSessionStep = z.infer<typeof ipmiSession>
export type IpmiStep = z.infer<typeof ipmi>
export type HttpStep = z.infer<typeof http>
export type Outcome = z.infer<typeof outcome>
/** One exchange with a BMC. */
export type Exchanged = IpmiSessionStep | IpmiStep | HttpStep

export interface Recording {
  readonly header: RecordingHeader
  readonly exchanges: readonly Exchanged[]
  readonly outcome: Outcome
}

/** @throws {WireError} when it is too long, of another version, or not such a recording */
export function parseRecording(document: string): Recording {
  const wrong = (why: string, line?: number) =>
    new WireError('BMC recording', line === undefined ? why : `line ${line}: ${why}`)
  if (Buffer.byteLength(document) > MAX_RECORDING_BYTES) throw wrong(`more than ${MAX_RECORDING_BYTES} bytes`)
  const lines = document.split('\n')
  if (lines.at(-1) === '') lines.pop()
  if (lines.length > MAX_STEPS + 2) throw wrong(`more than ${MAX_STEPS} exchanges`)
  if (lines.length < 2) throw wrong('it has no end')
  const read = <T>(schema: z.ZodType<T>, at: number): T => {
    const value = parseJson(lines[at]!)
    if (value === undefined) throw wrong('it is not JSON', at + 1)
    const result = schema.safeParse(value)
    if (result.success) return result.data
    const issue = result.error.issues[0]
    throw wrong(`${issue?.path.join('.') ?? ''} ${issue?.message ?? ''}`.trim(), at + 1)
  }
  const { kind: _, version: __, ...head } = read(header, 0)
  const last = read(outcome, lines.length - 1)
  const exchanges = lines.slice(1, -1).map((_line, n) => {
    const each = read(step, n + 1)
    if (each.is === 'outcome') throw wrong('it ends before its last line', n + 2)
    return each
  })
  return { header: head, exchanges, outcome: last }
}

export function serializeRecording({ header: head, exchanges, outcome: last }: Recording): string {
  const first = { kind: 'bareboat-bmc-recording', version: RECORDING_VERSION, ...head }
  return [first, ...exchanges, last].map((line) => `${JSON.stringify(line)}\n`).join('')
}

/** One exchange in one line for people. */
export function describeExchange(exchange: Exchanged): string {
  switch (exchange.is) {
    case 'ipmi-session':
      return exchange.error
        ? `no session: ${exchange.error.message}`
        : `session: cipher suite ${exchange.suite ?? '?'}, ${exchange.privilege ?? '?'}`
    case 'ipmi': {
      const asked = `${exchange.name}${exchange.data === '' ? '' : ` ${exchange.data}`}`
      if (exchange.completion === undefined) return `${asked}: no answer`
      const code = exchange.completion.toString(16).padStart(2, '0').toUpperCase()
      return `${asked}: ${code}h${exchange.answer ? ` ${exchange.answer}` : ''}`
    }
    case 'http':
      return `${exchange.method} ${exchange.path}: ${exchange.status ?? exchange.error?.message ?? 'no answer'}`
    default:
      return exchange satisfies never
  }
}

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}
