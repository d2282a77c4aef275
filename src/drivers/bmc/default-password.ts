/** No driver logs in with a password that makers ship. */
import { AppError } from '../../base/errors.ts'
import { makerOfDefault } from '../../model/default-credentials.ts'

/**
 * @param bmc its URL or address, for the message
 * @throws {AppError} `forbidden` for a password that some maker puts into every BMC
 */
export function refuseDefaultPassword(user: string, password: string, bmc: string): void {
  const maker = makerOfDefault(user, password)
  if (maker !== undefined)
    throw new AppError(
      'forbidden',
      `Cannot log in to BMC "${bmc}" as "${user}": the password is the one that BMCs of ${maker} are shipped with, which is in every attacker's list; set another on the BMC, then here with: bareboat machine set`,
    )
}
