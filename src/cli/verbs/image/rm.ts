import { example, JSON_OPTION } from '../../option.ts'
import { forEachName } from '../../session.ts'
import type { Register } from '../../verbs.ts'

export const register: Register = (program, session) =>
  program
    .command('rm')
    .summary('remove images')
    .argument('<images...>', 'references or ids')
    .option('-f, --force', 'even when containers refer to it or it has several names')
    .option(...JSON_OPTION)
    .addHelpText('after', example('bareboat image rm alpine:3.19'))
    .action(async (names: string[], flags: { force?: boolean; json?: boolean }) => {
      const { images } = session.client()
      await forEachName(session, names, async (name) => {
        const gone = await images.remove(name, { force: flags.force === true, signal: session.signal })
        if (flags.json === true) return session.printLines([JSON.stringify(gone)])
        const untagged = gone.untagged.map((one) => `Untagged: ${one}`)
        await session.printLines([...untagged, ...gone.deleted.map((one) => `Deleted: ${one}`)])
      })
    })
