/** Pieces that the definitions of verbs share. */

/** For an option that may be given again and again. */
export function collect(value: string, before: string[]): string[] {
  return [...before, value]
}

/** The examples at the end of a verb's help. */
export function example(...lines: string[]): string {
  return `\n${lines.length === 1 ? 'Example' : 'Examples'}:\n${lines.map((line) => `  ${line}`).join('\n')}`
}

/** Rejects with `error` from commander's own argument parsing. */
export const JSON_OPTION = ['--json', 'print JSON'] as const
export const FORMAT_OPTION = ['--format <template>', "a Go template for each row, 'table TEMPLATE', or json"] as const
