import { USAGE_KINDS, type StoreUsage, type UsageRow } from '../../../model/store.ts'
import { AppError } from '../../../base/errors.ts'
import { example, FORMAT_OPTION, JSON_OPTION } from '../../option.ts'
import { ago, humanSize, shortId } from '../../output/human.ts'
import { printList, type Column, type ListOptions } from '../../output/list.ts'
import { splitReference } from '../../output/reference.ts'
import { formatTable, printable } from '../../output/table.ts'
import type { Session } from '../../session.ts'
import type { Register } from '../../verbs.ts'

export const register: Register = (program, session) =>
  program
    .command('df')
    .summary('show what takes how much room')
    .description(
      'Shows what the store takes on the disk and how much of it "system prune --all", "rm" and "kit rm" could give back. Layers that several images share count once.',
    )
    .option('-v, --verbose', 'one by one')
    .option(...FORMAT_OPTION)
    .option(...JSON_OPTION)
    .addHelpText('after', example('bareboat system df', 'bareboat system df -v'))
    .action(async (flags: ListOptions & { verbose?: boolean }) => {
      const usage = await session.client().store.usage({ signal: session.signal })
      if (flags.json === true) return session.printJson(usage)
      if (flags.verbose !== true) return printList(session, usage.rows, COLUMNS, flags)
      if (flags.format !== undefined)
        throw new AppError('invalid', 'Cannot use --format with --verbose: it is for the summary; use --json')
      await session.print(detailsOf(usage, session))
    })

const COLUMNS: readonly Column<UsageRow>[] = [
  { field: 'Type', heading: 'TYPE', value: ({ kind }) => USAGE_KINDS[kind].heading },
  { field: 'TotalCount', heading: 'TOTAL', value: ({ total }) => String(total) },
  { field: 'Active', heading: 'ACTIVE', value: ({ active }) => String(active) },
  { field: 'Size', heading: 'SIZE', value: ({ sizeBytes }) => humanSize(sizeBytes, 4) },
  { field: 'Reclaimable', heading: 'RECLAIMABLE', value: reclaimable },
]

function reclaimable({ sizeBytes, reclaimableBytes }: UsageRow): string {
  const size = humanSize(reclaimableBytes, 4)
  return sizeBytes === 0 ? size : `${size} (${Math.floor((100 * reclaimableBytes) / sizeBytes)}%)`
}

/** A table of each kind that there is something of, and the disk. */
function detailsOf(usage: StoreUsage, session: Session): string {
  const nowMs = session.io.now()
  const size = (sizeBytes: number) => humanSize(sizeBytes, 4)
  const images = usage.images.flatMap((image) =>
    (image.references.length === 0 ? [undefined] : image.references).map((reference) => {
      const { repository, tag } = reference === undefined ? NO_NAME : splitReference(reference)
      return [
        repository,
        tag,
        shortId(image.id),
        image.createdAt === undefined ? 'N/A' : ago(image.createdAt, nowMs),
        size(image.sizeBytes),
        size(image.sharedBytes),
        size(image.uniqueBytes),
        String(image.containers),
      ]
    }),
  )
  const tables: readonly (readonly [title: string, headings: readonly string[], rows: readonly string[][]])[] = [
    [
      'Images',
      ['REPOSITORY', 'TAG', 'IMAGE ID', 'CREATED', 'SIZE', 'SHARED SIZE', 'UNIQUE SIZE', 'CONTAINERS'],
      images,
    ],
    [
      'Layers',
      ['LAYER', 'SIZE', 'IMAGES', 'STATE'],
      usage.layers.map((layer) => [
        shortId(layer.diffId),
        size(layer.sizeBytes),
        String(layer.images),
        layer.isRotten ? 'rotten' : 'ok',
      ]),
    ],
    [
      'Containers',
      ['CONTAINER ID', 'IMAGE', 'STATE', 'SIZE', 'NAMES'],
      usage.containers.map(({ id, image, state, sizeBytes, name }) => [
        shortId(id),
        image,
        state,
        size(sizeBytes),
        name,
      ]),
    ],
    [
      'Kits',
      ['DIGEST', 'DEFAULT', 'CREATED', 'SIZE'],
      usage.kits.map((kit) => [
        shortId(kit.digest),
        kit.isDefault ? 'yes' : 'no',
        ago(kit.createdAt, nowMs),
        size(kit.sizeBytes),
      ]),
    ],
    [
      'Boot files',
      ['KIND', 'NAME', 'CREATED', 'SIZE'],
      usage.bootFiles.map(({ kind, name, createdAt, sizeBytes }) => [
        kind,
        name,
        ago(createdAt, nowMs),
        size(sizeBytes),
      ]),
    ],
    [
      'Device maps',
      ['IMAGE ID', 'NAME', 'SIZE'],
      usage.devices.map(({ imageId, rootHash, sizeBytes }) => [
        imageId === undefined ? '<none>' : shortId(imageId),
        rootHash,
        size(sizeBytes),
      ]),
    ],
    [
      'Squashfs files',
      ['IMAGE ID', 'SIZE'],
      usage.squashfs.map(({ imageId, sizeBytes }) => [shortId(imageId), size(sizeBytes)]),
    ],
    [
      'Unfinished pulls',
      ['LAYER', 'LAST', 'STATE', 'SIZE'],
      usage.transfers.map(({ digest, changedAt, isUnderWay, sizeBytes }) => [
        shortId(digest),
        ago(changedAt, nowMs),
        isUnderWay ? 'under way' : 'broken off',
        size(sizeBytes),
      ]),
    ],
  ]
  const shown = tables
    .filter(([, , rows]) => rows.length > 0)
    .map(
      ([title, headings, rows]) =>
        `${title}:\n\n${formatTable([headings, ...rows.map((row) => row.map(printable))])}\n`,
    )
  const { sizeBytes, freeBytes } = usage.disk
  return `${shown.join('')}Disk: ${size(freeBytes)} free of ${size(sizeBytes)}\n`
}

const NO_NAME = { repository: '<none>', tag: '<none>' }
