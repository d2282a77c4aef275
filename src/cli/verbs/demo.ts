import type { Command } from 'commander'
import { AppError } from '../../base/errors.ts'
import { aborted } from '../../base/task.ts'
import { demoDown, demoUp, nextCommands } from '../demo/demo.ts'
import type { Session } from '../session.ts'
import { DEMO_PACKAGES, ensurePackages } from '../setup/packages.ts'

export function register(program: Command, session: Session): Command {
  return program
    .command('demo')
    .description('Start two virtual machines and boot an image on each; sets up what is missing')
    .option('--down', 'take the demo down')
    .option('--keep', 'leave it up and return')
    .addHelpText('after', '\nExample:\n  bareboat demo\n')
    .action(async (options: { down?: true; keep?: true }) => {
      const { io, signal } = session
      if (options.down) {
        session.note((await demoDown({ env: io.env })) ? 'the demo is down' : 'there was no demo')
        return
      }
      await ensurePackages(DEMO_PACKAGES, { say: (line) => session.note(line), isRoot: io.uid === 0 })
      // Interrupts end the demo, not the process: it must take down what it made.
      const stop = new AbortController()
      using _interrupt = session.onInterrupt(() => stop.abort(new AppError('interrupted', 'the demo was interrupted')))
      let isKept = false
      try {
        const place = await demoUp({
          env: io.env,
          say: (line) => void io.stdout.write(`${line}\n`),
          signal: stop.signal,
        })
        await session.printLines(nextCommands(place))
        isKept = options.keep === true || !io.stdin.isTTY
        if (isKept) return
        session.note('Press Ctrl-C to take it down')
        await aborted(AbortSignal.any([stop.signal, signal]))
      } finally {
        if (!isKept) await demoDown({ env: io.env })
      }
    })
}
