import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AppError, ERROR_CODES, type ErrorCode } from '../../base/errors.ts'
import { errorResponse } from './router.ts'

test('an error is its status of the table, and says when to come again where that is known', async () => {
  for (const code of Object.keys(ERROR_CODES) as ErrorCode[]) {
    const answer = errorResponse(new AppError(code, 'Cannot do it'))
    assert.equal(answer.status, code === 'interrupted' ? 400 : ERROR_CODES[code].http, code)
    assert.equal(answer.headers.get('retry-after'), code === 'busy' ? '5' : null, code)
    assert.deepEqual(await answer.json(), { error: { code, message: 'Cannot do it' } })
  }
  assert.equal(errorResponse(new Error('of our own')).status, 500)
})
