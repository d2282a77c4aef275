/** CRC-32C (Castagnoli; polynomial 0x1edc6f41, reflected), as EROFS uses it: begun with all ones, not inverted at the end. */

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte
  for (let bit = 0; bit < 8; bit += 1) value = (value & 1) === 1 ? (value >>> 1) ^ 0x82f6_3b78 : value >>> 1
  return value
})

/** The inverse (`~`) is the CRC-32C of iSCSI (RFC 3720 appendix B.4). */
export function crc32cOpen(bytes: Uint8Array): number {
  let crc = 0xffff_ffff
  for (const byte of bytes) crc = (crc >>> 8) ^ TABLE[(crc ^ byte) & 0xff]!
  return crc >>> 0
}
