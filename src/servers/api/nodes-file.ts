import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi'
import { AppError } from '../../base/errors.ts'
import { MAX_TEXT_BYTES } from '../../formats/nodes/located.ts'
import { staticReport } from '../../model/nodes.ts'
import type { StaticDiscovery } from '../../services/machines/static.ts'
import { readText } from './body.ts'
import { answers, newRouter, streamRoute } from './router.ts'

export interface NodesFileRoutesDeps {
  readonly staticDiscovery: StaticDiscovery
}

const DEADLINE_MS = 60_000
const flag = z.enum(['true', 'false']).default('false')

export function nodesFileRoutes({ staticDiscovery }: NodesFileRoutesDeps): OpenAPIHono {
  const app = newRouter()
  app.openapi(
    createRoute({
      method: 'post',
      path: '/discover/static',
      summary: 'Make the machines of a nodes file known: all, or none',
      request: {
        query: z.object({
          source: z.string().max(256).default('nodes file').describe('name of the file, for messages'),
          overwrite: flag.describe('change machines that are known already'),
          dryRun: flag.describe('only say what would change'),
        }),
        body: {
          required: true,
          content: { 'application/octet-stream': { schema: z.string().describe('YAML or JSON, UTF-8') } },
        },
      },
      responses: answers(staticReport, 'what was changed, in the order of the file'),
    }),
    async (c) => {
      const { source, overwrite, dryRun } = c.req.valid('query')
      // What says that it is JSON was read already, by the limits of the API for it.
      const isRead = /\bjson\b/i.test(c.req.header('content-type') ?? '')
      const text = isRead
        ? await c.req.text()
        : await readText(c.req.raw.body, MAX_TEXT_BYTES, AbortSignal.timeout(DEADLINE_MS), 'nodes file')
      const options = { source, overwrite: overwrite === 'true', dryRun: dryRun === 'true' }
      return c.json(await staticDiscovery.discover(text, options), 200)
    },
  )
  streamRoute(
    app,
    {
      method: 'get',
      path: '/discover/static',
      summary: 'A nodes file of the machines',
      query: { machine: 'one of them, may be said again; all when absent', format: 'yaml (default) or json' },
      answer: ['application/octet-stream', 'the file'],
    },
    async (c) => {
      const { searchParams } = new URL(c.req.url)
      const format = searchParams.get('format') ?? 'yaml'
      if (format !== 'yaml' && format !== 'json')
        throw new AppError('invalid', `Cannot export as "${format.slice(0, 64)}": the formats are yaml, json`)
      const type = format === 'yaml' ? 'application/yaml' : 'application/json'
      return c.body(await staticDiscovery.exported(searchParams.getAll('machine'), format), 200, {
        'content-type': type,
      })
    },
  )
  return app
}
