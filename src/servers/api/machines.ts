import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi'
import { powerAnswer, powerRequest, rebootAnswer } from '../../model/api.ts'
import { inventory } from '../../model/inventory.ts'
import { acceptRequest, machine, machineChange, machineSpec, wipe, wipeRequest } from '../../model/machine.ts'
import type { AgentsService } from '../../services/agents/agents.ts'
import { reboot } from '../../services/agents/reboot.ts'
import type { LogStore } from '../../services/containers/ports.ts'
import type { MachinesService } from '../../services/machines/machines.ts'
import type { InventoryStore } from '../../services/machines/ports.ts'
import type { PowerService } from '../../services/power/power.ts'
import { answers, documentChannel, newRouter, streamRoute } from './router.ts'
import { logLines } from './log-lines.ts'
import { jsonLines } from './streams.ts'

export interface MachineRoutesDeps {
  readonly machines: MachinesService
  readonly power: PowerService
  readonly agents: AgentsService
  readonly inventories: Pick<InventoryStore, 'of'>
  readonly logs: LogStore
}

const DECISIONS = {
  reject: 'Reject a machine: it boots nothing',
  cordon: 'Cordon a machine: what runs on it goes on, nothing new is started',
  uncordon: 'Take a cordon away',
} as const

const wipesAnswer = z.object({ wipes: z.array(wipe) })
const params = z.object({ name: z.string().max(256) })

export function machineRoutes(deps: MachineRoutesDeps): OpenAPIHono {
  const { machines, agents, power, logs } = deps
  const app = newRouter()
  app.openapi(
    createRoute({
      method: 'get',
      path: '/machines',
      summary: 'All machines',
      responses: answers(z.object({ machines: z.array(machine) }), 'by name'),
    }),
    async (c) => c.json({ machines: await machines.list() }, 200),
  )
  app.openapi(
    createRoute({
      method: 'post',
      path: '/machines',
      summary: 'Add a machine',
      request: { body: { required: true, content: { 'application/json': { schema: machineSpec } } } },
      responses: answers(machine, 'the machine', 201),
    }),
    async (c) => c.json(await machines.add(c.req.valid('json')), 201),
  )
  app.openapi(
    createRoute({
      method: 'get',
      path: '/machines/{name}',
      summary: 'One machine',
      request: { params },
      responses: answers(machine, 'it'),
    }),
    async (c) => c.json(await machines.get(c.req.valid('param').name), 200),
  )
  app.openapi(
    createRoute({
      method: 'patch',
      path: '/machines/{name}',
      summary: 'Change a machine',
      request: { params, body: { required: true, content: { 'application/json': { schema: machineChange } } } },
      responses: answers(machine, 'as it is now'),
    }),
    async (c) => c.json(await machines.change(c.req.valid('param').name, c.req.valid('json')), 200),
  )
  app.openapi(
    createRoute({
      method: 'post',
      path: '/machines/{name}/accept',
      summary: 'Accept a machine: containers may run on it',
      request: { params, body: { required: true, content: { 'application/json': { schema: acceptRequest } } } },
      responses: answers(machine, 'as it is now'),
    }),
    async (c) => {
      const found = await machines.find(c.req.valid('param').name)
      await agents.refuseWhileWiping(found, 'accept')
      return c.json(await machines.decide(found.id, 'accept', c.req.valid('json').name), 200)
    },
  )
  for (const [decision, summary] of Object.entries(DECISIONS) as [keyof typeof DECISIONS, string][])
    app.openapi(
      createRoute({
        method: 'post',
        path: `/machines/{name}/${decision}`,
        summary,
        request: { params },
        responses: answers(machine, 'as it is now'),
      }),
      async (c) => {
        const found = await machines.find(c.req.valid('param').name)
        if (decision === 'uncordon') await agents.refuseWhileWiping(found, decision)
        return c.json(await machines.decide(found.id, decision), 200)
      },
    )
  app.openapi(
    createRoute({
      method: 'post',
      path: '/machines/{name}/reboot',
      summary: 'Start a machine without a container anew, by its agent or its BMC',
      request: { params },
      responses: answers(rebootAnswer, 'who does it'),
    }),
    async (c) => {
      const found = await machines.find(c.req.valid('param').name)
      await agents.refuseWhileWiping(found, 'reboot')
      return c.json({ by: await reboot(deps, found) }, 200)
    },
  )
  app.openapi(
    createRoute({
      method: 'post',
      path: '/machines/{name}/wipes',
      summary: 'Have the agent overwrite disks with zeros and read them back; answers at once',
      request: { params, body: { required: true, content: { 'application/json': { schema: wipeRequest } } } },
      responses: answers(wipesAnswer, 'what was begun', 202),
    }),
    async (c) => {
      const found = await machines.find(c.req.valid('param').name)
      return c.json({ wipes: await agents.wipe(found, c.req.valid('json')) }, 202)
    },
  )
  app.openapi(
    createRoute({
      method: 'get',
      path: '/machines/{name}/wipes',
      summary: 'What became of disks that were to be wiped since the server was started',
      request: { params },
      responses: answers(wipesAnswer, 'the oldest first'),
    }),
    async (c) => c.json({ wipes: await agents.wipesOf(await machines.find(c.req.valid('param').name)) }, 200),
  )
  app.openapi(
    createRoute({
      method: 'get',
      path: '/machines/{name}/inventories',
      summary: 'What is known of its hardware: the last inventory of each source, the latest first',
      request: { params },
      responses: answers(z.object({ inventories: z.array(inventory) }), 'the inventories'),
    }),
    async (c) => {
      const { id } = await machines.find(c.req.valid('param').name)
      return c.json({ inventories: await deps.inventories.of(id) }, 200)
    },
  )
  app.openapi(
    createRoute({
      method: 'delete',
      path: '/machines/{name}',
      summary: 'Remove a machine',
      request: { params },
      responses: answers(machine, 'as it was'),
    }),
    async (c) => c.json(await machines.remove(c.req.valid('param').name), 200),
  )
  app.openapi(
    createRoute({
      method: 'get',
      path: '/machines/{name}/power',
      summary: 'The power state, asked of the BMC now',
      request: { params },
      responses: answers(powerAnswer, 'the state'),
    }),
    async (c) => c.json({ state: await power.status(await machines.find(c.req.valid('param').name)) }, 200),
  )
  app.openapi(
    createRoute({
      method: 'post',
      path: '/machines/{name}/power',
      summary: 'Switch on, off, cycle or soft-off; answers when the effect was observed',
      request: { params, body: { required: true, content: { 'application/json': { schema: powerRequest } } } },
      responses: answers(powerAnswer, 'the observed state'),
    }),
    async (c) => {
      const found = await machines.find(c.req.valid('param').name)
      await power.set(found, c.req.valid('json').action)
      return c.json({ state: await power.status(found) }, 200)
    },
  )
  streamRoute(
    app,
    {
      method: 'get',
      path: '/machines/{name}/console/log',
      summary: 'What the serial console of a machine has said',
      query: { follow: 'true: go on until it is over', since: 'milliseconds since the epoch', tail: 'lines, or all' },
      answer: ['application/x-ndjson', 'LogChunk, one a line'],
    },
    async (c) => {
      const found = await machines.find(c.req.param('name')!)
      return jsonLines(c, (signal) => logLines(logs, found.id, new URL(c.req.url).searchParams, ['console'], signal))
    },
  )
  documentChannel(app, '/machines/{name}/console', 'The serial console', {
    as: 'what others are told of who looks, up to 64 characters',
    readOnly: 'true: never write',
    takeOver: 'true: take the console from another session of the BMC, and the writing from another viewer',
  })
  documentChannel(app, '/machines/{name}/shell', 'A program on a machine that is in the agent', {})
  return app
}
