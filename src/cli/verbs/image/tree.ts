import type { TreeEntryView } from '../../../model/api.ts'
import { example, JSON_OPTION } from '../../option.ts'
import { formatTable, printable } from '../../output/table.ts'
import type { Register } from '../../verbs.ts'

export const register: Register = (program, session) =>
  program
    .command('tree')
    .summary('list the files of an image')
    .argument('<image>', 'reference or id')
    .argument('[path]', 'only this entry and what is below it')
    .option(...JSON_OPTION)
    .addHelpText('after', example('bareboat image tree alpine /etc'))
    .action(async (image: string, path: string | undefined, flags: { json?: boolean }) => {
      const entries = await session.client().images.tree(image, path, { signal: session.signal })
      if (flags.json === true) return session.printJson(entries)
      await session.print(formatTable(entries.map(row), { minimum: 0, gap: 2 }))
    })

const LETTER = { file: '-', directory: 'd', symlink: 'l', char: 'c', block: 'b', fifo: 'p' } as const

/** As `ls -l`, with the layer that the entry comes from. */
function row(entry: TreeEntryView): string[] {
  const time = new Date(entry.mtime * 1000).toISOString().slice(0, 16).replace('T', ' ')
  const target = entry.target === undefined ? '' : ` -> ${entry.target}`
  const size = entry.device ?? String(entry.sizeBytes)
  const owner = `${entry.uid}:${entry.gid}`
  return [
    LETTER[entry.type] + modeText(entry.mode),
    owner,
    size,
    time,
    `layer ${entry.layer}`,
    printable(entry.path + target),
  ]
}

/** `rwxr-xr-x`, with s and t for set-id and sticky bits. */
export function modeText(mode: number): string {
  const bits = [0o400, 0o200, 0o100, 0o040, 0o020, 0o010, 0o004, 0o002, 0o001]
  const letters = bits.map((bit, index) => (mode & bit ? 'rwx'[index % 3]! : '-'))
  for (const [bit, index, letter] of [
    [0o4000, 2, 's'],
    [0o2000, 5, 's'],
    [0o1000, 8, 't'],
  ] as const)
    if (mode & bit) letters[index] = letters[index] === 'x' ? letter : letter.toUpperCase()
  return letters.join('')
}
