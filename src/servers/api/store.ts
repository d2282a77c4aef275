import { createRoute, type OpenAPIHono } from '@hono/zod-openapi'
import type { Progress } from '../../model/api.ts'
import { checkRequest, pruneReport, pruneRequest, storeUsage } from '../../model/store.ts'
import type { StoreCare } from '../../services/store/care.ts'
import { answers, newRouter } from './router.ts'
import { eventStream } from './streams.ts'

export interface StoreRoutesDeps {
  readonly care: StoreCare
}

export function storeRoutes({ care }: StoreRoutesDeps): OpenAPIHono {
  const app = newRouter()
  app.openapi(
    createRoute({
      method: 'get',
      path: '/system/df',
      summary: 'What takes how much room, and how much of it could be had back',
      responses: answers(storeUsage, 'by kind, and one by one'),
    }),
    async (c) => c.json(await care.usage(), 200),
  )
  app.openapi(
    createRoute({
      method: 'post',
      path: '/system/prune',
      summary: "Remove what nobody needs, as docker's system prune; with dryRun only say what that is",
      request: { body: { required: true, content: { 'application/json': { schema: pruneRequest } } } },
      responses: answers(pruneReport, 'what went, or would go'),
    }),
    async (c) => c.json(await care.prune(c.req.valid('json')), 200),
  )
  app.openapi(
    createRoute({
      method: 'post',
      path: '/system/check',
      summary: 'Hold all that is stored against its digests; the answer is a stream of progress',
      request: { body: { required: true, content: { 'application/json': { schema: checkRequest } } } },
      responses: { 200: { description: 'text/event-stream: progress, then done (a CheckReport) or error' } },
    }),
    (c) => {
      const { repair, bytesPerSecond } = c.req.valid('json')
      return eventStream(async (send, signal) => {
        const options = { repair, ...(bytesPerSecond === 0 ? {} : { bytesPerSecond }) }
        const report = await care.check(
          options,
          ({ what, state, bytes, totalBytes }) =>
            send('progress', {
              step: what,
              status: state,
              ...(bytes === undefined ? {} : { currentBytes: bytes }),
              ...(totalBytes === undefined ? {} : { totalBytes }),
            } satisfies Progress),
          signal,
        )
        send('done', report)
      })
    },
  )
  return app
}
