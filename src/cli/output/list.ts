/** Lists as docker prints them: a table, ids alone, a template for each row, or JSON. */
import { AppError } from '../../base/errors.ts'
import type { Session } from '../session.ts'
import { formatTable, printable } from './table.ts'
import { parseTemplate, renderTemplate, templateFields } from './template.ts'

export interface Column<T> {
  /** Name in templates and in `--format json`. */
  readonly field: string
  readonly heading: string
  /** A function for a field that takes an argument, as `.Label "key"`. */
  readonly value: (row: T) => string | ((argument: string) => string)
  /** In templates only. */
  readonly hidden?: boolean
}

export interface ListOptions {
  readonly format?: string
  readonly json?: boolean
  readonly quiet?: boolean
}

/**
 * Prints rows.
 *
 * `--json` is one document of the API's own objects; `--format json` is docker's: the shown fields, one row a line.
 * @param quiet what `-q` prints of a row
 */
export async function printList<T>(
  session: Session,
  rows: readonly T[],
  columns: readonly Column<T>[],
  options: ListOptions,
  quiet?: (row: T) => string,
): Promise<void> {
  if (options.json === true) return session.printJson(rows)
  const { format } = options
  if (options.quiet === true && quiet && format === undefined) return session.printLines(rows.map(quiet))
  if (format === 'json') return session.printLines(rows.map((row) => JSON.stringify(record(row, columns, true))))
  const shown = columns.filter((column) => column.hidden !== true)
  if (format === undefined || format === '' || format === 'table') {
    const cells = rows.map((row) => shown.map((column) => text(column, row)))
    return session.print(formatTable([shown.map((column) => column.heading), ...cells]))
  }
  await session.print(formatted(rows, columns, format))
}

function formatted<T>(rows: readonly T[], columns: readonly Column<T>[], format: string): string {
  const isTable = /^table\s/.test(format)
  const template = parseTemplate(isTable ? format.slice('table'.length).trim() : format)
  const lines = rows.map((row) => renderTemplate(template, record(row, columns, false), { fieldsOnly: true }))
  if (!isTable) return lines.map((line) => `${line}\n`).join('')
  for (const field of templateFields(template))
    if (!columns.some((column) => isNamed(column, field)))
      throw new AppError('invalid', `Cannot use template field ".${field}": there is no such field`)
  const headings = Object.fromEntries(columns.map((column) => [column.field, column.heading]))
  const header = renderTemplate(withoutFunctions(template), headings)
  return formatTable([header, ...lines].map((line) => line.split('\t')))
}

/** The headings go through the template, but not through its functions: `{{json .ID}}` has the heading of `.ID`. */
function withoutFunctions(template: ReturnType<typeof parseTemplate>): ReturnType<typeof parseTemplate> {
  return template.map((part) =>
    typeof part === 'string' ? part : [{ operands: part.flatMap((call) => call.operands).slice(0, 1) }],
  )
}

function record<T>(row: T, columns: readonly Column<T>[], isPlain: boolean): Record<string, unknown> {
  return Object.fromEntries(
    columns
      .map((column) => [column.field, column.value(row)] as const)
      .filter(([, value]) => !isPlain || typeof value === 'string'),
  )
}

function text<T>(column: Column<T>, row: T): string {
  const value = column.value(row)
  return typeof value === 'string' ? printable(value) : ''
}

function isNamed<T>(column: Column<T>, field: string): boolean {
  return column.field.toLowerCase() === field.toLowerCase()
}
