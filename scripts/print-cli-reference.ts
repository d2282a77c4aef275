/** Prints docs/reference/cli.md from the tree of commands. `--write` writes the file. */
import { writeFileSync } from 'node:fs'
import { PassThrough } from 'node:stream'
import type { Command } from 'commander'
import { ERROR_CODES } from '../src/base/errors.ts'
import { createProgram } from '../src/cli/program.ts'
import { createSession } from '../src/cli/session.ts'
import { addServerCommand } from '../src/daemon/command.ts'

export const REFERENCE_FILE = new URL('../docs/reference/cli.md', import.meta.url)

/** The reference as Markdown: every command with its usage, options and examples, then the exit codes. */
export async function cliReference(): Promise<string> {
  const stdin = new PassThrough()
  const stdout = Object.assign(new PassThrough(), { columns: 100 })
  const io = { stdin, stdout, stderr: stdout, env: {}, uid: 1000, cwd: '/', now: () => 0, onSignal: () => () => {} }
  using session = createSession(io)
  const program = await createProgram(session, (whole) => addServerCommand(whole, { env: {}, uid: 1000 }))
  const sections = program.commands.flatMap((command) => section(command, 'bareboat'))
  return `${[
    '# Command line',
    '<!-- Printed by scripts/print-cli-reference.ts; do not edit. -->',
    `${program.description()}. Every command has \`--help\`.`,
    '`--host ADDRESS` before the verb names the server: `unix:///PATH` or `http://HOST:PORT`. Without it BAREBOAT_HOST is taken, else the local socket. The token for TCP comes from BAREBOAT_TOKEN, BAREBOAT_TOKEN_FILE or `~/.config/bareboat/token`.',
    ...sections,
    '## Exit codes',
    exitCodes(),
  ].join('\n\n')}\n`
}

function section(command: Command, parent: string): string[] {
  const name = `${parent} ${command.name()}`
  const about = command.description() === '' ? `${capital(command.summary())}.` : command.description()
  const own = [`${'#'.repeat(parent === 'bareboat' ? 2 : 3)} ${name}`, `${escape(about)}`]
  if (command.commands.length > 0) return [...own, ...command.commands.flatMap((one) => section(one, name))]
  return [...own, `\`\`\`\n${usage(command, parent)}\n\`\`\``, ...options(command), ...examples(command)]
}

function usage(command: Command, parent: string): string {
  return `${parent} ${command.name()} ${command.usage()}`.trim()
}

function options(command: Command): string[] {
  const rows = command.options
    .filter((option) => !option.hidden)
    .map(({ flags, description, defaultValue }) => {
      const preset = typeof defaultValue === 'string' ? ` (default: ${defaultValue})` : ''
      return `| \`${flags.replaceAll('|', '\\|')}\` | ${escape(description + preset)} |`
    })
  return rows.length === 0 ? [] : [['| option | |', '|---|---|', ...rows].join('\n')]
}

/** The text that `addHelpText` puts after a command's help. */
function examples(command: Command): string[] {
  let text = ''
  const write = (part: string) => void (text += part)
  command.configureOutput({ writeOut: write, getOutHelpWidth: () => 100 })
  command.outputHelp()
  const lines = /\nExamples?:\n([\s\S]*)$/.exec(text)?.[1] ?? ''
  const block = lines
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
  return block.length === 0 ? [] : [`\`\`\`sh\n${block.join('\n')}\n\`\`\``]
}

function exitCodes(): string {
  const rows = Object.entries(ERROR_CODES).map(([code, { exit, means }]) => `| ${exit} | ${code} | ${means} |`)
  return [
    '`run` and `exec` end with the exit code of what they ran; `run` ends with 125 whenever bareboat failed before the workload ran, `exec` with 126 when the command could not be run and 127 when it was not found.',
    [
      '| exit code | code | means |',
      '|---|---|---|',
      '| 0 | | done |',
      ...rows,
      '| 141 | | nobody read the output any more |',
    ].join('\n'),
  ].join('\n\n')
}

function capital(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1)
}

function escape(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('<', '&lt;').replaceAll('\n', ' ')
}

if (import.meta.main) {
  const text = await cliReference()
  if (process.argv.includes('--write')) writeFileSync(REFERENCE_FILE, text)
  else process.stdout.write(text)
}
