import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AppError } from '../../base/errors.ts'
import type { StaticOptions } from '../../services/machines/static.ts'
import { limitBodies } from './body.ts'
import { nodesFileRoutes } from './nodes-file.ts'
import { errorResponse, newRouter } from './router.ts'

function api() {
  const asked: (readonly [text: string, options: StaticOptions])[] = []
  const app = newRouter()
  app.use('*', limitBodies())
  app.onError((error) => errorResponse(error))
  app.route(
    '/v1',
    nodesFileRoutes({
      staticDiscovery: {
        async discover(text, options) {
          asked.push([text, options])
          return { dryRun: options.dryRun, machines: [], warnings: [] }
        },
        async exported(machines, format) {
          if (machines.includes('none'))
            throw new AppError('not_found', 'Cannot export machine "none": no such machine')
          return `${format} of ${machines.join(' ')}`
        },
      },
    }),
  )
  return { app, asked }
}

const PATH = '/v1/discover/static'
const post = (type: string, body: string) => ({ method: 'POST', headers: { 'content-type': type }, body })

test('POST discover/static takes YAML and JSON, whatever they say that they are', async () => {
  const { app, asked } = api()
  for (const type of ['application/octet-stream', 'application/yaml', 'application/json', 'text/plain']) {
    const answer = await app.request(`${PATH}?source=n.yaml&overwrite=true&dryRun=true`, post(type, '[{"name":"é"}]'))
    assert.deepEqual([answer.status, await answer.json()], [200, { dryRun: true, machines: [], warnings: [] }], type)
    assert.deepEqual(asked.pop(), ['[{"name":"é"}]', { source: 'n.yaml', overwrite: true, dryRun: true }])
  }
  await app.request(PATH, post('application/yaml', ''))
  assert.deepEqual(asked.pop(), ['', { source: 'nodes file', overwrite: false, dryRun: false }])
})

test('POST discover/static refuses what is too large, and flags that are neither true nor false', async () => {
  const { app, asked } = api()
  const large = await app.request(PATH, post('application/yaml', ' '.repeat((4 << 20) + 1)))
  assert.deepEqual([large.status, /nodes file is over 4194304 bytes/.test(await large.text())], [422, true])
  assert.equal((await app.request(`${PATH}?overwrite=yes`, post('application/yaml', '[]'))).status, 422)
  assert.deepEqual(asked, [])
})

test('GET discover/static gives the file of the named machines', async () => {
  const { app } = api()
  const answer = await app.request(`${PATH}?machine=a&machine=b`)
  assert.deepEqual([await answer.text(), answer.headers.get('content-type')], ['yaml of a b', 'application/yaml'])
  assert.equal(await (await app.request(`${PATH}?format=json`)).text(), 'json of ')
  assert.equal((await app.request(`${PATH}?format=xml`)).status, 422)
  assert.equal((await app.request(`${PATH}?machine=none`)).status, 404)
})
