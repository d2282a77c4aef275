/** Passwords that the makers of BMCs take. */
import { randomInt } from 'node:crypto'

interface Policy {
  /** 16 is what IPMI 1.5 has and every BMC takes; 20 the most that IPMI 2.0 carries (§22.30). */
  readonly bytes: 16 | 20
  /** Of each class there is one at least: makers ask for two to four of them. */
  readonly classes: readonly string[]
}

// Without those that look alike on a console.
const LETTERS_AND_DIGITS = ['ABCDEFGHJKLMNPQRSTUVWXYZ', 'abcdefghijkmnopqrstuvwxyz', '23456789'] as const
/** No quote, blank or backslash: web pages and scripts of BMCs have stumbled over these. */
const SPECIAL = '-_.+'

const PLAIN: Policy = { bytes: 16, classes: LETTERS_AND_DIGITS }
const LONG: Policy = { bytes: 20, classes: [...LETTERS_AND_DIGITS, SPECIAL] }
const SHORT: Policy = { bytes: 16, classes: [...LETTERS_AND_DIGITS, SPECIAL] }

/**
 * By IANA enterprise number. Makers of whose BMCs it is said that they take 20 bytes for users of IPMI and want several classes; Gigabyte and
 * AMI, whose firmwares differ, get the shorter one. Not tried on their hardware: what a BMC declines is taken back, and said.
 */
const POLICIES: Readonly<Record<number, Policy>> = {
  11: LONG,
  343: LONG,
  674: LONG,
  10876: LONG,
  15370: SHORT,
  19046: LONG,
  20974: SHORT,
  47196: LONG,
  47488: LONG,
}

/**
 * A random password for a BMC of this maker; 16 letters and digits where nothing is known of it: 93 bits.
 * No character stands twice in a row, which some makers refuse.
 * @param random a whole number from 0 to below its argument
 */
export function makePassword(manufacturerId: number, random: (below: number) => number = (n) => randomInt(n)): string {
  const { bytes, classes } = POLICIES[manufacturerId] ?? PLAIN
  const all = classes.join('')
  for (;;) {
    const text = Array.from({ length: bytes }, () => all[random(all.length)]!).join('')
    const hasAll = classes.every((each) => each.split('').some((character) => text.includes(character)))
    // Some take no password that begins with anything but a letter or a digit.
    if (hasAll && !/(.)\1/.test(text) && !SPECIAL.includes(text[0]!)) return text
  }
}
