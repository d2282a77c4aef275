import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { AppError, systemCode } from '../../../base/errors.ts'
import type { CrawlResult } from '../../../model/discovery.ts'
import type { Inventory } from '../../../model/inventory.ts'
import { example, JSON_OPTION } from '../../option.ts'
import { formatTable, printable } from '../../output/table.ts'
import { defined, oneOf } from '../../run/request.ts'
import type { Session } from '../../session.ts'
import { askPassword } from '../../terminal/prompt.ts'
import type { Register } from '../../verbs.ts'
import { readPasswordFile } from '../machine/spec.ts'
import { tellFindings } from './columns.ts'
import { seconds, whole } from './scan.ts'

interface Flags {
  user?: string
  passwordFile?: string
  trust?: string
  ca?: string
  concurrency?: string
  timeout?: string
  json?: boolean
}

export const register: Register = (program, session) =>
  program
    .command('crawl')
    .summary('read the hardware of systems from their BMCs')
    .description(
      'Reads systems, chassis, managers, network interfaces, processors, memory, disks, GPUs, TPM, firmware, power and thermal over Redfish, or who it is, its power and its sensors from a BMC that speaks only IPMI. Nothing is changed on a BMC. The password is asked for on the terminal, or taken from --password-file or BAREBOAT_BMC_PASSWORD; it is kept, sealed, for `discover import`.',
    )
    .argument(
      '[bmcs...]',
      'addresses, HOST:PORT, https://HOST[:PORT] or ipmi://HOST[:PORT]; all that were found when none is named',
    )
    .option('--user <user>', 'user of the BMCs (default root)')
    .option('--password-file <file>', 'its password: the first line of a file (- for standard input)')
    .option(
      '--trust <trust>',
      'certificates: authorities (default), first-use (what the scan saw, and no other from then on) or anyone',
    )
    .option('--ca <file>', 'certificates of further authorities, PEM')
    .option('--concurrency <number>', 'BMCs at once (default 32)')
    .option('--timeout <seconds>', 'how long one BMC may take (default 300)')
    .option(...JSON_OPTION)
    .addHelpText(
      'after',
      example('bareboat discover crawl --user admin --password-file bmc.txt --trust first-use 10.0.3.7'),
    )
    .action(async (bmcs: string[], flags: Flags) => {
      const request = {
        bmcs,
        user: flags.user ?? 'root',
        password: await passwordOf(session, flags),
        ...defined({
          trust: oneOf('--trust', flags.trust, ['authorities', 'first-use', 'anyone'] as const),
          ca: flags.ca === undefined ? undefined : readText(session, flags.ca),
          concurrency: whole('--concurrency', flags.concurrency),
          timeoutMs: seconds('--timeout', flags.timeout),
        }),
      }
      const results: CrawlResult[] = []
      for await (const result of session.client().discovery.crawl(request, { signal: session.signal })) {
        results.push(result)
        if (result.error) session.complain(new AppError(result.error.code, result.error.message))
      }
      const read = results.flatMap(({ bmc }) => bmc ?? [])
      if (flags.json === true) return session.printJson(results)
      const rows = read.flatMap(({ address, systems }) => systems.map((system) => rowOf(address, system)))
      await session.print(formatTable([HEADINGS, ...rows.map((row) => row.map(printable))]))
      for (const { address, systems } of read) if (systems.length === 0) session.note(`${address} has no systems`)
      tellFindings(session, read)
    })

const HEADINGS = ['BMC', 'SERIAL', 'MODEL', 'CPUS', 'MEMORY', 'DISKS', 'MAC', 'POWER', 'NOTES']

function rowOf(address: string, { system, cpus, memory, disks, nics, notes }: Inventory): string[] {
  return [
    address,
    system.serial ?? '',
    modelOf(system),
    String(cpus.length),
    memory.totalMiB === undefined ? '' : `${memory.totalMiB}MiB`,
    String(disks.length),
    nics.find(({ mac }) => mac !== undefined)?.mac ?? '',
    system.powerState ?? '',
    String(notes.length),
  ]
}

/** Some models begin with the name of their maker. */
function modelOf({ manufacturer, model }: Inventory['system']): string {
  if (manufacturer === undefined || model?.startsWith(manufacturer) === true) return model ?? ''
  return model === undefined ? manufacturer : `${manufacturer} ${model}`
}

async function passwordOf(session: Session, { user, passwordFile }: Flags): Promise<string> {
  if (passwordFile !== undefined) return readPasswordFile(session, passwordFile)
  const given = session.io.env['BAREBOAT_BMC_PASSWORD']
  if (given !== undefined && given !== '') return given
  if (session.io.stdin.isTTY === true) return askPassword(session, `password of ${user ?? 'root'} on the BMCs`)
  throw new AppError(
    'invalid',
    'Cannot crawl: the password of the BMCs is missing; give --password-file FILE or set BAREBOAT_BMC_PASSWORD',
  )
}

function readText(session: Session, file: string): string {
  try {
    return readFileSync(resolve(session.io.cwd, file), 'utf8')
  } catch (cause) {
    throw new AppError('invalid', `Cannot read "${file}": ${systemCode(cause) ?? 'unreadable'}`, { cause })
  }
}
