import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi'
import { configEntry, systemInfo, type ConfigEntry, type SystemInfo } from '../../model/api.ts'
import { answers, newRouter } from './router.ts'

export interface SystemRoutesDeps {
  readonly info: () => Promise<SystemInfo>
  readonly config: readonly ConfigEntry[]
  readonly isReady: () => boolean
}

export function systemRoutes({ info, config, isReady }: SystemRoutesDeps): OpenAPIHono {
  const app = newRouter()
  app.openapi(
    createRoute({
      method: 'get',
      path: '/v1/system',
      summary: 'What this server is',
      responses: answers(systemInfo, 'its state'),
    }),
    async (c) => c.json(await info(), 200),
  )
  app.openapi(
    createRoute({
      method: 'get',
      path: '/v1/config',
      summary: 'The effective configuration, with the origin of each value',
      responses: answers(z.object({ entries: z.array(configEntry) }), 'the entries'),
    }),
    (c) => c.json({ entries: [...config] }, 200),
  )
  app.get('/healthz', (c) => c.text('ok\n'))
  app.get('/readyz', (c) => (isReady() ? c.text('ok\n') : c.text('starting\n', 503)))
  return app
}
