/** Tars with any fields, right and wrong, for tests. Checksums are made right unless a test asks otherwise. */

export interface TarField {
  readonly name?: string
  readonly prefix?: string
  readonly mode?: string
  readonly uid?: string
  readonly gid?: string
  /** Text of the size field; by default the octal length of `data`. */
  readonly size?: string
  readonly mtime?: string
  readonly type?: string
  readonly link?: string
  readonly magic?: string
  readonly major?: string
  readonly minor?: string
  readonly checksum?: string
  readonly data?: Uint8Array | string
  /** Bytes put into the block before the checksum, by offset. */
  readonly patch?: Readonly<Record<number, string>>
}

/** Header block and padded data. All strings are bytes (ISO 8859-1). */
export function tarEntry(field: TarField): Buffer {
  const data = Buffer.from(typeof field.data === 'string' ? Buffer.from(field.data, 'latin1') : (field.data ?? []))
  const block = Buffer.alloc(512)
  const put = (at: number, text: string): void => void block.write(text, at, 'latin1')
  put(0, field.name ?? 'x')
  put(100, field.mode ?? '0000644')
  put(108, field.uid ?? '0000000')
  put(116, field.gid ?? '0000000')
  put(124, field.size ?? data.length.toString(8).padStart(11, '0'))
  put(136, field.mtime ?? '00000000000')
  put(156, field.type ?? '0')
  put(157, field.link ?? '')
  put(257, field.magic ?? 'ustar\x0000')
  put(329, field.major ?? '0000000')
  put(337, field.minor ?? '0000000')
  put(345, field.prefix ?? '')
  for (const [at, text] of Object.entries(field.patch ?? {})) put(Number(at), text)
  block.fill(0x20, 148, 156)
  const sum = block.reduce((total, byte) => total + byte, 0)
  put(148, field.checksum ?? `${sum.toString(8).padStart(6, '0')}\0 `)
  return Buffer.concat([block, data, Buffer.alloc((512 - (data.length % 512)) % 512)])
}

/** The entries and two zero blocks. */
export function tarOf(...fields: readonly TarField[]): Buffer {
  return Buffer.concat([...fields.map(tarEntry), Buffer.alloc(1024)])
}

/** One PAX record with its length. */
export function paxRecord(key: string, value: string): string {
  const rest = key.length + value.length + 3
  let length = rest + 1
  while (String(length).length + rest !== length) length += 1
  return `${length} ${key}=${value}\n`
}

/** A local (`x`) or global (`g`) extended header. */
export function pax(records: Readonly<Record<string, string>>, type = 'x'): TarField {
  const data = Object.entries(records).map(([key, value]) => paxRecord(key, value))
  return { name: 'PaxHeader', type, data: data.join('') }
}
