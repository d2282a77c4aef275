/** How a BMC is on its networks. */
import { mac as macSchema } from '../../../../model/machine.ts'
import type { InventoryLan } from '../../../../model/inventory.ts'
import { RMCP_PORT } from '../../../../wire/rmcp/rmcp.ts'
import { COMMANDS } from '../../../../wire/ipmi/commands.ts'
import {
  FIRST_CHANNEL,
  LAN_MEDIUM,
  LAN_PARAMETER,
  LAST_CHANNEL,
  parseIpv4Parameter,
  parseIpv6Parameter,
  parseIpv6Status,
  parseMacParameter,
  parseVlanParameter,
} from '../../../../wire/ipmi/lan-commands.ts'
import type { Ask } from '../records.ts'
import { orDeclined } from '../sensors.ts'

/** No BMC has more addresses that anybody looks at. */
const MAX_IPV6 = 16

/** The LAN channels in their order. A parameter that the BMC declines is absent. @throws as `ask` */
export async function readLans(ask: Ask): Promise<InventoryLan[]> {
  const lans: InventoryLan[] = []
  for (let channel = FIRST_CHANNEL; channel <= LAST_CHANNEL; channel++) {
    const info = await orDeclined(ask(COMMANDS.getChannelInfo, channel))
    if (info?.medium === LAN_MEDIUM) lans.push(await readLan(ask, channel))
  }
  return lans
}

async function readLan(ask: Ask, channel: number): Promise<InventoryLan> {
  async function get<T>(name: keyof typeof LAN_PARAMETER, parse: (data: Uint8Array) => T, set = 0) {
    const data = await orDeclined(ask(COMMANDS.getLanParameter, { channel, parameter: LAN_PARAMETER[name], set }))
    return data && parse(data)
  }
  const ip = await get('ip', parseIpv4Parameter)
  const netmask = await get('netmask', parseIpv4Parameter)
  const gateway = await get('gateway', parseIpv4Parameter)
  const mac = macSchema.safeParse(await get('mac', parseMacParameter)).data
  const vlan = await get('vlan', parseVlanParameter)
  const port = await get('rmcpPort', (data) => (data.length >= 2 ? data[0]! | (data[1]! << 8) : RMCP_PORT))
  const { statics = 0, dynamics = 0 } = (await get('ipv6Status', parseIpv6Status)) ?? {}
  const ipv6: string[] = []
  for (const [name, count] of [
    ['ipv6Static', statics],
    ['ipv6Dynamic', dynamics],
  ] as const)
    for (let set = 0; set < Math.min(count, MAX_IPV6); set++) {
      const address = await get(name, parseIpv6Parameter, set)
      if (address !== undefined) ipv6.push(address)
    }
  return {
    channel,
    ...(ip === undefined ? {} : { ip }),
    ...(netmask === undefined ? {} : { netmask }),
    ...(gateway === undefined ? {} : { gateway }),
    ...(mac === undefined ? {} : { mac }),
    ...(vlan === undefined ? {} : { vlan }),
    ...(port === undefined || port === 0 || port === RMCP_PORT ? {} : { port }),
    ipv6: ipv6.slice(0, MAX_IPV6),
  }
}
