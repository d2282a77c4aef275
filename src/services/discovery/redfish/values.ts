/** What Redfish writes as text and we keep as exact values: MAC addresses, UUIDs, IP addresses. */
import { z } from 'zod'
import { plainText, type Resource, textOf } from '../../../formats/redfish/resource.ts'
import type { Walk } from '../../../formats/redfish/walk.ts'
import { mac, systemUuid } from '../../../model/machine.ts'

const address = z.union([z.ipv4(), z.ipv6()])

/** A MAC address with `:`, `-` or nothing between its digits; undefined for what is none or belongs to no single card. */
export function macFrom(value: unknown): string | undefined {
  const text = plainText(value)
  if (text === undefined) return undefined
  const bare = /^[0-9a-f]{12}$/i.test(text) ? text.replaceAll(/(..)(?!$)/g, '$1:') : text
  return mac.safeParse(bare).data
}

/** As `macFrom` of a field; a value that is no MAC address is a note. */
export function macOf(walk: Walk, resource: Resource, key: string, where: string): string | undefined {
  const text = textOf(resource, key)
  const found = macFrom(text)
  if (text !== undefined && found === undefined)
    walk.note(`${where}: "${text}" is not the MAC address of one network card`)
  return found
}

/** The UUID in a field; one of only zeros or only ones means that there is none (SMBIOS 3.7 §7.2.1). */
export function uuidOf(walk: Walk, resource: Resource, key: string, where: string): string | undefined {
  const text = textOf(resource, key)
  if (text === undefined) return undefined
  const uuid = systemUuid.safeParse(text).data
  if (uuid === undefined) walk.note(`${where}: "${text}" is not a UUID`)
  return uuid === undefined || /^[0-]+$|^[f-]+$/.test(uuid) ? undefined : uuid
}

/** The first address of a list of `{Address}` by which others could reach it: neither loopback nor link-local. */
export function addressOf(list: readonly Resource[]): string | undefined {
  return list
    .map((one) => textOf(one, 'Address')?.replace(/\/\d+$/, ''))
    .find((text) => text !== undefined && address.safeParse(text).success && !isLocal(text))
}

function isLocal(text: string): boolean {
  return /^(127\.|169\.254\.|0\.0\.0\.0$|::1?$|fe[89ab])/i.test(text)
}
