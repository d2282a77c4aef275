import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi'
import { crawlRequest, discoveredBmc, importAnswer, importRequest, scanRequest } from '../../model/discovery.ts'

import type { DiscoveryService } from '../../services/discovery/discovery.ts'
import { answers, newRouter } from './router.ts'
import { jsonLines } from './streams.ts'

export interface DiscoveryRoutesDeps {
  readonly discovery: DiscoveryService
}

export function discoveryRoutes({ discovery }: DiscoveryRoutesDeps): OpenAPIHono {
  const app = newRouter()
  app.openapi(
    createRoute({
      method: 'post',
      path: '/discovery/scan',
      summary: 'Look for BMCs in subnets',
      request: { body: { required: true, content: { 'application/json': { schema: scanRequest } } } },
      responses: { 200: { description: 'application/x-ndjson: DiscoveredBmc, one a line, as they answer' } },
    }),
    async (c) =>
      await begun(
        (signal) => discovery.scan(c.req.valid('json'), signal),
        (lines) => jsonLines(c, lines),
      ),
  )
  app.openapi(
    createRoute({
      method: 'post',
      path: '/discovery/crawl',
      summary: 'Read the hardware of systems from their BMCs',
      request: { body: { required: true, content: { 'application/json': { schema: crawlRequest } } } },
      responses: { 200: { description: 'application/x-ndjson: CrawlResult, one a line, as they are done' } },
    }),
    async (c) =>
      await begun(
        (signal) => discovery.crawl(c.req.valid('json'), signal),
        (lines) => jsonLines(c, lines),
      ),
  )
  app.openapi(
    createRoute({
      method: 'post',
      path: '/discovery/import',
      summary: 'Make or update machines of what was crawled',
      request: { body: { required: true, content: { 'application/json': { schema: importRequest } } } },
      responses: answers(importAnswer, 'what was done, or would be'),
    }),
    async (c) => c.json(await discovery.import(c.req.valid('json')), 200),
  )
  app.openapi(
    createRoute({
      method: 'get',
      path: '/discovery/bmcs',
      summary: 'BMCs that were found',
      responses: answers(z.object({ bmcs: z.array(discoveredBmc) }), 'by address'),
    }),
    async (c) => c.json({ bmcs: await discovery.list() }, 200),
  )
  app.openapi(
    createRoute({
      method: 'delete',
      path: '/discovery/bmcs/{address}',
      summary: 'Forget a BMC, its certificate and its password',
      request: { params: z.object({ address: z.string().max(256) }) },
      responses: { 204: { description: 'forgotten' } },
    }),
    async (c) => {
      await discovery.forget(c.req.valid('param').address)
      return c.body(null, 204)
    },
  )
  return app
}

/**
 * A stream whose first value is there before the answer begins, so that a request that cannot be done is refused with its status and
 * not by an answer that breaks off.
 */
async function begun<T>(
  open: (signal: AbortSignal) => AsyncGenerator<T>,
  answer: (lines: (signal: AbortSignal) => AsyncIterable<T>) => Response,
): Promise<Response> {
  const gone = new AbortController()
  const values = open(gone.signal)
  const first = await values.next()
  return answer(async function* (signal) {
    signal.addEventListener('abort', () => gone.abort(signal.reason))
    try {
      if (first.done !== true) yield first.value
      if (first.done !== true) yield* values
    } finally {
      gone.abort()
    }
  })
}
