/** MAC addresses as text: six pairs of hexadecimal digits, lower case, separated by colons. */

export const MAC_TEXT = /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/

/** Lower case, with colons for the `-` that some write. */
export function normaliseMac(text: string): string {
  return text.toLowerCase().replaceAll('-', ':')
}

/** What is no address of one network card is none: boards without one say zeros, and bit 0 of the first byte means a group (IEEE 802 §8.2). */
export function isOneCard(mac: string): boolean {
  return mac !== '00:00:00:00:00:00' && (Number.parseInt(mac, 16) & 1) === 0
}

/** @returns the address in the form of MAC_TEXT; undefined where the text is not the address of one network card */
export function parseMac(text: string): string | undefined {
  const mac = normaliseMac(text)
  return MAC_TEXT.test(mac) && isOneCard(mac) ? mac : undefined
}
