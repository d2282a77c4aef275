import type { OpenAPIHono } from '@hono/zod-openapi'
import type { Context } from 'hono'
import { AppError } from '../../base/errors.ts'
import { bootPair, mediaFormats, mediaOptions, type BootPair, type MediaOptions } from '../../model/media.ts'
import type { ExportedImage } from '../../services/images/export/exports.ts'
import type { Contents } from '../../services/media/contents.ts'
import type { Media } from '../../services/media/media.ts'
import { receive } from './images.ts'
import { newRouter, streamRoute } from './router.ts'
import { octets } from './streams.ts'

export interface MediaRoutesDeps {
  readonly media: Media
  /** What is in a file that was uploaded. */
  readonly mediaSource: (path: string, signal: AbortSignal) => Promise<Contents>
  readonly uploadDir: string
}

const QUERY = {
  format: `one of ${mediaFormats.join(', ')}`,
  size: 'of the whole medium, bytes; else as small as it can be',
  label: 'of its file system',
}
const ANSWER = ['application/octet-stream', 'the medium; a transfer that broke off in the middle is none'] as const

export function mediaRoutes({ media, mediaSource, uploadDir }: MediaRoutesDeps): OpenAPIHono {
  const app = newRouter()
  streamRoute(
    app,
    {
      method: 'get',
      path: '/media/loader',
      summary: 'The small medium that has a machine fetch everything else from this server',
      query: QUERY,
      answer: ANSWER,
    },
    async (c) => sent(c, await media.open({ loader: true }, optionsOf(c), c.req.raw.signal)),
  )
  streamRoute(
    app,
    {
      method: 'get',
      path: '/media/image',
      summary: 'A medium that boots an image by itself, made while it is sent',
      query: { ref: 'the image', ...QUERY },
      answer: ANSWER,
    },
    async (c) => sent(c, await media.open({ image: c.req.query('ref') ?? '' }, optionsOf(c), c.req.raw.signal)),
  )
  streamRoute(
    app,
    {
      method: 'get',
      path: '/media/pair',
      summary: 'A medium that boots an imported kernel and initrd',
      query: { kernel: 'its name', initrd: 'its name', kernelParams: 'joined by spaces', ...QUERY },
      answer: ANSWER,
    },
    async (c) => sent(c, await media.open({ pair: pairOf(c) }, optionsOf(c), c.req.raw.signal)),
  )
  streamRoute(
    app,
    {
      method: 'post',
      path: '/media/files',
      summary: 'A medium with the files of an archive or an ISO image, made while it is sent',
      query: QUERY,
      body: 'a tar archive, not compressed, or an ISO image',
      answer: ANSWER,
    },
    async (c) => {
      const options = optionsOf(c)
      const { body, signal } = c.req.raw
      if (!body) throw new AppError('invalid', 'Cannot build a medium: the request has no body')
      const upload = await receive(body, uploadDir, signal)
      try {
        const { bytes, ...facts } = await media.files(await mediaSource(upload.path, signal), options, signal)
        return sent(c, { ...facts, bytes: thenDisposed(bytes, upload) })
      } catch (error) {
        await upload[Symbol.asyncDispose]()
        throw error
      }
    },
  )
  return app
}

function pairOf(c: Context): BootPair {
  const { kernel, initrd, kernelParams = '' } = c.req.query()
  const given = { kernel, initrd, kernelParams: kernelParams.split(' ').filter((word) => word !== '') }
  const parsed = bootPair.safeParse(given)
  if (parsed.success) return parsed.data
  const { path, message } = parsed.error.issues[0]!
  throw new AppError('invalid', `Cannot build a medium: ${path.join('.')}: ${message}`)
}

function optionsOf(c: Context): MediaOptions {
  const parsed = mediaOptions.safeParse(c.req.query())
  if (parsed.success) return parsed.data
  const { path, message } = parsed.error.issues[0]!
  throw new AppError('invalid', `Cannot build a medium: ${path.join('.')}: ${message}`)
}

function sent(c: Context, { mediaType, sizeBytes, bytes }: ExportedImage): Response {
  return octets(c, () => ({ [Symbol.asyncIterator]: () => bytes }), mediaType, sizeBytes)
}

/** Lets go of what the bytes are read from, however the reading ends. */
function thenDisposed(bytes: AsyncIterator<Uint8Array>, held: AsyncDisposable): AsyncIterator<Uint8Array> {
  const ended = { done: true, value: undefined } as const
  return {
    async next() {
      try {
        const result = await bytes.next()
        if (result.done === true) await held[Symbol.asyncDispose]()
        return result
      } catch (error) {
        await held[Symbol.asyncDispose]()
        throw error
      }
    },
    async return() {
      await bytes.return?.()
      await held[Symbol.asyncDispose]()
      return ended
    },
  }
}
