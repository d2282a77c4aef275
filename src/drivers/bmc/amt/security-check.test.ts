import assert from 'node:assert/strict'
import { test } from 'node:test'
import { judgeAmt } from './security-check.ts'

/** Intel's own list (INTEL-SA-00075) of what is mended, and versions beside it. */
const CASES: readonly (readonly [version: string | undefined, build: string | undefined, severity?: string])[] = [
  ['6.2.61', '3535'],
  ['7.1.91', '3272'],
  ['8.1.71', '3608'],
  ['9.1.41', '3024'],
  ['9.5.61', '3012'],
  ['10.0.55', '3000'],
  ['11.0.25', '3001'],
  ['11.6.27', '3264'],
  ['12.0.67', '1579'],
  ['11.8.50', '3426'],
  ['5.2.70', '1040'],
  ['6.2.50', '1062', 'critical'],
  ['9.1.20', '1035', 'critical'],
  ['10.0.50', '1004', 'critical'],
  ['11.0.18', '1002', 'critical'],
  ['11.6.25', '1229', 'critical'],
  ['11.6.25', undefined, 'warning'],
  ['Recovery', '1', 'warning'],
  [undefined, undefined, 'warning'],
]

test('firmware that takes an empty proof for a login is a finding, by its version and build', () => {
  for (const [version, build, severity] of CASES) {
    const [finding, ...more] = judgeAmt({ version, build, isTls: true })
    assert.equal(finding?.severity, severity, `${version} ${build}`)
    assert.equal(more.length, 0)
    if (severity !== undefined) assert.match(finding!.message, /CVE-2017-5689/)
  }
})

test('the worst comes first, and speaking without TLS is one', () => {
  const found = judgeAmt({ version: '9.1.20', build: '1035', isTls: false })
  assert.deepEqual(
    found.map(({ finding }) => finding),
    ['firmware-at-risk', 'no-encryption'],
  )
  assert.match(found[0]!.message, /^firmware 9\.1\.20 build 1035 lets anybody/)
})
