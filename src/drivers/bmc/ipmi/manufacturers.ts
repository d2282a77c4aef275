/** Names of the makers of BMCs by their IANA enterprise number. */
const MANUFACTURERS: Readonly<Record<number, string>> = {
  2: 'IBM',
  11: 'HP',
  42: 'Sun',
  119: 'NEC',
  343: 'Intel',
  674: 'Dell',
  2011: 'Huawei',
  2623: 'ASUSTeK',
  4753: 'MontaVista',
  5771: 'Cisco',
  6653: 'Tyan',
  7244: 'Quanta',
  10368: 'Fujitsu',
  10876: 'Supermicro',
  15370: 'Gigabyte',
  19046: 'Lenovo',
  20569: 'Inventec',
  20974: 'American Megatrends',
  47196: 'Hewlett Packard Enterprise',
  47488: 'Supermicro',
}

/** The maker's name, or its number. */
export function manufacturerName(manufacturerId: number): string {
  return MANUFACTURERS[manufacturerId] ?? `IANA ${manufacturerId}`
}
