/**
 * The users and passwords that makers ship BMCs with, from their manuals. They are in every attacker's list, so that we do not log in
 * with one: a BMC that has one is to be given another first.
 */

/** `user:password`; a user is compared without case, as several BMCs do. */
const DEFAULTS: ReadonlySet<string> = new Set([
  'admin:ADMIN',
  'admin:admin',
  'admin:password',
  'admin:admin123',
  'admin:Admin',
  'administrator:Admin@9000',
  'administrator:administrator',
  'administrator:password',
  'albert:cmb9.admin',
  'root:calvin',
  'root:root',
  'root:password',
  'root:superuser',
  'root:changeme',
  'root:Huawei12#$',
  'root:0penBmc',
  'userid:PASSW0RD',
  'userid:Passw0rd',
  'user:password',
  'sysadmin:superuser',
  'ipmi:ipmi',
  'cisco:cisco',
])

/** Whether some maker ships BMCs with this user and password. */
export function isVendorDefault(user: string, password: string): boolean {
  return DEFAULTS.has(`${user.toLowerCase()}:${password}`)
}
