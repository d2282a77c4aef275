import assert from 'node:assert/strict'
import { test } from 'node:test'
import { quietLog } from '../../../base/log.ts'
import { createIpmiBmc, type IpmiBmcOptions } from './ipmi-bmc.ts'

const base: IpmiBmcOptions = { host: '10.0.0.1', user: 'admin', password: 'secret', log: quietLog }
const refused: { name: string; options: Partial<IpmiBmcOptions>; error: RegExp }[] = [
  { name: 'the null user', options: { user: '' }, error: /null user is open to anyone/ },
  { name: 'a user of 17 bytes', options: { user: 'ü'.repeat(8) + 'u' }, error: /17 bytes, IPMI takes 16/ },
  { name: 'no password', options: { password: '' }, error: /without a password/ },
  { name: 'a password of 21 bytes', options: { password: 'canary-canary-canary-' }, error: /21 bytes, IPMI takes 20/ },
  { name: 'a NUL in the password', options: { password: 'canary\0' }, error: /NUL/ },
  { name: 'cipher suite 0', options: { cipherSuites: [0 as 3] }, error: /cipher suite 0 .* only 17 and 3/ },
  { name: 'cipher suite 17, then 1', options: { cipherSuites: [17, 1 as 3] }, error: /cipher suite 1 / },
  { name: 'no cipher suite', options: { cipherSuites: [] }, error: /no cipher suite is allowed/ },
]
for (const { name, options, error } of refused)
  test(`createIpmiBmc refuses ${name}, without the password in the message`, () => {
    assert.throws(
      () => createIpmiBmc({ ...base, ...options }),
      (e: Error) => error.test(e.message) && !e.message.includes('canary'),
    )
  })

test('createIpmiBmc sends nothing and holds nothing before the first operation', async () => {
  const bmc = createIpmiBmc(base)
  assert.equal(bmc.address, '10.0.0.1:623')
  assert.deepEqual(
    process.getActiveResourcesInfo().filter((name) => name.includes('UDP')),
    [],
  )
  await bmc[Symbol.asyncDispose]()
})
