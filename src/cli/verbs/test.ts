import type { Command } from 'commander'
import { AppError } from '../../base/errors.ts'
import type { Session } from '../session.ts'
import { ensurePackages, TEST_PACKAGES } from '../setup/packages.ts'
import { runTests, SUITE_NAMES } from '../setup/tests.ts'

export function register(program: Command, session: Session): Command {
  return program
    .command('test [suite...]')
    .description(`Run the tests of this checkout: ${SUITE_NAMES.join(', ')}; sets up what they need`)
    .addHelpText('after', '\nExample:\n  bareboat test unit fuzz\n')
    .action(async (suites: string[]) => {
      const unknown = suites.find((suite) => !SUITE_NAMES.includes(suite))
      if (unknown !== undefined)
        throw new AppError('invalid', `Cannot run tests "${unknown}": the suites are ${SUITE_NAMES.join(', ')}`)
      await ensurePackages(TEST_PACKAGES, { say: (line) => session.note(line), isRoot: session.io.uid === 0 })
      const sums = await runTests(suites, (line) => void session.io.stdout.write(`${line}\n`), session.signal)
      await session.printLines([`${sums.passed} passed, ${sums.failed} failed, ${sums.skipped} skipped`])
      session.exitCode = sums.failed === 0 && sums.passed > 0 ? 0 : 1
    })
}
