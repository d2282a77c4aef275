import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi'
import { group, groupChange, groupRequest } from '../../model/nodes.ts'
import type { GroupsService } from '../../services/machines/groups.ts'
import { answers, newRouter } from './router.ts'

export interface GroupRoutesDeps {
  readonly groups: GroupsService
}

const params = z.object({ name: z.string().max(256) })

export function groupRoutes({ groups }: GroupRoutesDeps): OpenAPIHono {
  const app = newRouter()
  app.openapi(
    createRoute({
      method: 'get',
      path: '/groups',
      summary: 'Groups of machines',
      responses: answers(z.object({ groups: z.array(group) }), 'by name'),
    }),
    async (c) => c.json({ groups: await groups.list() }, 200),
  )
  app.openapi(
    createRoute({
      method: 'post',
      path: '/groups',
      summary: 'Create a group',
      request: { body: { required: true, content: { 'application/json': { schema: groupRequest } } } },
      responses: answers(group, 'the group', 201),
    }),
    async (c) => {
      const { name, description, machines } = c.req.valid('json')
      return c.json(await groups.create(name, description, machines), 201)
    },
  )
  app.openapi(
    createRoute({
      method: 'get',
      path: '/groups/{name}',
      summary: 'One group',
      request: { params },
      responses: answers(group, 'it'),
    }),
    async (c) => c.json(await groups.get(c.req.valid('param').name), 200),
  )
  app.openapi(
    createRoute({
      method: 'patch',
      path: '/groups/{name}',
      summary: 'Let machines into a group and out of it: all, or none',
      request: { params, body: { required: true, content: { 'application/json': { schema: groupChange } } } },
      responses: answers(group, 'as it is now'),
    }),
    async (c) => c.json(await groups.change(c.req.valid('param').name, c.req.valid('json')), 200),
  )
  app.openapi(
    createRoute({
      method: 'delete',
      path: '/groups/{name}',
      summary: 'Delete a group; its machines stay',
      request: { params },
      responses: answers(group, 'as it was'),
    }),
    async (c) => c.json(await groups.remove(c.req.valid('param').name), 200),
  )
  return app
}
