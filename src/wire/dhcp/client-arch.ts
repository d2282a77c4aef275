/** Client system architectures of option 93: IANA "Processor Architecture Types", RFC 4578 §2.1, RFC 5970 §3.3. */

export type Firmware = 'bios' | 'uefi' | 'uefi-http' | 'other'

export const CLIENT_ARCHS: Readonly<Record<number, { readonly name: string; readonly firmware: Firmware }>> = {
  0: { name: 'x86 BIOS', firmware: 'bios' },
  2: { name: 'Itanium UEFI', firmware: 'uefi' },
  6: { name: 'x86 (32-bit) UEFI', firmware: 'uefi' },
  7: { name: 'x86-64 UEFI', firmware: 'uefi' },
  // RFC 4578 as first printed called 9 x86-64 and 7 EFI byte code; erratum 4624 swaps them. Firmware sends either.
  9: { name: 'x86-64 UEFI (sent as EBC)', firmware: 'uefi' },
  10: { name: 'arm (32-bit) UEFI', firmware: 'uefi' },
  11: { name: 'arm64 UEFI', firmware: 'uefi' },
  15: { name: 'x86 (32-bit) UEFI HTTP', firmware: 'uefi-http' },
  16: { name: 'x86-64 UEFI HTTP', firmware: 'uefi-http' },
  17: { name: 'EBC HTTP', firmware: 'uefi-http' },
  18: { name: 'arm (32-bit) UEFI HTTP', firmware: 'uefi-http' },
  19: { name: 'arm64 UEFI HTTP', firmware: 'uefi-http' },
  20: { name: 'x86 BIOS HTTP', firmware: 'other' },
  22: { name: 'arm64 U-Boot', firmware: 'other' },
  24: { name: 'arm64 U-Boot HTTP', firmware: 'other' },
  27: { name: 'riscv64 UEFI', firmware: 'uefi' },
  28: { name: 'riscv64 UEFI HTTP', firmware: 'uefi-http' },
}

/** `x86-64 UEFI (7)`, for logs and messages. */
export function archName(code: number): string {
  return `${CLIENT_ARCHS[code]?.name ?? 'unknown architecture'} (${code})`
}
