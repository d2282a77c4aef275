/**
 * The users and passwords that makers put into every BMC alike, from their manuals. They are in every attacker's list: who has one has
 * the BMC. So nobody is logged in with one; a BMC that has it is to be given another first.
 */

const DEFAULTS: readonly (readonly [user: string, password: string, maker: string])[] = [
  ['root', 'calvin', 'Dell iDRAC'],
  ['ADMIN', 'ADMIN', 'Supermicro'],
  ['USERID', 'PASSW0RD', 'Lenovo and IBM'],
  ['USERID', 'Passw0rd', 'Lenovo and IBM'],
  ['root', '0penBmc', 'OpenBMC'],
  ['admin', 'admin', 'AMI, ASRock Rack, Quanta, Tyan and PiKVM'],
  ['admin', 'Admin', 'AMI'],
  ['admin', 'admin123', 'AMI'],
  ['admin', 'password', 'Gigabyte and AMI'],
  ['user', 'password', 'AMI'],
  ['sysadmin', 'superuser', 'AMI'],
  ['root', 'superuser', 'Intel and AMI'],
  ['root', 'changeme', 'Oracle ILOM'],
  ['admin', 'cmb9.admin', 'Quanta'],
  ['albert', 'cmb9.admin', 'Quanta'],
  ['Administrator', 'Admin@9000', 'Huawei'],
  ['root', 'Huawei12#$', 'Huawei'],
  ['Administrator', 'password', 'HPE Cray'],
  ['root', 'initial0', 'HPE Cray'],
  ['admin', 'admin1234', 'Fujitsu'],
  ['cisco', 'cisco', 'Cisco'],
  ['Administrator', 'Administrator', 'several makers'],
  ['root', 'root', 'several makers'],
  ['root', 'password', 'several makers'],
  ['ipmi', 'ipmi', 'several makers'],
]

/** Whose default this is, or undefined. User names are compared without regard to case, as BMCs do. */
export function makerOfDefault(user: string, password: string): string | undefined {
  return DEFAULTS.find(([name, word]) => name.toLowerCase() === user.toLowerCase() && word === password)?.[2]
}
