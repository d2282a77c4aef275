import { AppError } from '../../../base/errors.ts'
import { CHECK_BYTES_PER_SECOND, type CheckReport, type Finding } from '../../../model/store.ts'
import { example, JSON_OPTION } from '../../option.ts'
import { humanSize, shortId } from '../../output/human.ts'
import { showSteps } from '../../output/progress.ts'
import { printable } from '../../output/table.ts'
import type { Session } from '../../session.ts'
import type { Register } from '../../verbs.ts'

interface Flags {
  repair?: boolean
  rate?: string
  quiet?: boolean
  json?: boolean
}

export const register: Register = (program, session) =>
  program
    .command('check')
    .summary('hold all that is stored against its digests')
    .description(
      'Reads every layer and holds it, its index and its hashes, the documents of images, maps of devices, squashfs files and kits against their digests. A layer that has rotten counts as missing from then on: the next pull or run fetches it again. Ends with 5 when something is wrong and was not repaired.',
    )
    .option('--repair', 'fetch again what has rotten from its registry, make again what is made of layers')
    .option(
      '--rate <size>',
      `how many bytes a second are read at most, e.g. 50MB; 0 for all (default ${humanSize(CHECK_BYTES_PER_SECOND)})`,
    )
    .option('-q, --quiet', 'do not show progress')
    .option(...JSON_OPTION)
    .addHelpText('after', example('bareboat system check', 'bareboat system check --repair --rate 50MB'))
    .action(async ({ repair = false, rate, quiet, json = false }: Flags) => {
      const request = { repair, ...(rate === undefined ? {} : { bytesPerSecond: parseRate(rate) }) }
      const report = await follow(session, request, { quiet: quiet === true, json })
      if (json) await session.printJson(report)
      else await printReport(session, report)
      const left = report.findings.filter(({ state }) => state !== 'repaired')
      if (left.length > 0) session.complain(verdict(left))
    })

async function follow(
  session: Session,
  request: { repair: boolean; bytesPerSecond?: number },
  how: { quiet: boolean; json: boolean },
): Promise<CheckReport> {
  using bars = showSteps(session, how)
  return session.client().store.check(request, (progress) => bars.show({ ...progress, step: shortId(progress.step) }), {
    signal: session.signal,
  })
}

async function printReport(session: Session, report: CheckReport): Promise<void> {
  const { images, layers, devices, sizeBytes, findings } = report
  await session.printLines([
    ...findings.flatMap(linesOf).map(printable),
    `Checked ${layers} layers (${humanSize(sizeBytes, 4)}), ${images} images, ${devices} device maps: ${
      findings.length === 0 ? 'all is as it should be' : `${findings.length} wrong`
    }`,
  ])
}

/** So many ranges are printed; `--json` has all. */
const SHOWN_RANGES = 8

function linesOf({ kind, id, images, why, ranges, state, note }: Finding): string[] {
  const shown = ranges.slice(0, SHOWN_RANGES).map(({ from, to }) => `${from}-${to - 1}`)
  const more = ranges.length > shown.length ? ` and ${ranges.length - shown.length} more` : ''
  return [
    `${kind} ${id}: ${why}`,
    ...(images.length > 0 && kind !== 'image' ? [`  of ${images.join(', ')}`] : []),
    ...(shown.length > 0 ? [`  bytes ${shown.join(', ')}${more}`] : []),
    ...(note === undefined ? [] : [`  ${state === 'repaired' ? 'repaired' : 'not repaired'}: ${note}`]),
  ]
}

function verdict(left: readonly Finding[]): AppError {
  const isTried = left.some(({ state }) => state === 'failed')
  const help = isTried
    ? 'pull or import these images again'
    : '"bareboat system check --repair" fetches or makes it again'
  const what = left.length === 1 ? '1 thing is wrong' : `${left.length} things are wrong`
  return new AppError('conflict', `Cannot vouch for the store: ${what}; ${help}`)
}

const UNITS: Readonly<Record<string, number>> = { '': 1, k: 1e3, m: 1e6, g: 1e9 }

/** @throws {AppError} invalid */
function parseRate(text: string): number {
  const [, number, unit] = /^(\d{1,9}(?:\.\d{1,3})?)([kmg]?)b?$/i.exec(text) ?? []
  if (number === undefined)
    throw new AppError('invalid', `Cannot use --rate "${text}": it is not a number of bytes such as 50MB`)
  return Math.round(Number(number) * UNITS[unit!.toLowerCase()]!)
}
