/** Kernels and initrds that a site brings itself. */
import type { Command } from 'commander'
import { example, JSON_OPTION } from '../../option.ts'
import { forEachName, type Session } from '../../session.ts'
import { openSource } from '../../source.ts'

type Kind = 'kernel' | 'initrd'
const FILE: Readonly<Record<Kind, string>> = { kernel: 'vmlinuz', initrd: 'initrd.img' }

export function registerImport(kit: Command, session: Session, kind: Kind): void {
  kit
    .command(`import-${kind}`)
    .summary(`import ${kind === 'kernel' ? 'a kernel' : 'an initrd'} for run --${kind}`)
    .argument('<name>', 'its name; the same name again replaces it')
    .argument('<file>', 'a file, - for standard input, or a URL that the server fetches')
    .option(...JSON_OPTION)
    .addHelpText('after', example(`bareboat kit import-${kind} site-6.12 /boot/${FILE[kind]}`))
    .action(async (name: string, file: string, flags: { json?: boolean }) => {
      const source = openSource(file, session)
      const imported = await session.client().kits.importFile(kind, name, source, { signal: session.signal })
      if (flags.json === true) await session.printJson(imported)
      else await session.printLines([imported.digest])
    })
}

export function registerRemove(kit: Command, session: Session, kind: Kind): void {
  kit
    .command(`rm-${kind}`)
    .summary(`remove imported ${kind}s`)
    .argument(`<${kind}s...>`, 'names')
    .option(...JSON_OPTION)
    .addHelpText('after', example(`bareboat kit rm-${kind} site-6.12`))
    .action(async (names: string[], flags: { json?: boolean }) => {
      await forEachName(session, names, async (name) => {
        await session.client().kits.removeFile(kind, name, { signal: session.signal })
        await session.printLines([flags.json === true ? JSON.stringify({ removed: name }) : name])
      })
    })
}
