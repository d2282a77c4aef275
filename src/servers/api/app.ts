/** The HTTP API: routes by resource, one shape for errors, the OpenAPI document from the schemas that validate. */
import type { OpenAPIHono } from '@hono/zod-openapi'
import { HTTPException } from 'hono/http-exception'
import { AppError, explain } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import { atimeRoutes, type AtimeRoutesDeps } from './atimes.ts'
import { limitBodies } from './body.ts'
import { containerRoutes, type ContainerRoutesDeps } from './containers.ts'
import { discoveryRoutes, type DiscoveryRoutesDeps } from './discovery.ts'
import { eventRoutes } from './events.ts'
import { groupRoutes, type GroupRoutesDeps } from './groups.ts'
import { imageRoutes, type ImageRoutesDeps } from './images.ts'
import { kitRoutes, type KitRoutesDeps } from './kits.ts'
import { machineBmcRoutes, type MachineBmcRoutesDeps } from './machine-bmc.ts'
import { machineMediaRoutes, type MachineMediaRoutesDeps } from './machine-media.ts'
import { machineRoutes, type MachineRoutesDeps } from './machines.ts'
import { mediaRoutes, type MediaRoutesDeps } from './media.ts'
import { nodesFileRoutes, type NodesFileRoutesDeps } from './nodes-file.ts'
import { profileRoutes, type ProfileRoutesDeps } from './profiles.ts'
import { errorResponse, newRouter } from './router.ts'
import { storeRoutes, type StoreRoutesDeps } from './store.ts'
import { systemRoutes, type SystemRoutesDeps } from './system.ts'
import type { EventBus } from '../../services/ports.ts'

export interface ApiDeps
  extends
    AtimeRoutesDeps,
    ContainerRoutesDeps,
    GroupRoutesDeps,
    DiscoveryRoutesDeps,
    ImageRoutesDeps,
    KitRoutesDeps,
    MachineMediaRoutesDeps,
    MachineRoutesDeps,
    Pick<MachineBmcRoutesDeps, 'bmcRecordings'>,
    MediaRoutesDeps,
    NodesFileRoutesDeps,
    ProfileRoutesDeps,
    StoreRoutesDeps,
    SystemRoutesDeps {
  readonly log: Log
  readonly events: EventBus
  readonly version: string
}

export function createApi(deps: ApiDeps): OpenAPIHono {
  const app = newRouter()
  app.use('*', limitBodies())
  app.onError((error, c) => {
    // The framework's own refusals, e.g. of a content type.
    if (error instanceof HTTPException && error.status < 500)
      return errorResponse(new AppError('invalid', `Cannot read the request: ${error.message}`))
    // Whoever asked has gone: what was asked of a BMC ends with its reason.
    if (c.req.raw.signal.aborted && !(error instanceof AppError))
      return errorResponse(new AppError('interrupted', 'Cannot finish: the connection was closed'))
    if (!(error instanceof AppError)) deps.log.error('api request failed', { path: c.req.path, error: explain(error) })
    return errorResponse(error)
  })
  app.notFound((c) =>
    errorResponse(new AppError('not_found', `Cannot find "${c.req.method} ${c.req.path}": no such route`)),
  )
  app.route('/', systemRoutes(deps))
  app.route('/v1', machineRoutes(deps))
  app.route('/v1', groupRoutes(deps))
  app.route('/v1', nodesFileRoutes(deps))
  app.route('/v1', machineBmcRoutes(deps))
  app.route('/v1', machineMediaRoutes(deps))
  app.route('/v1', discoveryRoutes(deps))
  app.route('/v1', imageRoutes(deps))
  app.route('/v1', profileRoutes(deps))
  app.route('/v1', kitRoutes(deps))
  app.route('/v1', mediaRoutes(deps))
  app.route('/v1', containerRoutes(deps))
  app.route('/v1', storeRoutes(deps))
  app.route('/v1', atimeRoutes(deps))
  app.route('/v1', eventRoutes(deps.events))
  app.get('/v1/openapi.json', (c) => c.json(openApiDocument(app, deps.version)))
  return app
}

/** The document that describes the routes of an app. */
export function openApiDocument(app: OpenAPIHono, version: string) {
  return app.getOpenAPI31Document({
    openapi: '3.1.0',
    info: { title: 'Bareboat', version, license: { name: 'Apache-2.0' } },
  })
}
