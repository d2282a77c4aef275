/** What every group of routes is made with: validation, errors, documentation. */
import { OpenAPIHono, z } from '@hono/zod-openapi'
import type { Context } from 'hono'
import { AppError, ERROR_CODES, explain } from '../../base/errors.ts'
import type { ErrorBody } from '../../model/api.ts'

/** A router whose failed validations become our errors: which field, and what is wrong with it. */
export function newRouter(): OpenAPIHono {
  return new OpenAPIHono({
    defaultHook: (result) => {
      if (result.success) return undefined
      const issues = result.error.issues.slice(0, 5).map((issue) => {
        const field = issue.path.join('.')
        return field === '' ? issue.message : `${field} ${issue.message}`
      })
      throw new AppError('invalid', `Cannot read the request: ${issues.join('; ')}`)
    },
  })
}

/** An error as it goes to the client; what is not an AppError is our bug and stays in the log. */
/** What is busy does one thing in this time, more or less (services/power/pace.ts). */
const RETRY_AFTER_SECONDS = '5'

export function errorBodyOf(error: unknown): ErrorBody {
  if (error instanceof AppError) return { error: { code: error.code, message: explain(error) } }
  return { error: { code: 'internal', message: 'internal error; the log of the server has it' } }
}

export function errorResponse(error: unknown): Response {
  const body = errorBodyOf(error)
  const { http } = ERROR_CODES[body.error.code]
  return Response.json(body, {
    status: http === 499 ? 400 : http,
    ...(body.error.code === 'busy' ? { headers: { 'retry-after': RETRY_AFTER_SECONDS } } : {}),
  })
}

/** The JSON answer of a route, for its documentation. */
export function answers<T>(schema: T, description: string, status = 200) {
  return { [status]: { description, content: { 'application/json': { schema } } } }
}

interface StreamRoute {
  readonly method: 'get' | 'post' | 'put' | 'delete'
  /** With parameters as OpenAPI writes them: `/containers/{id}/logs`. */
  readonly path: string
  readonly summary: string
  /** Query parameters by name, with what they mean. */
  readonly query?: Readonly<Record<string, string>>
  /** What the body is, where there is one. */
  readonly body?: string
  /** Media type and meaning of the answer. */
  readonly answer: readonly [type: string, means: string]
}

/**
 * A route whose body or answer is a stream and so has no JSON schema: documented by what it says of itself, its parameters
 * checked by its handler.
 */
export function streamRoute(
  app: OpenAPIHono,
  { method, path, summary, query = {}, body, answer: [type, means] }: StreamRoute,
  handler: (c: Context) => Response | Promise<Response>,
): void {
  const names = [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]!)
  const shape = (entries: readonly (readonly [string, z.ZodType])[]): z.ZodObject =>
    z.object(Object.fromEntries(entries))
  app.openAPIRegistry.registerPath({
    method,
    path,
    summary,
    request: {
      params: shape(names.map((name) => [name, z.string()])),
      query: shape(Object.entries(query).map(([name, means]) => [name, z.string().optional().describe(means)])),
      ...(body === undefined
        ? {}
        : { body: { content: { 'application/octet-stream': { schema: z.string().describe(body) } } } }),
    },
    responses: { 200: { description: means, content: { [type]: { schema: z.string() } } } },
  })
  app.on(method.toUpperCase(), path.replace(/\{(\w+)\}/g, ':$1'), handler)
}

/** A channel over WebSocket, for the document alone: connections are taken before routing. */
export function documentChannel(
  app: OpenAPIHono,
  path: string,
  summary: string,
  query: Readonly<Record<string, string>> = {},
): void {
  const documented = new OpenAPIHono()
  streamRoute(
    documented,
    {
      method: 'get',
      path,
      summary: `${summary} (WebSocket)`,
      query,
      answer: [
        'application/octet-stream',
        'messages: one byte for the stream (0 stdin, 1 stdout, 2 stderr, 3 control as JSON), then its bytes',
      ],
    },
    (c) => c.text(''),
  )
  for (const definition of documented.openAPIRegistry.definitions)
    if (definition.type === 'route') app.openAPIRegistry.registerPath(definition.route)
}
