import type { DiscoveredBmc } from '../../../model/discovery.ts'
import { AppError } from '../../../base/errors.ts'
import { example, FORMAT_OPTION, JSON_OPTION } from '../../option.ts'
import { printList, type ListOptions } from '../../output/list.ts'
import { defined } from '../../run/request.ts'
import type { Register } from '../../verbs.ts'
import { COLUMNS, tellFindings } from './columns.ts'

interface Flags extends ListOptions {
  port?: string
  ipmiPort?: string
  concurrency?: string
  timeout?: string
  probe?: string
  plainHttp?: boolean
}

export const register: Register = (program, session) =>
  program
    .command('scan')
    .summary('look for BMCs in subnets')
    .description(
      'Asks every address of the subnets, from the server, whether a BMC is there: with an RMCP presence ping and with a GET of /redfish/v1/. With --probe ssdp it asks the networks that the server is on instead, and needs no subnets; with some, only those count. No user or password is sent. What is found is kept for `discover crawl`.',
    )
    .argument('[subnets...]', '10.0.3.0/24, an address, or a range 10.0.3.1-10.0.3.20')
    .option('--port <port>', 'of Redfish (default 443)')
    .option('--ipmi-port <port>', 'of IPMI (default 623)')
    .option('--concurrency <number>', 'connections at once (default 256)')
    .option('--timeout <seconds>', 'how long one address may take (default 2)')
    .option('--probe <probes>', 'redfish, ipmi, ssdp or several (default redfish,ipmi)')
    .option('--plain-http', 'for BMCs without TLS')
    .option('-q, --quiet', 'addresses only')
    .option(...FORMAT_OPTION)
    .option(...JSON_OPTION)
    .addHelpText(
      'after',
      example(
        'bareboat discover scan 10.0.3.0/24',
        'bareboat discover scan --probe ipmi 10.0.0.0/16',
        'bareboat discover scan --probe ssdp',
      ),
    )
    .action(async (subnets: string[], flags: Flags) => {
      const request = {
        subnets,
        ...defined({
          port: whole('--port', flags.port),
          ipmiPort: whole('--ipmi-port', flags.ipmiPort),
          concurrency: whole('--concurrency', flags.concurrency),
          timeoutMs: seconds('--timeout', flags.timeout),
          probes: probes(flags.probe),
          plainHttp: flags.plainHttp,
        }),
      }
      const found = new Map<string, DiscoveredBmc>()
      for await (const bmc of session.client().discovery.scan(request, { signal: session.signal }))
        found.set(bmc.address, bmc)
      const rows = [...found.values()].toSorted((a, b) => a.address.localeCompare(b.address, 'en', { numeric: true }))
      await printList(session, rows, COLUMNS, flags, ({ address }) => address)
      tellFindings(session, rows)
    })

function probes(text: string | undefined) {
  return text?.split(',').map((name) => {
    if (name === 'redfish' || name === 'ipmi' || name === 'ssdp') return name
    throw new AppError('invalid', `Cannot use --probe "${text}": "${name}" is neither redfish, ipmi nor ssdp`)
  })
}

export function whole(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (!/^\d{1,9}$/.test(text)) throw new AppError('invalid', `Cannot use ${option} "${text}": it is not a number`)
  return Number(text)
}

/** Seconds, also with a fraction, as milliseconds. */
export function seconds(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (!/^\d{1,6}(\.\d{1,3})?s?$/.test(text))
    throw new AppError('invalid', `Cannot use ${option} "${text}": it is not a number of seconds such as 2 or 0.5`)
  return Math.round(Number.parseFloat(text) * 1000)
}
