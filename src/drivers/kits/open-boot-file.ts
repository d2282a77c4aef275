/** Where a site's own kernels and initrds are read from: its disk, or a web server. */
import { open } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { AppError, systemCode } from '../../base/errors.ts'

/** @throws {AppError} not_found, unreachable, bad_peer */
export async function openBootFile(from: string, signal?: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
  return /^https?:\/\//.test(from) ? download(from, signal) : openFile(from)
}

async function openFile(path: string): Promise<AsyncIterable<Uint8Array>> {
  const file = await open(path).catch((cause: unknown) => {
    if (systemCode(cause) !== 'ENOENT') throw cause
    throw new AppError('not_found', `Cannot import "${path}": there is no such file`, { cause })
  })
  return file.createReadStream()
}

async function download(url: string, signal?: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
  const answer = await fetch(url, signal ? { signal } : {}).catch((cause: unknown) => {
    throw new AppError('unreachable', `Cannot import "${url}": no answer`, { cause })
  })
  if (!answer.ok || !answer.body)
    throw new AppError('bad_peer', `Cannot import "${url}": the server answered ${answer.status}`)
  return Readable.fromWeb(answer.body)
}
