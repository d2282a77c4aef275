/**
 * The part of Go's text/template that docker's users write after `--format`: `{{.Field}}`, `{{.A.B}}`, `{{json .}}`,
 * `{{.Field | json}}`, `{{.Label "key"}}`, `{{index .Map "key"}}` and the functions of FUNCTIONS. No blocks, no variables.
 *
 * Fields are found whatever their case, so that `.State` and `.state` are one: the API's names begin in lower case, docker's
 * in upper case.
 */
import { AppError } from '../../base/errors.ts'

/** A value that a template shows: rows of a table give functions for fields that are made on demand. */
export type Data = unknown

type Operand = { readonly path: readonly string[] } | { readonly value: string | number }
interface Call {
  readonly name?: string
  readonly operands: readonly Operand[]
}
type Part = string | readonly Call[]
export type Template = readonly Part[]

const FUNCTIONS: Readonly<Record<string, (...values: unknown[]) => unknown>> = {
  json: (value) => JSON.stringify(value) ?? 'null',
  upper: (value) => show(value).toUpperCase(),
  lower: (value) => show(value).toLowerCase(),
  join: (values, separator) => (Array.isArray(values) ? values.map(show).join(show(separator)) : show(values)),
  len: (value) => (Array.isArray(value) || typeof value === 'string' ? value.length : Object.keys(value ?? {}).length),
  truncate: (value, length) => show(value).slice(0, Number(length)),
  println: (...values) => `${values.map(show).join(' ')}\n`,
  index: (value, ...keys) => keys.reduce(entry, value),
}

const TOKEN = /\s+|\|\s*|\.(?:[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)?(?!\w)|[A-Za-z_]\w*|"(?:[^"\\]|\\.)*"|`[^`]*`|-?\d+/y

/**
 * Reads a template. `\t` and `\n` written out mean a tab and a newline, as in docker's `--format`.
 * @throws {AppError} invalid, with the place that is not understood
 */
export function parseTemplate(text: string): Template {
  const parts: Part[] = []
  let at = 0
  for (;;) {
    const open = text.indexOf('{{', at)
    parts.push(unescape(text.slice(at, open === -1 ? text.length : open)))
    if (open === -1) return parts
    const close = text.indexOf('}}', open)
    if (close === -1) throw wrong(text, 'a "{{" has no "}}"')
    parts.push(parsePipeline(text.slice(open + 2, close), text))
    at = close + 2
  }
}

/**
 * Fills a template in.
 * @param fieldsOnly a field that `data` does not have is an error instead of `<no value>`
 * @throws {AppError} invalid, when a field or argument makes no sense
 */
export function renderTemplate(template: Template, data: Data, { fieldsOnly = false } = {}): string {
  return template.map((part) => (typeof part === 'string' ? part : show(evaluate(part, data, fieldsOnly)))).join('')
}

/** The names of the fields that a template shows, in order. */
export function templateFields(template: Template): string[] {
  return template.flatMap((part) =>
    typeof part === 'string'
      ? []
      : part.flatMap(({ operands }) =>
          operands.flatMap((operand) => ('path' in operand ? operand.path.slice(0, 1) : [])),
        ),
  )
}

function parsePipeline(source: string, whole: string): Call[] {
  const calls: { name?: string; operands: Operand[] }[] = [{ operands: [] }]
  // `{{- x -}}` trims blanks around itself in Go; the markers alone are accepted.
  const text = source.replace(/^- | -$/g, '')
  TOKEN.lastIndex = 0
  for (let at = 0; at < text.length; at = TOKEN.lastIndex) {
    const token = TOKEN.exec(text)?.[0]
    if (token === undefined) throw wrong(whole, `"${text.slice(at).trim()}" is not understood`)
    const call = calls.at(-1)!
    if (token.trim() === '') continue
    if (token.startsWith('|')) calls.push({ operands: [] })
    else if (token.startsWith('.')) call.operands.push({ path: token === '.' ? [] : token.slice(1).split('.') })
    else if (token.startsWith('"')) call.operands.push({ value: unquote(token, whole) })
    else if (token.startsWith('`')) call.operands.push({ value: token.slice(1, -1) })
    else if (/^-?\d/.test(token)) call.operands.push({ value: Number(token) })
    else if (Object.hasOwn(FUNCTIONS, token) && call.name === undefined && call.operands.length === 0) call.name = token
    else throw wrong(whole, `function "${token}" not defined; there are ${Object.keys(FUNCTIONS).join(', ')}`)
  }
  const empty = calls.find((call, index) => call.operands.length === 0 && (index === 0 || call.name === undefined))
  if (empty) throw wrong(whole, 'a command between "{{" and "}}" is missing')
  return calls
}

function evaluate(calls: readonly Call[], data: Data, fieldsOnly: boolean): unknown {
  let piped: unknown[] = []
  for (const { name, operands } of calls) {
    const values = operands.map((operand) =>
      'value' in operand ? operand.value : lookUp(data, operand.path, fieldsOnly),
    )
    const all = [...values, ...piped]
    piped = [name === undefined ? apply(all) : FUNCTIONS[name]!(...all)]
  }
  return settle(piped[0])
}

/** A lone value is itself; a function with arguments after it (`.Label "key"`) is called. */
function apply([first, ...rest]: unknown[]): unknown {
  if (rest.length === 0) return settle(first)
  if (typeof first !== 'function')
    throw new AppError('invalid', 'Cannot use a template: only a function takes arguments')
  return first(...rest)
}

function settle(value: unknown): unknown {
  return typeof value === 'function' ? value('') : value
}

function lookUp(data: Data, path: readonly string[], fieldsOnly: boolean): unknown {
  let value = data
  for (const name of path) {
    const keys = typeof value === 'object' && value !== null ? Object.keys(value) : []
    const key = keys.find((one) => one === name) ?? keys.find((one) => one.toLowerCase() === name.toLowerCase())
    if (key === undefined) {
      if (fieldsOnly)
        throw new AppError(
          'invalid',
          `Cannot use template field ".${name}": there is no such field; there are ${keys.join(', ')}`,
        )
      return undefined
    }
    value = (value as Record<string, unknown>)[key]
  }
  return value
}

function entry(value: unknown, key: unknown): unknown {
  if (typeof value !== 'object' || value === null) return undefined
  return Object.hasOwn(value, show(key)) ? (value as Record<string, unknown>)[show(key)] : undefined
}

function show(value: unknown): string {
  if (value === undefined || value === null) return '<no value>'
  if (typeof value === 'string') return value
  if (typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint') return String(value)
  if (Array.isArray(value)) return `[${value.map(show).join(' ')}]`
  if (typeof value !== 'object') return ''
  // Go prints a map so, its keys sorted.
  const entries = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1))
  return `map[${entries.map(([key, one]) => `${key}:${show(one)}`).join(' ')}]`
}

function unescape(text: string): string {
  return text.replaceAll('\\t', '\t').replaceAll('\\n', '\n')
}

function unquote(token: string, whole: string): string {
  try {
    return JSON.parse(token) as string
  } catch {
    throw wrong(whole, `${token} is not a string`)
  }
}

function wrong(template: string, why: string): AppError {
  return new AppError('invalid', `Cannot read template "${template}": ${why}`)
}
