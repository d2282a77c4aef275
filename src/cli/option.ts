/** Pieces that the definitions of verbs share. */
import { AppError } from '../base/errors.ts'

/** For an option that may be given again and again. */
export function collect(value: string, before: string[]): string[] {
  return [...before, value]
}

/** The examples at the end of a verb's help. */
export function example(...lines: string[]): string {
  return `\n${lines.length === 1 ? 'Example' : 'Examples'}:\n${lines.map((line) => `  ${line}`).join('\n')}`
}

/** What `machine power` takes. */
export const POWER_ACTIONS = ['status', 'on', 'off', 'cycle', 'soft-off'] as const

/** Rejects with `error` from commander's own argument parsing. */
export const JSON_OPTION = ['--json', 'print JSON'] as const
export const FORMAT_OPTION = ['--format <template>', "a Go template for each row, 'table TEMPLATE', or json"] as const

/**
 * How many last lines; undefined for all: `all`, and what docker takes for it, any negative number.
 * @throws {AppError} invalid
 */
export function parseTail(text: string): number | undefined {
  if (text === 'all' || /^-\d+$/.test(text)) return undefined
  if (!/^\d+$/.test(text)) throw new AppError('invalid', `Cannot use --tail "${text}": it is neither a number nor all`)
  return Number(text)
}
