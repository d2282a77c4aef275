import { AppError } from '../../base/errors.ts'
import type { ImageSummary } from '../../model/api.ts'
import { collect, example, FORMAT_OPTION, JSON_OPTION } from '../option.ts'
import { ago, createdAtText, humanSize, shortId } from '../output/human.ts'
import { printList, type Column, type ListOptions } from '../output/list.ts'
import { splitReference } from '../output/reference.ts'
import type { Register } from '../verbs.ts'

interface Flags extends ListOptions {
  all?: boolean
  trunc: boolean
  digests?: boolean
  filter: string[]
}
/** One line of the list: an image under one of its names. */
interface Row {
  readonly image: ImageSummary
  readonly repository: string
  readonly tag: string
}

export const register: Register = (program, session) =>
  program
    .command('images')
    .summary('list images')
    .argument('[reference]', 'only images of this repository, or with this name')
    .option('-a, --all', 'accepted as in docker: all images are shown always')
    .option('-q, --quiet', 'ids only')
    .option('--no-trunc', 'do not shorten ids')
    .option('--digests', 'show digests of manifests')
    .option('-f, --filter <key=value>', 'reference=PATTERN or dangling=true|false (repeatable)', collect, [])
    .option(...FORMAT_OPTION)
    .option(...JSON_OPTION)
    .addHelpText('after', example('bareboat images'))
    .action(async (reference: string | undefined, flags: Flags) => {
      const images = await session.client().images.list({ signal: session.signal })
      const filters = [...flags.filter, ...(reference === undefined ? [] : [`reference=${reference}`])]
      const rows = images
        .toSorted((a, b) => (b.createdAt ?? 0) - (a.createdAt ?? 0))
        .flatMap(toRows)
        .filter((row) => filters.every((filter) => matches(row, filter)))
      if (flags.json === true) return session.printJson([...new Set(rows.map(({ image }) => image))])
      const id = ({ image }: Row) => (flags.trunc ? shortId(image.id) : image.id)
      if (flags.quiet === true && flags.format === undefined) return session.printLines([...new Set(rows.map(id))])
      await printList(session, rows, columns(session.io.now(), id, flags.digests === true), flags)
    })

function toRows(image: ImageSummary): Row[] {
  if (image.references.length === 0) return [{ image, repository: '<none>', tag: '<none>' }]
  return image.references.map((reference) => ({ image, ...splitReference(reference) }))
}

function columns(nowMs: number, id: (row: Row) => string, hasDigests: boolean): Column<Row>[] {
  return [
    { field: 'Repository', heading: 'REPOSITORY', value: ({ repository }) => repository },
    { field: 'Tag', heading: 'TAG', value: ({ tag }) => tag },
    { field: 'Digest', heading: 'DIGEST', value: ({ image }) => image.manifestDigest ?? '<none>', hidden: !hasDigests },
    { field: 'ID', heading: 'IMAGE ID', value: id },
    {
      field: 'CreatedSince',
      heading: 'CREATED',
      value: ({ image }) => (image.createdAt === undefined ? 'N/A' : ago(image.createdAt, nowMs)),
    },
    { field: 'Size', heading: 'SIZE', value: ({ image }) => humanSize(image.sizeBytes) },
    { field: 'Architecture', heading: 'ARCHITECTURE', value: ({ image }) => image.architecture, hidden: true },
    {
      field: 'CreatedAt',
      heading: 'CREATED AT',
      value: ({ image }) => (image.createdAt === undefined ? 'N/A' : createdAtText(image.createdAt)),
      hidden: true,
    },
  ]
}

function matches({ repository, tag }: Row, filter: string): boolean {
  const [key, value = ''] = filter.split(/=(.*)/s)
  if (key === 'dangling') return (tag === '<none>') === (value === 'true' || value === '1')
  if (key !== 'reference')
    throw new AppError(
      'invalid',
      `Cannot use filter "${filter}": it is neither reference=PATTERN nor dangling=true|false`,
    )
  const pattern = new RegExp(
    `^${value
      .replace(/[.+^${}()|\\]/g, '\\$&')
      .replaceAll('*', '[^/]*')
      .replaceAll('?', '[^/]')}$`,
  )
  return pattern.test(repository) || pattern.test(`${repository}:${tag}`)
}
