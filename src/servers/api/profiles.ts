/** Boot profiles of images over the API. */
import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi'
import { imageProfile, type ImageProfileView } from '../../model/api.ts'
import type { Devices } from '../../services/devices/devices.ts'
import type { Images } from '../../services/images/images.ts'
import { blocksOf } from '../../services/profiles/profile.ts'
import type { Profiles } from '../../services/profiles/profiles.ts'
import { answers, newRouter } from './router.ts'

export interface ProfileRoutesDeps {
  readonly images: Images
  readonly devices: Pick<Devices, 'known'>
  readonly profiles: Pick<Profiles, 'of' | 'measures' | 'forget'>
}

const BLOCK_BYTES = 4096
const refQuery = z.object({ ref: z.string().min(1).max(1024) })

export function profileRoutes({ images, devices, profiles }: ProfileRoutesDeps): OpenAPIHono {
  const app = newRouter()
  app.openapi(
    createRoute({
      method: 'get',
      path: '/images/profile',
      summary: 'What boots of an image read of it, and what fetching that ahead brings',
      request: { query: refQuery },
      responses: answers(imageProfile, 'the profile, where a boot has left one'),
    }),
    async (c) => {
      const image = await images.inspect(c.req.valid('query').ref)
      const device = await devices.known(image.id)
      if (device === undefined) return c.json({ imageId: image.id, boots: [] } satisfies ImageProfileView, 200)
      const { rootHash, sizeBytes } = device
      const [profile, measures] = await Promise.all([profiles.of(rootHash), profiles.measures(rootHash)])
      const touchedBytes = profile && blocksOf(profile.ranges) * BLOCK_BYTES
      return c.json(
        {
          imageId: image.id,
          rootHash,
          deviceBytes: sizeBytes,
          ...(profile === undefined || touchedBytes === undefined
            ? {}
            : {
                profile: {
                  touchedBytes,
                  share: touchedBytes / sizeBytes,
                  ranges: profile.ranges.length,
                  recordedAt: profile.recordedAtMs,
                },
              }),
          boots: measures.map(({ isAhead, bootMs, bytesSent, atMs, containerId }) => ({
            isAhead,
            bootMs,
            bytesSent,
            at: atMs,
            containerId,
          })),
        } satisfies ImageProfileView,
        200,
      )
    },
  )
  app.openapi(
    createRoute({
      method: 'delete',
      path: '/images/profile',
      summary: 'Forget the boot profile of an image: the next boot makes a new one',
      request: { query: refQuery },
      responses: { 204: { description: 'it is forgotten' } },
    }),
    async (c) => {
      const image = await images.inspect(c.req.valid('query').ref)
      const device = await devices.known(image.id)
      if (device !== undefined) await profiles.forget(device.rootHash)
      return c.body(null, 204)
    },
  )
  return app
}
