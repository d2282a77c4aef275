/** Where the daemon is reached: configured addresses, and the token of its TCP port. */
import { randomBytes } from 'node:crypto'
import { AppError } from '../base/errors.ts'
import { readOrMakeFile } from '../drivers/files.ts'

/** How BMCs reach media, without a slash at the end. @param given of the configuration; empty: the URL for machines @throws {AppError} invalid */
export function mediaUrl(given: string, httpUrl: string): string {
  if (given === '') return httpUrl
  const url = URL.parse(given)
  const isPlain = url !== null && /^https?:$/.test(url.protocol) && url.username === '' && url.search === ''
  if (!isPlain || url.hash !== '')
    throw new AppError('invalid', `Cannot read config key mediaUrl: "${given}" is no URL such as http://10.0.3.1:8017`)
  return given.replace(/\/+$/, '')
}

/** @throws {AppError} invalid */
export function addressAndPort(text: string): { address: string; port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text)
  if (!match) throw new AppError('invalid', `Cannot read config key listen: "${text}" is not ADDRESS:PORT`)
  return { address: match[1] ?? match[2]!, port: Number(match[3]) }
}

/** A token of 32 random bytes, made at the first start and kept in a file that only its owner reads. */
export function readOrMakeToken(path: string): string {
  const token = readOrMakeFile(path, () => `${randomBytes(32).toString('base64url')}\n`)
    .toString('utf8')
    .trim()
  if (token.length < 32)
    throw new AppError('invalid', `Cannot use token file "${path}": a token has at least 32 characters`)
  return token
}
