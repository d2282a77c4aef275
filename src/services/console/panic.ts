/** What a console says when a boot has come to its end before the machine can tell us itself. */
const FATAL: readonly { readonly pattern: RegExp; readonly cause: string }[] = [
  { pattern: /Kernel panic - not syncing: (.{1,200})/, cause: 'the kernel panicked' },
  { pattern: /(No working init found|Failed to execute \/init)/, cause: 'the kernel found no initrd' },
  {
    pattern: /(No bootable device|Boot failed: not a bootable disk)/,
    cause: 'the firmware found nothing to boot from the network',
  },
]

/** @returns the cause in words, or undefined for a line that is harmless */
export function fatalCause(line: string): string | undefined {
  for (const { pattern, cause } of FATAL) {
    const match = pattern.exec(line)
    if (match) return `${cause}: "${match[0].replace(/[^\x20-\x7e]/g, '').trim()}"`
  }
  return undefined
}
