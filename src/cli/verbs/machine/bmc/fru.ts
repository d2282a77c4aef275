import type { BmcFru } from '../../../../model/bmc.ts'
import { example, JSON_OPTION } from '../../../option.ts'
import { printable } from '../../../output/table.ts'
import type { Register } from '../../../verbs.ts'

export const register: Register = (program, session) =>
  program
    .command('fru')
    .summary('makers, models and serial numbers')
    .argument('<machine>', 'name or id')
    .option(...JSON_OPTION)
    .addHelpText('after', example('bareboat machine bmc fru rack1-07'))
    .action(async (machine: string, flags: { json?: boolean }) => {
      const frus = await session.client().machines.bmc.fru(machine, { signal: session.signal })
      if (flags.json === true) return session.printJson(frus)
      if (frus.length === 0) session.note(`The BMC of "${machine}" has no FRU inventory`)
      await session.printLines(frus.flatMap(lines))
    })

function lines(fru: BmcFru): string[] {
  const { chassis, board, product } = fru
  return [
    `FRU ${fru.id}: ${printable(fru.name)}`,
    ...fields('Chassis', chassis),
    ...fields('Board', board && { ...board, madeAt: board.madeAt === undefined ? undefined : day(board.madeAt) }),
    ...fields('Product', product),
    ...fru.problems.map((problem) => ` ! ${printable(problem)}`),
  ]
}

const WORDS: Readonly<Record<string, string>> = {
  type: 'type',
  manufacturer: 'manufacturer',
  name: 'name',
  partNumber: 'part number',
  version: 'version',
  serial: 'serial',
  assetTag: 'asset tag',
  madeAt: 'made on',
  fruFileId: 'FRU file',
}

function fields(
  area: string,
  of: { readonly custom: string[]; readonly [field: string]: unknown } | undefined,
): string[] {
  if (!of) return []
  const row = (word: string, value: string) => ` ${`${area} ${word}`.padEnd(21)}: ${printable(value)}`
  const named = Object.entries(WORDS).flatMap(([field, word]) => {
    const value = of[field]
    return typeof value === 'string' ? [row(word, value)] : []
  })
  return [...named, ...of.custom.map((value) => row('extra', value))]
}

function day(atMs: number): string {
  return new Date(atMs).toISOString().slice(0, 10)
}
