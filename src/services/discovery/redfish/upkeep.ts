/** Firmware versions of a Redfish service, and weaknesses of its accounts and protocols. */
import { child, flagOf, linkOf, linksOf, plainText, type Resource, textOf } from '../../../formats/redfish/resource.ts'
import type { Walk } from '../../../formats/redfish/walk.ts'
import type { InventoryFinding, InventoryFirmware } from '../../../model/inventory.ts'
import { firmwareRisks } from '../firmware-risks.ts'

/** Firmware, each with the systems, chassis and managers that it belongs to: some BMCs have one list for several systems. */
export interface FirmwareItem {
  readonly item: InventoryFirmware
  readonly systems: readonly string[]
}

/** FirmwareInventory of the UpdateService; SoftwareInventory where a BMC has only that. */
export async function readFirmware(walk: Walk, root: Resource): Promise<FirmwareItem[]> {
  const update = await walk.read(linkOf(root, 'UpdateService'))
  for (const key of ['FirmwareInventory', 'SoftwareInventory']) {
    const items = await walk.members(linkOf(update, key))
    if (items.length > 0) return items.map(firmwareOf)
  }
  return []
}

function firmwareOf(one: Resource): FirmwareItem {
  const id = textOf(one, 'Id')
  const name = textOf(one, 'Name')
  return {
    item: {
      // Names such as "Software Inventory" are the same for all; numbers as ids tell nothing either.
      name: (name === undefined || /^(software|firmware) ?inventory$/i.test(name) ? id : name) ?? 'unnamed',
      version: textOf(one, 'Version'),
      isUpdateable: flagOf(one, 'Updateable'),
    },
    systems: linksOf(one, 'RelatedItem').flatMap((path) => /^\/redfish\/v1\/Systems\/[^/]+/i.exec(path)?.[0] ?? []),
  }
}

/** Accounts that nobody should have left so, as far as our own account may see them, and firmware that lets anybody in. Never a try to log in. */
export async function readFindings(
  walk: Walk,
  root: Resource,
  manager: Resource | undefined,
): Promise<InventoryFinding[]> {
  const service = await walk.read(linkOf(root, 'AccountService'))
  const findings = firmwareRisks({
    vendor: textOf(root, 'Vendor'),
    product: textOf(root, 'Product'),
    model: textOf(manager, 'Model'),
    version: textOf(manager, 'FirmwareVersion'),
  })
  for (const account of await walk.members(linkOf(service, 'Accounts'))) {
    if (flagOf(account, 'Enabled') === false) continue
    const user = plainText(account['UserName'])
    if (flagOf(account, 'PasswordChangeRequired') === true)
      findings.push({
        kind: 'default-password',
        what: `account "${user ?? ''}" still has the password that its maker gave it: change it`,
      })
    if (account['UserName'] === '' && flagOf(account, 'Enabled') === true && textOf(account, 'RoleId') !== undefined)
      findings.push({ kind: 'null-user', what: 'an account without a name is enabled: disable it' })
  }
  const protocols = await walk.read(linkOf(manager, 'NetworkProtocol'))
  // HTTP is open on most, only to lead to HTTPS.
  if (flagOf(child(protocols, 'Telnet'), 'ProtocolEnabled') === true)
    findings.push({
      kind: 'no-encryption',
      what: 'the BMC is open for Telnet, where passwords are read on the way: disable it',
    })
  return findings.slice(0, 64)
}
