/** The API as functions: one per route, typed by the model. */
import type { ConfigEntry, SystemInfo } from '../model/api.ts'
import type { Event } from '../model/event.ts'
import { createCalls, type Signalled } from './calls.ts'
import { containerCalls } from './containers.ts'
import type { Endpoint } from './endpoint.ts'
import { imageCalls } from './images.ts'
import { machineCalls } from './machines.ts'

export interface EventQuery extends Signalled {
  readonly sinceMs?: number
  readonly untilMs?: number
  readonly containerId?: string
  readonly follow?: boolean
}
export type Client = ReturnType<typeof createClient>

/**
 * A client of the server at `endpoint`. Every function throws an AppError with the server's code and message, or
 * `unreachable`; every function stops when its signal aborts. Nothing is held open between calls.
 */
export function createClient(endpoint: Endpoint) {
  const calls = createCalls(endpoint)
  return {
    endpoint,
    system: (options: Signalled = {}) => calls.ask<SystemInfo>('GET', '/v1/system', options),
    config: async (options: Signalled = {}) =>
      (await calls.ask<{ entries: ConfigEntry[] }>('GET', '/v1/config', options)).entries,

    async *events({ sinceMs, untilMs, containerId, follow, signal }: EventQuery = {}): AsyncGenerator<Event> {
      const query = { since: sinceMs, until: untilMs, container: containerId, follow }
      for await (const [name, value] of calls.events('/v1/events', query, signal))
        if (name === 'event') yield value as Event
    },

    ...machineCalls(calls),
    ...imageCalls(calls),
    ...containerCalls(calls),
  }
}
