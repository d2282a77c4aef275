import { createReadStream, statSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import { Readable } from 'node:stream'
import { AppError, systemCode } from '../../../base/errors.ts'
import type { StaticReport } from '../../../model/nodes.ts'
import { example, JSON_OPTION } from '../../option.ts'
import { formatTable, printable } from '../../output/table.ts'
import { oneOf } from '../../run/request.ts'
import type { Session } from '../../session.ts'
import type { Register } from '../../verbs.ts'

interface Flags {
  file?: string
  data?: string
  overwrite?: boolean
  dryRun?: boolean
  json?: boolean
}

/** What is sent, and what messages call it. */
interface Input {
  readonly source: string
  readonly body: Readable
}

export const register: Register = (program, session) =>
  program
    .command('static')
    .summary('make the machines of a nodes file known')
    .description(
      'Reads a static discovery file (nodes.yaml, or the same as JSON) and makes its machines known: all of them, or none when anything in the file is wrong. A machine that is known already and differs is changed only with --overwrite.',
    )
    .option(
      '-f, --file <file>',
      'the file, - for standard input; beside -d the format of the data: json, json-pretty or yaml',
    )
    .option('-d, --data <data>', 'the data itself, @FILE, or @- for standard input')
    .option('--overwrite', 'change machines that are known already')
    .option('--dry-run', 'only say what would change')
    .option(...JSON_OPTION)
    .addHelpText(
      'after',
      example('bareboat discover static -f nodes.yaml --dry-run', 'bareboat discover static -f yaml -d @nodes.yaml'),
    )
    .action(async (flags: Flags) => {
      const { source, body } = input(flags, session)
      const report = await session.client().discover.static(body, {
        source,
        overwrite: flags.overwrite === true,
        dryRun: flags.dryRun === true,
        signal: session.signal,
      })
      if (flags.json === true) await session.printJson(report)
      else await tell(report, source, session)
    })

function input({ file, data }: Flags, session: Session): Input {
  if (data === undefined) {
    if (file === undefined)
      throw new AppError('invalid', 'Cannot discover: no file was named; give -f FILE, or -d @FILE as ochami has it')
    return file === '-' ? standardInput(session) : open(file, session)
  }
  oneOf('-f beside -d', file, ['json', 'json-pretty', 'yaml'] as const)
  if (data === '@-') return standardInput(session)
  if (data.startsWith('@')) return open(data.slice(1), session)
  return { source: 'data', body: Readable.from([Buffer.from(data)]) }
}

function standardInput(session: Session): Input {
  if (session.io.stdin.isTTY === true)
    throw new AppError('invalid', 'Cannot discover from standard input: it is a terminal')
  return { source: 'standard input', body: session.io.stdin }
}

function open(file: string, session: Session): Input {
  const path = resolve(session.io.cwd, file)
  try {
    if (!statSync(path).isDirectory()) return { source: basename(file), body: createReadStream(path) }
  } catch (cause) {
    const code = systemCode(cause)
    const why = code === 'ENOENT' ? 'there is no such file' : (code ?? 'it cannot be read')
    throw new AppError('invalid', `Cannot discover from "${file}": ${why}`, { cause })
  }
  throw new AppError('invalid', `Cannot discover from "${file}": it is a directory`)
}

async function tell({ machines, warnings, dryRun }: StaticReport, source: string, session: Session): Promise<void> {
  for (const { line, text } of warnings) session.note(`bareboat: warning: ${source} line ${line}: ${printable(text)}`)
  const rows = machines.flatMap(({ name, action, changes }) => [
    [name, dryRun && action !== 'unchanged' ? `would be ${action}` : action, changes.map(changed).join(', ')],
  ])
  await session.print(formatTable(rows.map((row) => row.map(printable))))
}

function changed({ field, before, after }: StaticReport['machines'][number]['changes'][number]): string {
  return `${field}: ${before === '' ? '-' : before} → ${after === '' ? '-' : after}`
}
