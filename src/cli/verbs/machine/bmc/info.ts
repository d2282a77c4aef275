import type { BmcInfo } from '../../../../model/bmc.ts'
import { example, JSON_OPTION } from '../../../option.ts'
import { formatTable, printable } from '../../../output/table.ts'
import type { Register } from '../../../verbs.ts'

export const register: Register = (program, session) =>
  program
    .command('info')
    .summary('who the BMC is, what it can do, and the power that it measures')
    .argument('<machine>', 'name or id')
    .option(...JSON_OPTION)
    .addHelpText('after', example('bareboat machine bmc info rack1-07'))
    .action(async (machine: string, flags: { json?: boolean }) => {
      const info = await session.client().machines.bmc.info(machine, { signal: session.signal })
      if (flags.json === true) return session.printJson(info)
      return session.print(formatTable(rows(info).map(([name, value]) => [`${name}:`, printable(value)])))
    })

function rows({ power, ...info }: BmcInfo): (readonly [string, string])[] {
  const text = (value: string | number | undefined) => (value === undefined ? '' : String(value))
  const all: (readonly [string, string])[] = [
    ['Address', info.address],
    ['Protocol', info.protocol],
    ['Manufacturer', text(info.manufacturer)],
    ['Product', text(info.product)],
    ['Firmware', text(info.firmware)],
    ['GUID', text(info.guid)],
    ['MAC', text(info.mac)],
    ['Cipher suite', text(info.cipherSuite)],
    ['Power', power ? `${power.currentWatts} W` : ''],
    ['Power average', power?.averageWatts === undefined ? '' : averageText(power)],
    ['Can', info.can.join(', ')],
  ]
  return all.filter(([, value]) => value !== '')
}

function averageText(power: NonNullable<BmcInfo['power']>): string {
  const { averageWatts, minimumWatts, maximumWatts, periodSeconds } = power
  const range =
    minimumWatts === undefined || maximumWatts === undefined ? '' : ` (${minimumWatts} to ${maximumWatts} W)`
  return `${averageWatts} W${range}${periodSeconds === undefined ? '' : ` over ${periodSeconds} s`}`
}
