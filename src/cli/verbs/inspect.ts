import { AppError } from '../../base/errors.ts'
import { example } from '../option.ts'
import { parseTemplate, renderTemplate } from '../output/template.ts'
import { oneOf } from '../run/request.ts'
import { forEachName, type Session } from '../session.ts'
import type { Register } from '../verbs.ts'

const TYPES = ['container', 'image', 'machine'] as const
type Type = (typeof TYPES)[number]

interface Flags {
  format?: string
  type?: string
  json?: boolean
}

export const register: Register = (program, session) =>
  program
    .command('inspect')
    .summary('show containers, machines or images whole')
    .description(
      'Prints what is known of containers, machines and images, as one JSON list. A name is looked for in that order.',
    )
    .argument('<things...>', 'names, ids or references')
    .option('-f, --format <template>', 'a Go template for each, e.g. {{.state}}')
    .option('--type <type>', TYPES.join(', '))
    .option('--json', 'print JSON (as without it)')
    .addHelpText('after', example('bareboat inspect web', "bareboat inspect -f '{{.machineName}}' web"))
    .action(async (names: string[], flags: Flags) => {
      const type = oneOf('--type', flags.type, TYPES)
      await inspectAll(session, names, flags, (name) => find(session, name, type))
    })

/** Prints things that `get` yields: a JSON list, or a template for each. What is missing is told and left out. */
export async function inspectAll(
  session: Session,
  names: readonly string[],
  { format }: { format?: string },
  get: (name: string) => Promise<unknown>,
): Promise<void> {
  const template = format === undefined || format === 'json' ? undefined : parseTemplate(format)
  const found: unknown[] = []
  await forEachName(session, names, async (name) => {
    const thing = await get(name)
    if (template) await session.printLines([renderTemplate(template, thing)])
    else if (format === 'json') await session.printLines([JSON.stringify(thing)])
    else found.push(thing)
  })
  if (format === undefined) await session.print(`${JSON.stringify(found, null, 4)}\n`)
}

async function find(session: Session, name: string, only: Type | undefined): Promise<unknown> {
  const client = session.client()
  const { signal } = session
  const lookUps: Record<Type, () => Promise<unknown>> = {
    container: () => client.containers.inspect(name, { signal }),
    machine: () => client.machines.inspect(name, { signal }),
    image: () => client.images.inspect(name, { signal }),
  }
  if (only) return lookUps[only]()
  for (const type of ['container', 'machine', 'image'] as const)
    try {
      return await lookUps[type]()
    } catch (error) {
      // A name with a slash or colon is no name to containers: their answer is then `invalid`.
      if (!(error instanceof AppError) || (error.code !== 'not_found' && error.code !== 'invalid')) throw error
    }
  throw new AppError('not_found', `Cannot inspect "${name}": there is no such container, machine or image`)
}
