import { AppError } from '../../../base/errors.ts'

/**
 * Links come from the BMC: one that leads elsewhere, or is none, is not followed. A fragment is left out.
 * @param address of the BMC, for the message
 * @throws {AppError} `bad_peer`
 */
export function servicePath(link: string, address: string): string {
  if (/^\/(?!\/)[\x21-\x7e]{0,2047}$/.test(link) && !link.includes('\\')) return link.replace(/#.*/, '')
  throw new AppError(
    'bad_peer',
    `Cannot ask BMC "${address}" for "${link.slice(0, 100).replaceAll(/[^\x20-\x7e]/g, '?')}": this is no path on it`,
  )
}
