import { Readable } from 'node:stream'
import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi'
import { AppError } from '../../base/errors.ts'
import { commitRequest, pathStat, topAnswer, waitAnswer, type Progress } from '../../model/api.ts'
import { container, runOptions } from '../../model/container.ts'
import { rootFormatNames } from '../../model/export.ts'
import { name } from '../../model/machine.ts'
import type { ContainersService } from '../../services/containers/containers.ts'
import type { ExecService } from '../../services/containers/exec.ts'
import type { LogStore, LogStream } from '../../services/containers/ports.ts'
import { finished, wholeOutput } from '../../services/containers/output.ts'
import type { Snapshots } from '../../services/containers/snapshots.ts'
import { signalName } from '../../services/containers/workload.ts'
import { answers, documentChannel, newRouter, streamRoute } from './router.ts'
import { filterContainers } from './filters.ts'
import { logLines } from './log-lines.ts'
import { summaryOf } from './image-view.ts'
import { eventStream, jsonLines, octets } from './streams.ts'

export interface ContainerRoutesDeps {
  readonly containers: ContainersService
  readonly exec: ExecService
  readonly snapshots: Snapshots
  readonly logs: LogStore
}

const params = z.object({ id: z.string().max(256) })
const grace = z.object({ timeoutSeconds: z.int().min(0).max(86_400).optional() }).strict()
const json = <T extends z.ZodType>(schema: T) => ({ content: { 'application/json': { schema } } })

export function containerRoutes({ containers, exec, snapshots, logs }: ContainerRoutesDeps): OpenAPIHono {
  const app = newRouter()
  app.openapi(
    createRoute({
      method: 'get',
      path: '/containers',
      summary: 'Containers that live, or all',
      request: {
        query: z.object({
          all: z.enum(['true', 'false']).default('false'),
          filter: z.array(z.string()).or(z.string()).optional(),
        }),
      },
      responses: answers(z.object({ containers: z.array(container) }), 'newest first'),
    }),
    async (c) => {
      const { all } = c.req.valid('query')
      const filters = c.req.queries('filter') ?? []
      return c.json({ containers: filterContainers(await containers.list(), filters, all === 'true') }, 200)
    },
  )
  app.openapi(
    createRoute({
      method: 'post',
      path: '/containers',
      summary: 'Run an image on a machine; booting begins at once',
      request: { body: { required: true, ...json(runOptions) } },
      responses: answers(container, 'the container', 201),
    }),
    async (c) => c.json(await containers.create(c.req.valid('json')), 201),
  )
  app.openapi(
    createRoute({
      method: 'get',
      path: '/containers/{id}',
      summary: 'One container',
      request: { params },
      responses: answers(container, 'it'),
    }),
    async (c) => c.json(await containers.find(c.req.valid('param').id), 200),
  )
  app.openapi(
    createRoute({
      method: 'delete',
      path: '/containers/{id}',
      summary: 'Remove a container; with force, stop it first',
      request: { params, query: z.object({ force: z.enum(['true', 'false']).default('false') }) },
      responses: answers(container, 'as it was'),
    }),
    async (c) => c.json(await containers.remove(c.req.valid('param').id, c.req.valid('query').force === 'true'), 200),
  )
  const verb = <T extends z.ZodType>(path: string, summary: string, body: T) =>
    createRoute({
      method: 'post',
      path: `/containers/{id}/${path}`,
      summary,
      request: { params, body: { required: true, ...json(body) } },
      responses: answers(container, 'as it is now'),
    })
  app.openapi(verb('stop', 'STOPSIGNAL, then KILL, then power off', grace), async (c) =>
    c.json(await containers.stop(c.req.valid('param').id, c.req.valid('json').timeoutSeconds), 200),
  )
  app.openapi(
    verb('kill', 'Send a signal to the workload', z.object({ signal: z.string().max(32).default('KILL') }).strict()),
    async (c) => c.json(await containers.kill(c.req.valid('param').id, signalName(c.req.valid('json').signal)), 200),
  )
  app.openapi(verb('restart', 'Stop and boot again on the same machine', grace), async (c) =>
    c.json(await containers.restart(c.req.valid('param').id, c.req.valid('json').timeoutSeconds), 200),
  )
  app.openapi(verb('rename', 'Give it another name', z.object({ name }).strict()), async (c) =>
    c.json(await containers.rename(c.req.valid('param').id, c.req.valid('json').name), 200),
  )
  app.openapi(
    createRoute({
      method: 'get',
      path: '/containers/{id}/wait',
      summary: 'Answers when it has exited or failed',
      request: { params },
      responses: answers(waitAnswer, 'how it ended'),
    }),
    async (c) => {
      const { state, exitCode, cause } = await containers.wait(c.req.valid('param').id, c.req.raw.signal)
      return c.json(
        { state, ...(exitCode === undefined ? {} : { exitCode }), ...(cause === undefined ? {} : { cause }) },
        200,
      )
    },
  )
  app.openapi(
    createRoute({
      method: 'get',
      path: '/containers/{id}/top',
      summary: 'The processes of the workload',
      request: { params },
      responses: answers(topAnswer, 'titles and rows'),
    }),
    async (c) => c.json(await exec.top(c.req.valid('param').id), 200),
  )
  app.openapi(
    createRoute({
      method: 'get',
      path: '/containers/{id}/archive/stat',
      summary: 'What a path of the running workload is',
      request: { params, query: z.object({ path: z.string().min(1).max(4096) }) },
      responses: answers(pathStat, 'the path'),
    }),
    async (c) => c.json(await exec.stat(c.req.valid('param').id, c.req.valid('query').path), 200),
  )
  streamRoute(
    app,
    {
      method: 'get',
      path: '/containers/{id}/logs',
      summary: 'The output of the workload, or the console of its machine',
      query: {
        follow: 'true: go on until it is over',
        since: 'milliseconds since the epoch',
        tail: 'lines, or all',
        stdout: 'false leaves it out',
        stderr: 'false leaves it out',
        console: 'true: the console alone',
      },
      answer: ['application/x-ndjson', 'LogChunk, one a line'],
    },
    async (c) => {
      const found = await containers.find(c.req.param('id')!)
      const query = new URL(c.req.url).searchParams
      const wanted = (stream: LogStream): boolean => query.get(stream) !== 'false'
      const ofWorkload: LogStream[] = found.mode === 'os' ? ['console'] : ['stdout', 'stderr']
      const streams: LogStream[] = query.get('console') === 'true' ? ['console'] : ofWorkload.filter(wanted)
      const isOver = found.state === 'exited' || found.state === 'failed'
      if (isOver) query.delete('follow')
      return jsonLines(c, (signal) => logLines(logs, found.id, query, streams, signal))
    },
  )
  streamRoute(
    app,
    {
      method: 'get',
      path: '/containers/{id}/archive',
      summary: 'A path of the running workload',
      query: { path: 'of the file or directory' },
      answer: ['application/x-tar', 'a tar whose first entry is the last name of the path'],
    },
    async (c) => {
      const process = await exec.tarOut(c.req.param('id')!, pathIn(c.req.query('path')))
      process.endInput()
      return octets(c, () => wholeOutput(process, 'Cannot copy'), 'application/x-tar')
    },
  )
  streamRoute(
    app,
    {
      method: 'put',
      path: '/containers/{id}/archive',
      summary: 'Unpack into a directory of the running workload',
      query: { path: 'of the directory' },
      body: 'a tar',
      answer: ['text/plain', 'done'],
    },
    async (c) => {
      const body = c.req.raw.body
      if (!body) throw new AppError('invalid', 'Cannot copy: the request has no body')
      await using process = await exec.tarIn(c.req.param('id')!, pathIn(c.req.query('path')))
      for await (const bytes of Readable.fromWeb(body) as AsyncIterable<Uint8Array>) await process.write(bytes)
      process.endInput()
      await finished(process, 'Cannot copy')
      return c.body(null, 204)
    },
  )
  streamRoute(
    app,
    {
      method: 'get',
      path: '/containers/{id}/export',
      summary: 'The root of the running workload as it is now, without what is mounted in it',
      query: { format: `one of ${rootFormatNames.join(', ')}` },
      answer: ['application/octet-stream', 'the file; a transfer that broke off in the middle is no file'],
    },
    async (c) => {
      const format = c.req.query('format') ?? 'tar'
      const name_ = rootFormatNames.find((one) => one === format)
      if (name_ === undefined)
        throw new AppError(
          'invalid',
          `Cannot export as "${format.slice(0, 64)}": the formats are ${rootFormatNames.join(', ')}`,
        )
      const { mediaType, bytes } = await snapshots.open(c.req.param('id')!, name_, c.req.raw.signal)
      return octets(c, () => ({ [Symbol.asyncIterator]: () => bytes }), mediaType)
    },
  )
  app.openapi(
    createRoute({
      method: 'post',
      path: '/containers/{id}/commit',
      summary: 'Make an image of what the container has changed; the answer is a stream of progress',
      request: { params, body: { required: true, ...json(commitRequest) } },
      responses: { 200: { description: 'text/event-stream: progress, then done (the image) or error' } },
    }),
    (c) => {
      const { id } = c.req.valid('param')
      const words = c.req.valid('json')
      return eventStream(async (send, signal) => {
        const image = await snapshots.commit(
          id,
          words,
          (event) => {
            if (event.kind === 'file')
              send('progress', { step: 'changes', status: event.state, currentBytes: event.bytes } satisfies Progress)
          },
          signal,
        )
        send('done', summaryOf(image))
      })
    },
  )
  documentChannel(app, '/containers/{id}/exec', 'A command beside the workload; the first message is control start')
  documentChannel(app, '/containers/{id}/attach', 'The workload itself', {
    stdin: 'true: messages of stream 0 are its input',
    logs: 'true: from its beginning',
  })
  return app
}

function pathIn(path: string | undefined): string {
  if (!path) throw new AppError('invalid', 'Cannot copy: the parameter "path" is missing')
  return path
}
