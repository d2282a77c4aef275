import { AppError } from '../../../base/errors.ts'
import type { PruneKind, PruneReport, PruneRequest } from '../../../model/store.ts'
import { collect, example, JSON_OPTION } from '../../option.ts'
import { humanSize, shortId } from '../../output/human.ts'
import { formatTable, printable } from '../../output/table.ts'
import type { Session } from '../../session.ts'
import { askYes } from '../../terminal/prompt.ts'
import type { Register } from '../../verbs.ts'
import { parseWhen } from '../../when.ts'

interface Flags {
  all?: boolean
  dryRun?: boolean
  force?: boolean
  filter: string[]
  json?: boolean
}

export const register: Register = (program, session) =>
  program
    .command('prune')
    .summary('remove what nobody needs')
    .description(
      "Removes containers that have ended with their logs and NFS roots, images without a name that no container uses, layers of no image, and what unfinished pulls have left. What a container, a name or a pull under way refers to stays; so does a container whose machine could not be switched off. Kits go with 'kit rm'.",
    )
    .option('-a, --all', 'images with a name too, unless a container uses them')
    .option('-n, --dry-run', 'only say what would go')
    .option('-f, --force', 'do not ask')
    .option(
      '--filter <key=value>',
      'until=TIME, label=KEY[=VALUE] or label!=KEY[=VALUE] (repeatable); an image is as old as its stay here',
      collect,
      [],
    )
    .option(...JSON_OPTION)
    .addHelpText(
      'after',
      example(
        'bareboat system prune --dry-run',
        'bareboat system prune --all --filter until=240h',
        "bareboat system prune --force --filter 'label!=keep'",
      ),
    )
    .action(async ({ all = false, dryRun = false, force = false, filter, json = false }: Flags) => {
      const request = { all, ...readFilters(filter, session.io.now()) }
      const { store } = session.client()
      const ask = (isDry: boolean) => store.prune({ ...request, dryRun: isDry }, { signal: session.signal })
      if (!dryRun && !force) {
        const plan = await ask(true)
        if (plan.items.length > 0) session.note(warningOf(plan, all))
        if (plan.items.length > 0 && !(await askYes(session, 'prune the store', '--force'))) return
      }
      const report = await ask(dryRun)
      if (json) return session.printJson(report)
      await printReport(session, report)
    })

/** @throws {AppError} invalid */
function readFilters(filters: readonly string[], nowMs: number): Partial<PruneRequest> {
  const labels: string[] = []
  const notLabels: string[] = []
  let until: number | undefined
  for (const filter of filters) {
    const [, key, value = ''] = /^([^=]*)=(.*)$/s.exec(filter) ?? []
    if (key === 'label' && value !== '') labels.push(value)
    else if (key === 'label!' && value !== '') notLabels.push(value)
    else if (key === 'until' && until === undefined) until = parseWhen(value, nowMs)
    else
      throw new AppError(
        'invalid',
        `Cannot use filter "${filter}": it is until=TIME (once), label=KEY[=VALUE] or label!=KEY[=VALUE]`,
      )
  }
  return { labels, notLabels, ...(until === undefined ? {} : { until }) }
}

const WHAT: Readonly<Record<PruneKind, readonly [one: string, many: string]>> = {
  container: [
    'container that has ended, with its logs and root',
    'containers that have ended, with their logs and roots',
  ],
  image: ['image', 'images'],
  layer: ['layer', 'layers'],
  device: ['device map', 'device maps'],
  squashfs: ['squashfs file', 'squashfs files'],
  transfer: ['unfinished pull of a layer', 'unfinished pulls of layers'],
  log: ['log of no container', 'logs of no container'],
}

function warningOf({ items, reclaimedBytes }: PruneReport, all: boolean): string {
  const lines = Object.entries(WHAT).flatMap(([kind, [one, many]]) => {
    const some = items.filter((item) => item.kind === kind)
    if (some.length === 0) return []
    const which = kind !== 'image' ? '' : all ? ' that no container uses' : ' without a name that no container uses'
    return [`  - ${some.length} ${some.length === 1 ? one : many}${which}`]
  })
  return ['WARNING! This will remove:', ...lines, `  ${humanSize(reclaimedBytes, 4)} in all`].join('\n')
}

async function printReport(session: Session, { dryRun, items, reclaimedBytes }: PruneReport): Promise<void> {
  const rows = items.map(({ kind, id, names, sizeBytes }) => [
    kind,
    shortId(id),
    kind === 'image' ? '' : humanSize(sizeBytes, 4),
    printable(names.join(', ')),
  ])
  if (rows.length > 0) await session.print(formatTable([['KIND', 'ID', 'SIZE', 'NAMES'], ...rows]))
  await session.printLines([
    ...(rows.length > 0 ? [''] : []),
    `${dryRun ? 'Would reclaim' : 'Total reclaimed space'}: ${humanSize(reclaimedBytes, 4)}`,
  ])
}
