/** What a machine's BMC knows of itself and of the machine. */
import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi'
import {
  bmcFinding,
  bmcFru,
  bmcInfo,
  bmcReplay,
  bmcSel,
  bmcSensor,
  bmcSetupAnswer,
  bmcSetupRequest,
  bmcUser,
  identifyRequest,
  recordRequest,
} from '../../model/bmc.ts'
import type { AgentsService } from '../../services/agents/agents.ts'
import type { MachinesService } from '../../services/machines/machines.ts'
import type { BmcRecordingsService } from '../../services/power/bmc-recordings.ts'
import type { PowerService } from '../../services/power/power.ts'
import { answers, newRouter } from './router.ts'

export interface MachineBmcRoutesDeps {
  readonly machines: MachinesService
  readonly agents: Pick<AgentsService, 'setUpBmc'>
  readonly power: PowerService
  readonly bmcRecordings: BmcRecordingsService
}

const params = z.object({ name: z.string().max(256) })

export function machineBmcRoutes({ machines, agents, power, bmcRecordings }: MachineBmcRoutesDeps): OpenAPIHono {
  const app = newRouter()
  const hardware = async (name: string) => power.hardware(await machines.find(name))
  app.openapi(
    createRoute({
      method: 'get',
      path: '/machines/{name}/bmc',
      summary: 'Who the BMC is, what it can do, and the power that it measures',
      request: { params },
      responses: answers(bmcInfo, 'what it says of itself'),
    }),
    async (c) => c.json(await (await hardware(c.req.valid('param').name)).info(c.req.raw.signal), 200),
  )
  app.openapi(
    createRoute({
      method: 'get',
      path: '/machines/{name}/bmc/sensors',
      summary: 'Readings of its sensors',
      request: { params },
      responses: answers(z.object({ sensors: z.array(bmcSensor) }), "in the BMC's order"),
    }),
    async (c) => {
      const bmc = await hardware(c.req.valid('param').name)
      return c.json({ sensors: await bmc.sensors(c.req.raw.signal) }, 200)
    },
  )
  app.openapi(
    createRoute({
      method: 'get',
      path: '/machines/{name}/bmc/fru',
      summary: 'Makers, models and serial numbers (FRU inventory)',
      request: { params },
      responses: answers(z.object({ frus: z.array(bmcFru) }), 'the one built in first'),
    }),
    async (c) => {
      const bmc = await hardware(c.req.valid('param').name)
      return c.json({ frus: await bmc.fru(c.req.raw.signal) }, 200)
    },
  )
  app.openapi(
    createRoute({
      method: 'get',
      path: '/machines/{name}/bmc/sel',
      summary: 'The system event log',
      request: { params },
      responses: answers(bmcSel, 'oldest first'),
    }),
    async (c) => c.json(await (await hardware(c.req.valid('param').name)).sel(c.req.raw.signal), 200),
  )
  app.openapi(
    createRoute({
      method: 'delete',
      path: '/machines/{name}/bmc/sel',
      summary: 'Empty the system event log; answers when it was seen to be empty',
      request: { params },
      responses: { 204: { description: 'it is empty' } },
    }),
    async (c) => {
      await (await hardware(c.req.valid('param').name)).clearSel(c.req.raw.signal)
      return c.body(null, 204)
    },
  )
  app.openapi(
    createRoute({
      method: 'post',
      path: '/machines/{name}/bmc/identify',
      summary: 'Turn the identify light on or off',
      request: { params, body: { required: true, content: { 'application/json': { schema: identifyRequest } } } },
      responses: { 204: { description: 'it is' } },
    }),
    async (c) => {
      const bmc = await hardware(c.req.valid('param').name)
      await bmc.identify(c.req.valid('json').seconds, c.req.raw.signal)
      return c.body(null, 204)
    },
  )
  app.openapi(
    createRoute({
      method: 'get',
      path: '/machines/{name}/bmc/users',
      summary: 'Users of the BMC',
      request: { params },
      responses: answers(z.object({ users: z.array(bmcUser) }), 'by id'),
    }),
    async (c) => {
      const bmc = await hardware(c.req.valid('param').name)
      return c.json({ users: await bmc.users(c.req.raw.signal) }, 200)
    },
  )
  app.openapi(
    createRoute({
      method: 'get',
      path: '/machines/{name}/bmc/check',
      summary: 'What is insecure about the BMC',
      request: { params },
      responses: answers(z.object({ findings: z.array(bmcFinding) }), 'the worst first; none is good'),
    }),
    async (c) => {
      const machine = await machines.find(c.req.valid('param').name)
      return c.json({ findings: await power.check(machine, c.req.raw.signal) }, 200)
    },
  )
  app.openapi(
    createRoute({
      method: 'post',
      path: '/machines/{name}/bmc/setup',
      summary:
        'Make a user of the BMC from inside the machine, which is in the agent; answers when a login was seen to work',
      request: { params, body: { required: true, content: { 'application/json': { schema: bmcSetupRequest } } } },
      responses: answers(bmcSetupAnswer, 'what became of it; the password is kept, and never told'),
    }),
    async (c) => {
      const found = await machines.find(c.req.valid('param').name)
      return c.json(await agents.setUpBmc(found, c.req.valid('json')), 200)
    },
  )
  app.openapi(
    createRoute({
      method: 'post',
      path: '/machines/{name}/bmc/recordings',
      summary: 'Do something by the BMC and record what passes, without what logs in',
      request: { params, body: { required: true, content: { 'application/json': { schema: recordRequest } } } },
      responses: answers(z.object({ recording: z.string() }), 'JSON lines, whatever came of the operation'),
    }),
    async (c) => {
      const { operation, named = false } = c.req.valid('json')
      const machine = await machines.find(c.req.valid('param').name)
      const recording = await bmcRecordings.record(machine, operation, { named, signal: c.req.raw.signal })
      return c.json({ recording }, 200)
    },
  )
  app.openapi(
    createRoute({
      method: 'post',
      path: '/bmc/replays',
      summary: 'What the driver concludes from a recording; nothing is sent to any BMC',
      request: {
        body: { required: true, content: { 'application/json': { schema: z.object({ recording: z.string() }) } } },
      },
      responses: answers(bmcReplay, 'step by step'),
    }),
    async (c) => c.json(await bmcRecordings.replay(c.req.valid('json').recording, c.req.raw.signal), 200),
  )
  return app
}
