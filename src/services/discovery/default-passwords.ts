/** Passwords that makers put into every BMC alike, as their manuals print them. Who has one has the BMC. They are never used. */
const DEFAULTS: readonly (readonly [user: string, password: string, maker: string])[] = [
  ['root', 'calvin', 'Dell iDRAC'],
  ['ADMIN', 'ADMIN', 'Supermicro'],
  ['USERID', 'PASSW0RD', 'Lenovo and IBM'],
  ['root', '0penBmc', 'OpenBMC'],
  ['admin', 'admin', 'AMI, ASRock Rack, Quanta, Tyan'],
  ['admin', 'password', 'Gigabyte and AMI'],
  ['root', 'superuser', 'Intel and AMI'],
  ['root', 'changeme', 'Oracle ILOM'],
  ['admin', 'cmb9.admin', 'Quanta'],
  ['Administrator', 'Admin@9000', 'Huawei'],
  ['root', 'Huawei12#$', 'Huawei'],
  ['Administrator', 'password', 'HPE Cray'],
  ['root', 'initial0', 'HPE Cray'],
  ['admin', 'admin1234', 'Fujitsu'],
]

/** Whose default this is, or undefined. User names are compared without regard to case, as BMCs do. */
export function makerOfDefault(user: string, password: string): string | undefined {
  return DEFAULTS.find(([name, word]) => name.toLowerCase() === user.toLowerCase() && word === password)?.[2]
}
