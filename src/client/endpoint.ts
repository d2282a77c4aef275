/** Where the server is. The token comes from the environment or from a file, never from the command line. */
import { readFileSync } from 'node:fs'
import { AppError, systemCode } from '../base/errors.ts'
import { defaultSocketPath, defaultTokenPath, type Environment } from '../model/paths.ts'

export type Endpoint =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly url: URL; readonly token?: string }

/**
 * The server that the environment names: BAREBOAT_HOST (`unix:///PATH` or `http(s)://HOST:PORT`), else the default socket.
 * For TCP the token is BAREBOAT_TOKEN, or the first line of BAREBOAT_TOKEN_FILE or of the default token file.
 * @param host wins over BAREBOAT_HOST
 * @throws {AppError} invalid, when the address is neither of the two or carries a credential
 */
export function endpointFromEnvironment(env: Environment, uid: number, host?: string): Endpoint {
  const address = host ?? env['BAREBOAT_HOST']
  if (address === undefined || address === '') return { kind: 'unix', path: defaultSocketPath(env, uid) }
  if (address.startsWith('unix://')) return { kind: 'unix', path: address.slice('unix://'.length) }
  if (!URL.canParse(address) || !/^https?:/.test(address))
    throw new AppError(
      'invalid',
      `Cannot use server address "${withoutCredential(address)}": it is neither unix:///PATH nor http://HOST:PORT`,
    )
  const url = new URL(address)
  if (url.username !== '' || url.password !== '')
    throw new AppError(
      'invalid',
      `Cannot use server address "${withoutCredential(address)}": it has a credential in it; put the token in BAREBOAT_TOKEN or a token file`,
    )
  const token = readToken(env)
  return token === undefined ? { kind: 'tcp', url } : { kind: 'tcp', url, token }
}

/** The address as a person would write it. */
export function describeEndpoint(endpoint: Endpoint): string {
  return endpoint.kind === 'unix' ? `unix://${endpoint.path}` : endpoint.url.origin
}

function readToken(env: Environment): string | undefined {
  const token = env['BAREBOAT_TOKEN']
  if (token !== undefined && token !== '') return token
  const named = env['BAREBOAT_TOKEN_FILE']
  const file = named ?? defaultTokenPath(env)
  try {
    return readFileSync(file, 'utf8').split('\n', 1)[0]!.trim()
  } catch (cause) {
    if (named === undefined && systemCode(cause) === 'ENOENT') return undefined
    throw new AppError('invalid', `Cannot read token file "${file}": ${systemCode(cause) ?? 'unreadable'}`, { cause })
  }
}

function withoutCredential(address: string): string {
  return address.replace(/\/\/[^/@]*@/, '//…@')
}
