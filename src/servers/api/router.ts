/** What every group of routes is made with: validation, errors, documentation. */
import { OpenAPIHono } from '@hono/zod-openapi'
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
export function errorBodyOf(error: unknown): ErrorBody {
  if (error instanceof AppError) return { error: { code: error.code, message: explain(error) } }
  return { error: { code: 'internal', message: 'internal error; the log of the server has it' } }
}

export function errorResponse(error: unknown): Response {
  const body = errorBodyOf(error)
  return Response.json(body, {
    status: ERROR_CODES[body.error.code].http === 499 ? 400 : ERROR_CODES[body.error.code].http,
  })
}

/** The JSON answer of a route, for its documentation. */
export function answers<T>(schema: T, description: string, status = 200) {
  return { [status]: { description, content: { 'application/json': { schema } } } }
}
