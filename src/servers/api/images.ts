import { createWriteStream } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi'
import { AppError } from '../../base/errors.ts'
import { byteStringOf } from '../../formats/tar/byte-string.ts'
import type { TreeEntry } from '../../formats/tree/tree.ts'
import {
  imageDetails,
  imageSummary,
  pullRequest,
  treeChange,
  treeEntry,
  type Progress,
  type TreeChangeView,
  type TreeEntryView,
} from '../../model/api.ts'
import { exportFormatNames } from '../../model/export.ts'
import type { Exports } from '../../services/images/export/exports.ts'
import type { ImageProgress } from '../../services/images/image.ts'
import type { Images } from '../../services/images/images.ts'
import { answers, newRouter, streamRoute } from './router.ts'
import { summaryOf } from './image-view.ts'
import { entryView } from './tree-view.ts'
import { eventStream, octets, type SendEvent } from './streams.ts'

export interface ImageRoutesDeps {
  readonly images: Images
  readonly exports: Pick<Exports, 'open' | 'packages'>
  /** Where uploads wait until they have been taken in. */
  readonly uploadDir: string
}

const refQuery = z.object({ ref: z.string().min(1).max(1024) })

export function imageRoutes({ images, exports, uploadDir }: ImageRoutesDeps): OpenAPIHono {
  const app = newRouter()
  app.openapi(
    createRoute({
      method: 'get',
      path: '/images',
      summary: 'All images',
      responses: answers(z.object({ images: z.array(imageSummary) }), 'newest first'),
    }),
    async (c) => c.json({ images: (await images.list()).map(summaryOf) }, 200),
  )
  app.openapi(
    createRoute({
      method: 'get',
      path: '/images/inspect',
      summary: 'One image with its config',
      request: { query: refQuery },
      responses: answers(imageDetails, 'the image'),
    }),
    async (c) => {
      const image = await images.inspect(c.req.valid('query').ref)
      const config = JSON.parse(new TextDecoder().decode(image.configBytes)) as Record<string, unknown>
      const layers = image.layers.map(({ diffId, sizeBytes }) => ({ diffId, sizeBytes }))
      return c.json({ ...summaryOf(image), layers, config }, 200)
    },
  )
  app.openapi(
    createRoute({
      method: 'delete',
      path: '/images',
      summary: "Take a tag away, and the image with its last one, as docker's image rm",
      request: { query: refQuery.extend({ force: z.enum(['true', 'false']).default('false') }) },
      responses: answers(z.object({ untagged: z.array(z.string()), deleted: z.array(z.string()) }), 'what went'),
    }),
    async (c) => {
      const { ref, force } = c.req.valid('query')
      const { untagged, deleted } = await images.remove(ref, { force: force === 'true' })
      return c.json({ untagged: [...untagged], deleted: [...deleted] }, 200)
    },
  )
  app.openapi(
    createRoute({
      method: 'post',
      path: '/images/tag',
      summary: 'Give an image another name',
      request: {
        body: {
          required: true,
          content: {
            'application/json': { schema: z.object({ source: z.string().max(1024), target: z.string().max(1024) }) },
          },
        },
      },
      responses: answers(imageSummary, 'the image'),
    }),
    async (c) => {
      const { source, target } = c.req.valid('json')
      await images.tag(source, target)
      return c.json(summaryOf(await images.inspect(target)), 200)
    },
  )
  app.openapi(
    createRoute({
      method: 'get',
      path: '/images/tree',
      summary: 'The merged tree of an image',
      request: { query: refQuery.extend({ path: z.string().max(4096).optional() }) },
      responses: answers(z.object({ entries: z.array(treeEntry) }), 'the entry at the path and what is below it'),
    }),
    async (c) => {
      const { ref, path } = c.req.valid('query')
      const image = await images.inspect(ref)
      const tree = await images.tree(image.id)
      const below = byteStringOf((path ?? '/').replace(/^\/+|\/+$/g, ''))
      if (!tree.get(below)) throw new AppError('not_found', `Cannot find "${path}" in image "${ref}": no such path`)
      const isBelow = (entry: TreeEntry): boolean =>
        below === '' || entry.path === below || entry.path.startsWith(`${below}/`)
      const layers = image.layers.map((layer) => layer.diffId as string)
      const entries: TreeEntryView[] = []
      for (const entry of tree.entries()) if (isBelow(entry)) entries.push(entryView(entry, layers))
      return c.json({ entries }, 200)
    },
  )
  app.openapi(
    createRoute({
      method: 'get',
      path: '/images/diff',
      summary: 'What image b has otherwise than image a',
      request: { query: z.object({ a: z.string().max(1024), b: z.string().max(1024) }) },
      responses: answers(z.object({ changes: z.array(treeChange) }), 'path by path'),
    }),
    async (c) => {
      const { a, b } = c.req.valid('query')
      const changes: TreeChangeView[] = []
      for await (const change of images.diff(a, b))
        changes.push({ path: change.path, kind: change.kind, what: change.details.join(', ') })
      return c.json({ changes }, 200)
    },
  )
  streamRoute(
    app,
    {
      method: 'get',
      path: '/images/export',
      summary: 'The root of an image as one file, made while it is sent',
      query: {
        ref: 'the image',
        format: `one of ${exportFormatNames.join(', ')}`,
        devices: 'false: without device nodes (dir)',
      },
      answer: ['application/octet-stream', 'the file; a transfer that broke off in the middle is no file'],
    },
    async (c) => {
      const { ref = '', format = 'tar', devices } = c.req.query()
      const name = exportFormatNames.find((one) => one === format)
      if (name === undefined)
        throw new AppError(
          'invalid',
          `Cannot export as "${format.slice(0, 64)}": the formats are ${exportFormatNames.join(', ')}`,
        )
      const options = { devices: devices !== 'false' }
      const { mediaType, sizeBytes, bytes } = await exports.open(ref, name, options, c.req.raw.signal)
      return octets(c, () => ({ [Symbol.asyncIterator]: () => bytes }), mediaType, sizeBytes)
    },
  )
  streamRoute(
    app,
    {
      method: 'get',
      path: '/images/packages',
      summary: 'The packages of an image, as its package manager lists them',
      query: { ref: 'the image' },
      answer: ['text/plain', 'what dpkg -l or apk info -v prints'],
    },
    async (c) => {
      const { ref = '' } = c.req.query()
      const list = await exports.packages(ref)
      if (list === undefined)
        throw new AppError('not_found', `Cannot list the packages of image "${ref}": it has no database of dpkg or apk`)
      return c.text(list)
    },
  )
  app.openapi(
    createRoute({
      method: 'post',
      path: '/images/pull',
      summary: 'Pull an image; the answer is a stream of progress',
      request: { body: { required: true, content: { 'application/json': { schema: pullRequest } } } },
      responses: { 200: { description: 'text/event-stream: progress, then done or error' } },
    }),
    (c) => {
      const { reference, ...options } = c.req.valid('json')
      return eventStream(async (send, signal) => {
        const { platform, ca, ...access } = options
        const wanted = {
          ...access,
          ...(platform === undefined ? {} : { platform }),
          ...(ca === undefined ? {} : { ca }),
        }
        send('done', summaryOf(await images.pull(reference, wanted, tellProgress(send), signal)))
      })
    },
  )
  streamRoute(
    app,
    {
      method: 'post',
      path: '/images/import',
      summary: 'Take in an OCI layout, a docker archive or a root file system tar',
      query: { reference: 'its name here' },
      body: 'the archive; or JSON {url}',
      answer: ['text/event-stream', 'progress, then done or error'],
    },
    (c) => {
      const reference = c.req.query('reference')
      const options = reference === undefined ? {} : { reference }
      const isJson = c.req.header('content-type')?.startsWith('application/json') === true
      const request = c.req
      return eventStream(async (send, signal) => {
        if (isJson) {
          const { url } = z.object({ url: z.url() }).parse(await request.json())
          send('done', (await images.import(url, options, tellProgress(send), signal)).map(summaryOf)[0])
          return
        }
        const body = request.raw.body
        if (!body) throw new AppError('invalid', 'Cannot import: the request has no body')
        await using upload = await receive(body, uploadDir, signal)
        // Where it waits means nothing to who sent it.
        const uploaded = { ...options, name: reference ?? 'the upload' }
        send('done', (await images.import(upload.path, uploaded, tellProgress(send), signal)).map(summaryOf)[0])
      })
    },
  )
  return app
}

/** Writes an upload to a file of its own, which goes when the caller is done with it. */
export async function receive(
  body: ReadableStream<Uint8Array>,
  dir: string,
  signal: AbortSignal,
): Promise<{ path: string } & AsyncDisposable> {
  const own = await mkdtemp(join(dir, 'upload-'))
  const path = join(own, 'upload')
  const remove = (): Promise<void> => rm(own, { recursive: true, force: true })
  try {
    await pipeline(Readable.fromWeb(body), createWriteStream(path, { mode: 0o600 }), { signal })
  } catch (error) {
    await remove()
    throw error
  }
  return { path, [Symbol.asyncDispose]: remove }
}

function tellProgress(send: SendEvent): (event: ImageProgress) => void {
  return (event) => {
    if (event.kind !== 'layer') return
    send('progress', {
      step: event.digest,
      status: event.state,
      currentBytes: event.bytes,
      ...(event.totalBytes === undefined ? {} : { totalBytes: event.totalBytes }),
    } satisfies Progress)
  }
}
