import { example, FORMAT_OPTION, JSON_OPTION } from '../../option.ts'
import { ago, humanSize, shortId } from '../../output/human.ts'
import { printList, type Column, type ListOptions } from '../../output/list.ts'
import type { Register } from '../../verbs.ts'

interface Row {
  readonly name: string
  readonly kind: string
  readonly digest: string
  readonly what: string
  readonly createdAt: number
  readonly sizeBytes: number
}

export const register: Register = (program, session) =>
  program
    .command('ls')
    .alias('list')
    .summary('list kits, imported kernels and initrds')
    .option('-q, --quiet', 'digests only')
    .option('--no-trunc', 'do not shorten digests')
    .option(...FORMAT_OPTION)
    .option(...JSON_OPTION)
    .addHelpText('after', example('bareboat kit ls'))
    .action(async (flags: ListOptions & { trunc: boolean }) => {
      const answer = await session.client().kits.list({ signal: session.signal })
      if (flags.json === true) return session.printJson(answer)
      const kits = answer.kits.map(({ isDefault, arch, kernelVersion, ...kit }) => ({
        ...kit,
        name: isDefault ? '(default)' : '-',
        kind: 'kit',
        what: `${arch} Linux ${kernelVersion}`,
      }))
      const rows = [...kits, ...answer.imported.map((file) => ({ ...file, what: '' }))]
      const digest = (row: Row) => (flags.trunc ? shortId(row.digest) : row.digest)
      await printList(session, rows, columns(session.io.now(), digest), flags, digest)
    })

function columns(nowMs: number, digest: (row: Row) => string): Column<Row>[] {
  return [
    { field: 'Digest', heading: 'DIGEST', value: digest },
    { field: 'Kind', heading: 'KIND', value: ({ kind }) => kind },
    { field: 'Name', heading: 'NAME', value: ({ name }) => name },
    { field: 'What', heading: 'WHAT', value: ({ what }) => what },
    { field: 'CreatedSince', heading: 'CREATED', value: ({ createdAt }) => ago(createdAt, nowMs) },
    { field: 'Size', heading: 'SIZE', value: ({ sizeBytes }) => humanSize(sizeBytes) },
  ]
}
