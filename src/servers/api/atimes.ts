import type { OpenAPIHono } from '@hono/zod-openapi'
import type { ContainersService } from '../../services/containers/containers.ts'
import type { NfsRoots } from '../../services/nfs/roots.ts'
import { newRouter, streamRoute } from './router.ts'
import { octets } from './streams.ts'

export interface AtimeRoutesDeps {
  readonly containers: ContainersService
  readonly nfsRoots: Pick<NfsRoots, 'accessed'>
}

export function atimeRoutes({ containers, nfsRoots }: AtimeRoutesDeps): OpenAPIHono {
  const app = newRouter()
  streamRoute(
    app,
    {
      method: 'get',
      path: '/containers/{id}/atimes',
      summary: 'The files that a container with --reset-atime has read or made since its boot',
      answer: ['text/plain', './PATH, one a line, sorted; names are bytes as they are'],
    },
    async (c) => {
      const { id } = await containers.find(c.req.param('id')!)
      // Asked for before the answer begins, so that a refusal is one.
      const list = await nfsRoots.accessed(id, c.req.raw.signal)
      return octets(
        c,
        async function* () {
          yield list
        },
        'text/plain',
        list.length,
      )
    },
  )
  return app
}
