import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseChallenges } from './challenge.ts'
import { digestAuthorization, digestChallengeOf } from './digest.ts'

/** RFC 7616 §3.9.1 */
const RFC =
  'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=SHA-256, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
const request = {
  method: 'GET',
  uri: '/dir/index.html',
  user: 'Mufasa',
  password: 'Circle of Life',
  nonceCount: 1,
  clientNonce: 'f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ',
}

for (const [algorithm, response] of [
  ['MD5', '8ca523f5e9506fed4657c9700eebdbec'],
  ['SHA-256', '753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1'],
] as const)
  test(`digestAuthorization: the example of RFC 7616 §3.9.1 with ${algorithm}`, () => {
    const challenge = digestChallengeOf(parseChallenges(RFC.replace('SHA-256', algorithm)))!
    assert.equal(challenge.algorithm, algorithm)
    const header = digestAuthorization(challenge, request)
    assert.match(header, new RegExp(`response="${response}"`))
    assert.match(header, /nc=00000001, .*qop=auth, .*opaque="FQhe/)
    assert.doesNotMatch(header, /Circle of Life/)
  })

const cases: { name: string; header: string; value?: object }[] = [
  {
    name: 'SHA-256 before MD5',
    header: 'Digest realm="r", nonce="a", qop="auth", Digest realm="r", nonce="b", qop="auth", algorithm=SHA-256',
    value: { algorithm: 'SHA-256', realm: 'r', nonce: 'b', isStale: false },
  },
  {
    name: 'a nonce that is too old',
    header: 'Digest realm="Digest:A3829B3827DE4D33", nonce="x",stale="true",qop="auth"',
    value: { algorithm: 'MD5', realm: 'Digest:A3829B3827DE4D33', nonce: 'x', isStale: true },
  },
  { name: 'Basic', header: 'Basic realm="r"' },
  { name: 'no quality of protection', header: 'Digest realm="r", nonce="a"' },
  { name: 'another algorithm', header: 'Digest realm="r", nonce="a", qop="auth", algorithm=SHA-512-256' },
  { name: 'a nonce that is too long', header: `Digest realm="r", qop="auth", nonce="${'n'.repeat(1025)}"` },
  { name: 'a realm with a line end', header: 'Digest realm="r\r\nx: y", qop="auth", nonce="n"' },
]
for (const c of cases)
  test(`digestChallengeOf: ${c.name}`, () => assert.deepEqual(digestChallengeOf(parseChallenges(c.header)), c.value))

test('digestAuthorization: quotes in a realm stay quoted; in a user they are refused', () => {
  const challenge = digestChallengeOf(parseChallenges('Digest realm="a\\"b", nonce="n", qop="auth"'))!
  assert.match(digestAuthorization(challenge, request), /realm="a\\"b"/)
  assert.throws(() => digestAuthorization(challenge, { ...request, user: 'a"b' }), RangeError)
})
