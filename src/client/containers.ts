/** Calls of the API about containers. */
import type { Readable } from 'node:stream'
import type { CommitRequest, ImageSummary, PathStat, TopAnswer, WaitAnswer } from '../model/api.ts'
import type { Container, RunOptions } from '../model/container.ts'
import type { RootFormatName } from '../model/export.ts'
import { at, pick, type Calls, type LogQuery, type OnProgress, type Signalled } from './calls.ts'

/** Only the image is required; the server fills in the rest. */
export type RunRequest = Partial<RunOptions> & Pick<RunOptions, 'image'>

export function containerCalls({ ask, download, octets, channel, logChunks, follow }: Calls) {
  return {
    containers: {
      list: async ({ all = false, filters = [], signal }: Signalled & { all?: boolean; filters?: string[] } = {}) =>
        (
          await ask<{ containers: Container[] }>('GET', '/v1/containers', {
            query: { all: all ? true : undefined, filter: filters },
            ...pick(signal),
          })
        ).containers,
      create: (request: RunRequest, options: Signalled = {}) =>
        ask<Container>('POST', '/v1/containers', { json: request, ...options }),
      inspect: (container: string, options: Signalled = {}) =>
        ask<Container>('GET', at('containers', container), options),
      remove: (container: string, { force = false, signal }: Signalled & { force?: boolean } = {}) =>
        ask<void>('DELETE', at('containers', container), {
          query: { force: force ? true : undefined },
          ...pick(signal),
        }),
      stop: (container: string, timeoutSeconds: number | undefined, options: Signalled = {}) =>
        ask<Container>('POST', at('containers', container, 'stop'), { json: { timeoutSeconds }, ...options }),
      kill: (container: string, signalName: string | undefined, options: Signalled = {}) =>
        ask<Container>('POST', at('containers', container, 'kill'), { json: { signal: signalName }, ...options }),
      restart: (container: string, timeoutSeconds: number | undefined, options: Signalled = {}) =>
        ask<Container>('POST', at('containers', container, 'restart'), { json: { timeoutSeconds }, ...options }),
      rename: (container: string, name: string, options: Signalled = {}) =>
        ask<Container>('POST', at('containers', container, 'rename'), { json: { name }, ...options }),
      wait: (container: string, options: Signalled = {}) =>
        ask<WaitAnswer>('GET', at('containers', container, 'wait'), options),
      logs: (
        container: string,
        { follow: isFollowed, sinceMs, tail, stdout, stderr, console, signal }: LogQuery = {},
      ) =>
        logChunks(
          at('containers', container, 'logs'),
          { follow: isFollowed, since: sinceMs, tail, stdout, stderr, console },
          signal,
        ),
      atimes: (container: string, options: Signalled = {}) =>
        octets(at('containers', container, 'atimes'), {}, options),
      top: (container: string, options: Signalled = {}) =>
        ask<TopAnswer>('GET', at('containers', container, 'top'), options),
      readArchive: (container: string, path: string, options: Signalled = {}) =>
        octets(at('containers', container, 'archive'), { path }, options),
      writeArchive: (container: string, path: string, body: Readable, options: Signalled = {}) =>
        ask<void>('PUT', at('containers', container, 'archive'), { query: { path }, body, ...options }),
      stat: (container: string, path: string, options: Signalled = {}) =>
        ask<PathStat>('GET', at('containers', container, 'archive/stat'), { query: { path }, ...options }),
      export: (container: string, format: RootFormatName, { signal }: Signalled = {}) =>
        download(at('containers', container, 'export'), { format }, pick(signal)),
      commit: (container: string, request: CommitRequest, onProgress: OnProgress, options: Signalled = {}) =>
        follow<ImageSummary>('POST', at('containers', container, 'commit'), { json: request, ...options }, onProgress),
      exec: (container: string, options: Signalled = {}) => channel(at('containers', container, 'exec'), {}, options),
      attach: (container: string, query: { stdin?: boolean; logs?: boolean }, options: Signalled = {}) =>
        channel(at('containers', container, 'attach'), query, options),
    },
  }
}
