/**
 * xnames: names of nodes and BMCs that say where they are, `x<cabinet>c<chassis>s<slot>b<bmc>n<node>`.
 *
 * Two sets of rules are in use, and what either accepts is accepted. hms-xname (SMD, BSS) has a cabinet of 1 to 4 digits, a
 * chassis from 0 to 7 and any number elsewhere; OpenCHAMI/schemas (ochami) has a cabinet of 3 to 5 digits, 1 to 3 digits
 * elsewhere, and a chassis up to 255.
 */

export interface Xname {
  readonly kind: 'node' | 'bmc'
  /** Lower case, without leading zeros, but for those that a cabinet needs under OpenCHAMI's rules: equal only where the place is. */
  readonly text: string
}

const MAX_LENGTH = 64
const HMS = /^x(\d{1,4})c([0-7])s(\d+)b(\d+)(?:n(\d+))?$/
const OPENCHAMI = /^x(\d{3,5})c(\d{1,3})s(\d{1,3})b(\d{1,3})(?:n(\d{1,3}))?$/
/** The chassis that hms-xname knows. */
const HMS_CHASSIS = /^[0-7]$/
const OPENCHAMI_CABINET_DIGITS = 3

/** @returns undefined where neither set of rules accepts the text */
export function parseXname(text: string): Xname | undefined {
  if (text.length > MAX_LENGTH) return undefined
  const lower = text.toLowerCase()
  const ochami = OPENCHAMI.exec(lower)
  const match = HMS.exec(lower) ?? (ochami && Number(ochami[2]) <= 255 ? ochami : null)
  if (!match) return undefined
  const [cabinet, chassis, slot, bmc] = match.slice(1, 5).map(withoutZeros) as [string, string, string, string]
  const node = match[5] === undefined ? undefined : withoutZeros(match[5])
  const row = HMS_CHASSIS.test(chassis) ? cabinet : cabinet.padStart(OPENCHAMI_CABINET_DIGITS, '0')
  const place = `x${row}c${chassis}s${slot}b${bmc}`
  return node === undefined ? { kind: 'bmc', text: place } : { kind: 'node', text: `${place}n${node}` }
}

/** The BMC of a node: its xname without the last part. @param xname of a node, as `parseXname` gives it */
export function bmcOfXname(xname: string): string {
  return xname.replace(/n\d+$/, '')
}

function withoutZeros(digits: string): string {
  return digits.replace(/^0+(?=\d)/, '')
}
