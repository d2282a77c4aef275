/** Virtual media in machines: what their BMCs show them as drives. */
import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi'
import type { Context } from 'hono'
import { AppError } from '../../base/errors.ts'
import {
  attachedMedium,
  attachOptions,
  attachRequest,
  machineMedia,
  type AttachOptions,
  type MediumSource,
} from '../../model/media.ts'
import type { MachinesService } from '../../services/machines/machines.ts'
import type { AttachmentsService } from '../../services/media/attachments.ts'
import { receive } from './images.ts'
import { answers, newRouter, streamRoute } from './router.ts'

export interface MachineMediaRoutesDeps {
  readonly machines: MachinesService
  readonly attachments: AttachmentsService
  readonly uploadDir: string
}

const params = z.object({ name: z.string().max(256) })
const MAX_FILE_NAME = 255

export function machineMediaRoutes({ machines, attachments, uploadDir }: MachineMediaRoutesDeps): OpenAPIHono {
  const app = newRouter()
  app.openapi(
    createRoute({
      method: 'get',
      path: '/machines/{name}/media',
      summary: 'What the virtual drives of a machine hold, asked of its BMC now',
      request: { params },
      responses: answers(machineMedia, 'its drives'),
    }),
    async (c) => c.json(await attachments.list(await machines.find(c.req.valid('param').name)), 200),
  )
  app.openapi(
    createRoute({
      method: 'post',
      path: '/machines/{name}/media',
      summary: 'Put a medium that is made here into a drive; answers when the BMC shows it there',
      request: { params, body: { required: true, content: { 'application/json': { schema: attachRequest } } } },
      responses: answers(attachedMedium, 'the medium'),
    }),
    async (c) => {
      const { source, format, label, ...options } = c.req.valid('json')
      const machine = await machines.find(c.req.valid('param').name)
      const made = 'image' in source ? { image: source.image } : source
      const what = { made, options: { format, label }, of: nameOf(source) }
      return c.json(await attachments.attach(machine, what, options), 200)
    },
  )
  streamRoute(
    app,
    {
      method: 'post',
      path: '/machines/{name}/media/file',
      summary: 'Put a file into a drive; answers with AttachedMedium when the BMC shows it there',
      query: {
        name: 'of the file',
        kind: 'cd or usb',
        drive: 'of the BMC',
        isWritable: 'true or false',
        boot: 'true: boot from it once',
        cycle: 'true: also a machine that is on',
        expiresSeconds: 'until it is taken out by itself',
      },
      body: 'the file, as the machine is to see it',
      answer: ['application/json', 'the medium'],
    },
    async (c) => {
      const { name: fileName = '', ...query } = c.req.query()
      if (fileName === '' || fileName.length > MAX_FILE_NAME)
        throw new AppError('invalid', 'Cannot attach a file without a name, or with one over 255 characters')
      const options = optionsOf(query)
      const machine = await machines.find(c.req.param('name')!)
      // Before gigabytes are sent for nothing.
      await attachments.refuse(machine, options)
      const { body, signal } = c.req.raw
      if (!body) throw new AppError('invalid', 'Cannot attach a file: the request has no body')
      await using upload = await receive(body, uploadDir, signal)
      return json(c, await attachments.attach(machine, { upload: upload.path, fileName }, options))
    },
  )
  app.openapi(
    createRoute({
      method: 'delete',
      path: '/machines/{name}/media',
      summary:
        'Take out the medium of this server, or what is in a drive that is named; answers when it was seen to be empty',
      request: { params, query: z.object({ drive: z.string().max(128).optional() }) },
      responses: answers(z.object({ name: z.string() }), 'what was taken out'),
    }),
    async (c) => {
      const machine = await machines.find(c.req.valid('param').name)
      return c.json({ name: await attachments.detach(machine, c.req.valid('query').drive) }, 200)
    },
  )
  return app
}

const flag = z.enum(['true', 'false']).transform((word) => word === 'true')
const queryOptions = z
  .object({ isWritable: flag, boot: flag, cycle: flag, expiresSeconds: z.coerce.number() })
  .partial()
  .loose()

function optionsOf(query: Readonly<Record<string, string>>): AttachOptions {
  const words = queryOptions.safeParse(query)
  const parsed = words.success ? attachOptions.safeParse(words.data) : words
  if (parsed.success) return parsed.data as AttachOptions
  const { path, message } = parsed.error.issues[0]!
  throw new AppError('invalid', `Cannot attach a file: ${path.join('.')}: ${message}`)
}

/** For people. */
function nameOf(source: MediumSource): string {
  if ('image' in source) return source.image
  return 'pair' in source ? `${source.pair.kernel}-${source.pair.initrd}` : 'loader'
}

function json(c: Context, value: object): Response {
  return c.json(value)
}
