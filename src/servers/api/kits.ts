import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi'
import { AppError } from '../../base/errors.ts'
import { importedFile, kit, type Kit as KitView } from '../../model/api.ts'
import { arch } from '../../model/machine.ts'
import type { Kit, Kits } from '../../services/kits/kits.ts'
import type { BootFileKind } from '../../services/kits/ports.ts'
import { receive } from './images.ts'
import { answers, newRouter, streamRoute } from './router.ts'
import { eventStream } from './streams.ts'

export interface KitRoutesDeps {
  readonly kits: Kits
  readonly uploadDir: string
}

const buildRequest = z
  .object({
    architecture: arch.default('amd64').describe('of the machines that it is for'),
    flavour: z.enum(['full', 'cloud']).default('full'),
    force: z.boolean().default(false),
  })
  .strict()
const params = z.object({ digest: z.string().max(80) })
const KINDS = { kernels: 'kernel', initrds: 'initrd' } as const

export function kitRoutes({ kits, uploadDir }: KitRoutesDeps): OpenAPIHono {
  const app = newRouter()

  app.openapi(
    createRoute({
      method: 'get',
      path: '/kits',
      summary: 'Kits, and the kernels and initrds that a site brought itself',
      responses: answers(z.object({ kits: z.array(kit), imported: z.array(importedFile) }), 'all of them'),
    }),
    async (c) => {
      const defaults = await kits.defaults()
      const views = (await kits.list()).map((found) => viewOf(found, defaults.has(found.digest)))
      return c.json({ kits: views, imported: await kits.imports.list() }, 200)
    },
  )
  app.openapi(
    createRoute({
      method: 'post',
      path: '/kits/build',
      summary: 'Build the kit from Debian packages; the answer is a stream of progress',
      request: { body: { required: true, content: { 'application/json': { schema: buildRequest } } } },
      responses: { 200: { description: 'text/event-stream: progress, then done or error' } },
    }),
    (c) => {
      const options = c.req.valid('json')
      return eventStream(async (send, signal) => {
        const built = await kits.build(options, (step) => send('progress', { step, status: 'doing' }), signal)
        send('done', viewOf(built, true))
      })
    },
  )
  app.openapi(
    createRoute({
      method: 'get',
      path: '/kits/{digest}',
      summary: 'One kit',
      request: { params },
      responses: answers(kit, 'the kit'),
    }),
    async (c) => {
      const found = await kits.open(c.req.valid('param').digest)
      return c.json(viewOf(found, (await kits.defaults()).has(found.digest)), 200)
    },
  )
  app.openapi(
    createRoute({
      method: 'delete',
      path: '/kits/{digest}',
      summary: 'Remove a kit',
      request: { params },
      responses: answers(kit, 'as it was'),
    }),
    async (c) => {
      const found = await kits.open(c.req.valid('param').digest)
      const view = viewOf(found, false)
      await kits.remove(found.digest)
      return c.json(view, 200)
    },
  )
  for (const [room, kind] of Object.entries(KINDS) as ['kernels' | 'initrds', BootFileKind][]) {
    streamRoute(
      app,
      {
        method: 'post',
        path: `/${room}`,
        summary: `Import a ${kind} of the site's own`,
        query: { name: 'its name here' },
        body: 'the file; or JSON {url}',
        answer: ['application/json', 'ImportedFile'],
      },
      async (c) => {
        const name = c.req.query('name') ?? ''
        if (c.req.header('content-type')?.startsWith('application/json') === true) {
          await kits.importFile(kind, name, z.object({ url: z.url() }).parse(await c.req.json()).url, c.req.raw.signal)
        } else {
          const body = c.req.raw.body
          if (!body) throw new AppError('invalid', 'Cannot import: the request has no body')
          await using upload = await receive(body, uploadDir, c.req.raw.signal)
          await kits.importFile(kind, name, upload.path, c.req.raw.signal)
        }
        const found = (await kits.imports.list()).find((file) => file.kind === kind && file.name === name)
        return c.json(found, 201)
      },
    )
    streamRoute(
      app,
      {
        method: 'delete',
        path: `/${room}/{name}`,
        summary: `Remove an imported ${kind}`,
        answer: ['text/plain', 'done'],
      },
      async (c) => {
        await kits.imports.remove(kind, c.req.param('name')!)
        return c.body(null, 204)
      },
    )
  }
  return app
}

function viewOf({ digest, manifest, createdAt }: Kit, isDefault: boolean): KitView {
  const files = Object.entries(manifest.files).map(([name, file]) => ({ name, ...file }))
  return {
    digest,
    isDefault,
    arch: manifest.architecture,
    kernelVersion: manifest.kernelRelease,
    sizeBytes: files.reduce((sum, file) => sum + file.sizeBytes, 0),
    createdAt,
    packages: manifest.packages.map(({ name, version, sha256 }) => ({ name, version, sha256 })),
    files,
  }
}
