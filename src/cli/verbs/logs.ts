import { example, parseTail } from '../option.ts'
import { printLog } from '../output/log.ts'
import type { Register } from '../verbs.ts'
import { parseWhen } from '../when.ts'

interface Flags {
  follow?: boolean
  since?: string
  until?: string
  tail: string
  timestamps?: boolean
  console?: boolean
  json?: boolean
}

export const register: Register = (program, session) =>
  program
    .command('logs')
    .summary('show what a container printed')
    .argument('<container>', 'name or id')
    .option('-f, --follow', 'go on with what it prints from now on')
    .option('--since <when>', 'from this time on: a date, seconds since the epoch, or how long ago (10m)')
    .option('--until <when>', 'up to this time')
    .option('-n, --tail <count>', 'the last lines only', 'all')
    .option('-t, --timestamps', 'begin each line with its time')
    .option('--console', "the machine's console instead: firmware, boot loader and kernel")
    .option('--json', 'print JSON, one chunk a line')
    .addHelpText('after', example('bareboat logs -f --tail 20 web', 'bareboat logs --console --since 10m web'))
    .action(async (container: string, flags: Flags) => {
      const nowMs = session.io.now()
      const tail = parseTail(flags.tail)
      const chunks = session.client().containers.logs(container, {
        signal: session.signal,
        ...(flags.follow === true ? { follow: true } : {}),
        ...(flags.since === undefined ? {} : { sinceMs: parseWhen(flags.since, nowMs) }),
        ...(tail === undefined ? {} : { tail }),
        ...(flags.console === true ? { console: true } : {}),
      })
      const untilMs = flags.until === undefined ? undefined : parseWhen(flags.until, nowMs)
      await printLog(session, chunks, { ...flags, ...(untilMs === undefined ? {} : { untilMs }) })
    })
