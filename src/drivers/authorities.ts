/** Whose signature on a certificate is believed. */
import { getCACertificates } from 'node:tls'

/** Node's own authorities, those that the system trusts, and what a person adds (PEM). */
export function authorities(more: string | undefined): string[] {
  const known = [...getCACertificates('default'), ...getCACertificates('system')]
  return [...new Set(known), ...(more === undefined ? [] : [more])]
}
