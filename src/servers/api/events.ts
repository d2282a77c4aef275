import type { OpenAPIHono } from '@hono/zod-openapi'
import type { Event } from '../../model/event.ts'
import type { EventBus } from '../../services/ports.ts'
import { newRouter, streamRoute } from './router.ts'
import { wholeNumber } from './log-lines.ts'
import { eventStream } from './streams.ts'

/** `GET /v1/events`: the stored events that fit, then, with `follow`, those that come. */
export function eventRoutes(events: EventBus): OpenAPIHono {
  const app = newRouter()
  streamRoute(
    app,
    {
      method: 'get',
      path: '/events',
      summary: 'Events that are stored, then those that come',
      query: {
        since: 'milliseconds since the epoch',
        until: 'milliseconds since the epoch',
        container: 'id',
        follow: 'true: go on',
      },
      answer: ['text/event-stream', 'event: event, data: Event'],
    },
    (c) => {
      const params = new URL(c.req.url).searchParams
      const number = (name: string): number | undefined => {
        const text = params.get(name)
        return text === null ? undefined : wholeNumber(name, text)
      }
      const [sinceMs, untilMs, subjectId] = [number('since'), number('until'), params.get('container') ?? undefined]
      const fits = (event: Event): boolean => subjectId === undefined || event.subjectId === subjectId
      const follow = params.get('follow') === 'true'
      return eventStream(async (send, signal) => {
        const early: Event[] = []
        let lastId = 0
        const tell = (event: Event): void => {
          if (event.id <= lastId) return
          lastId = event.id
          send('event', event, event.id)
        }
        // Listening starts before the history is read, so that nothing falls between the two.
        let onEvent = (event: Event): void => void early.push(event)
        const stop = events.listen((event) => fits(event) && onEvent(event))
        try {
          const asksHistory = sinceMs !== undefined || subjectId !== undefined || !follow
          const range = {
            ...(sinceMs === undefined ? {} : { sinceMs }),
            ...(untilMs === undefined ? {} : { untilMs }),
            ...(subjectId === undefined ? {} : { subjectId }),
          }
          if (asksHistory) for (const event of await events.history(range)) tell(event)
          for (const event of early) tell(event)
          onEvent = tell
          if (!follow) return
          await new Promise<void>((resolve) => {
            signal.addEventListener('abort', () => resolve(), { once: true })
            if (untilMs !== undefined) setTimeout(resolve, Math.max(0, untilMs - Date.now())).unref()
          })
        } finally {
          stop()
        }
      })
    },
  )
  return app
}
