import { example, JSON_OPTION } from '../../../option.ts'
import type { Register } from '../../../verbs.ts'

export const register: Register = (program, session) =>
  program
    .command('check')
    .summary('what is insecure about the BMC')
    .description(
      "Of IPMI: cipher suite 0, the null user, logins without authentication, IPMI 1.5, weak cipher suites, and passwords that are short or their maker's. Of Intel AMT: firmware that lets anybody in, and no TLS. Nothing of it is used: no login is tried but the machine's own.",
    )
    .argument('<machine>', 'name or id')
    .option(...JSON_OPTION)
    .addHelpText('after', example('bareboat machine bmc check rack1-07'))
    .action(async (machine: string, flags: { json?: boolean }) => {
      const findings = await session.client().machines.bmc.check(machine, { signal: session.signal })
      if (flags.json === true) return session.printJson(findings)
      if (findings.length === 0) return session.printLines(['no findings'])
      return session.printLines(
        findings.flatMap(({ severity, finding, message, help }) => [
          `${severity} ${finding}: ${message}`,
          `  ${help.replace(' M ', ` ${machine} `)}`,
        ]),
      )
    })
