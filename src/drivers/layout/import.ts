/** What people import from: a directory, a file, an http(s) URL. No other scheme is followed. */
import { constants, type Stats } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { AppError, systemCode } from '../../base/errors.ts'
import type { ImageFiles, ImportPort, LayerSource } from '../../services/images/ports.ts'

const READ_BYTES = 1 << 20

/** Fetches a URL from an offset on; drivers/registry offers it. */
export type Download = (url: URL, offset: number, signal: AbortSignal) => AsyncIterable<Uint8Array>

export function createImports(download: Download): ImportPort {
  return {
    async open(source) {
      if (/^https?:\/\//i.test(source)) return { kind: 'file', layer: urlSource(source, download) }
      if (/^[a-z][a-z0-9+.-]+:\/\//i.test(source))
        throw new AppError(
          'invalid',
          `Cannot import "${withoutSecrets(source)}": only paths and http(s) URLs can be imported`,
        )
      const stats = await statOf(source)
      if (stats.isDirectory()) return { kind: 'directory', files: directoryFiles(source) }
      if (!stats.isFile())
        throw new AppError('invalid', `Cannot import "${source}": it is neither a file nor a directory`)
      const layer: LayerSource = {
        name: `"${source}"`,
        sizeBytes: stats.size,
        open: (offset, signal) => fileBytes(source, offset, signal),
      }
      return { kind: 'file', layer }
    },
  }
}

function urlSource(text: string, download: Download): LayerSource {
  if (!URL.canParse(text)) throw new AppError('invalid', `Cannot import "${withoutSecrets(text)}": it is no URL`)
  const url = new URL(text)
  if (url.username !== '' || url.password !== '')
    throw new AppError('invalid', `Cannot import "${withoutSecrets(text)}": a URL with a password in it is not used`)
  return { name: `"${withoutSecrets(text)}"`, open: (offset, signal) => download(url, offset, signal) }
}

/** A URL for a message: without user, password, and what may be a signature. */
function withoutSecrets(text: string): string {
  return text
    .replace(/\/\/[^/@]*@/, '//')
    .replace(/[?#].*$/s, '')
    .slice(0, 300)
}

async function statOf(path: string): Promise<Stats> {
  try {
    return await stat(path)
  } catch (cause) {
    const code = systemCode(cause)
    if (code === 'ENOENT' || code === 'ENOTDIR')
      throw new AppError('not_found', `Cannot import "${path}": there is no such file or directory`)
    throw new AppError('invalid', `Cannot import "${path}"`, { cause })
  }
}

/** The files of an image layout. Names come from verified documents; a link that stands in a name's place is not followed. */
function directoryFiles(root: string): ImageFiles {
  return {
    async sizeBytes(name) {
      const file = await openRegular(root, name)
      if (file === undefined) return undefined
      await using _closed = file.handle
      return file.sizeBytes
    },
    async *stream(name, offset, signal) {
      const file = await openRegular(root, name)
      if (file === undefined) throw new AppError('not_found', `Cannot read "${name}": it is not in "${root}"`)
      await using handle = file.handle
      yield* readFrom(handle, offset, signal)
    },
  }
}

async function openRegular(root: string, name: string) {
  if (name.split('/').some((part) => part === '' || part === '.' || part === '..' || part.includes('\0')))
    throw new AppError('invalid', `Cannot read "${name.slice(0, 200)}" in "${root}": it is not a plain relative path`)
  try {
    const handle = await open(join(root, name), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
    const stats = await handle.stat()
    if (stats.isFile()) return { handle, sizeBytes: stats.size }
    await handle.close()
    return undefined
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO'].includes(systemCode(error) ?? '')) return undefined
    throw error
  }
}

async function* fileBytes(path: string, offset: number, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  await using handle = await open(path, 'r')
  yield* readFrom(handle, offset, signal)
}

async function* readFrom(
  handle: Awaited<ReturnType<typeof open>>,
  offset: number,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const bytes = Buffer.allocUnsafeSlow(READ_BYTES)
  for (let at = offset; ;) {
    signal.throwIfAborted()
    const { bytesRead } = await handle.read(bytes, 0, READ_BYTES, at)
    if (bytesRead === 0) return
    yield bytes.subarray(0, bytesRead)
    at += bytesRead
  }
}
