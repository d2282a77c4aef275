import assert from 'node:assert/strict'
import { test } from 'node:test'
import { digestParts, parseDigest } from './digest.ts'
import { familiarReference, formatReference, parseReference } from './reference.ts'

const HEX = '0123456789abcdef'.repeat(4)
const DIGEST = `sha256:${HEX}`

const good: { text: string; whole: string; familiar?: string }[] = [
  { text: 'debian', whole: 'docker.io/library/debian:latest', familiar: 'debian:latest' },
  { text: 'debian:12', whole: 'docker.io/library/debian:12', familiar: 'debian:12' },
  { text: 'user/app', whole: 'docker.io/user/app:latest', familiar: 'user/app:latest' },
  { text: 'a/b/c', whole: 'docker.io/a/b/c:latest', familiar: 'a/b/c:latest' },
  { text: 'docker.io/debian', whole: 'docker.io/library/debian:latest', familiar: 'debian:latest' },
  { text: 'index.docker.io/debian', whole: 'docker.io/library/debian:latest', familiar: 'debian:latest' },
  { text: 'docker.io/library/debian', whole: 'docker.io/library/debian:latest', familiar: 'debian:latest' },
  { text: 'localhost/app', whole: 'localhost/app:latest' },
  { text: 'localhost:5000/app:v1', whole: 'localhost:5000/app:v1' },
  { text: 'local/app', whole: 'docker.io/local/app:latest', familiar: 'local/app:latest' },
  { text: 'host:5000/app', whole: 'host:5000/app:latest' },
  { text: 'HOST/app', whole: 'HOST/app:latest' },
  { text: 'ghcr.io/org/app.x_y__z--w', whole: 'ghcr.io/org/app.x_y__z--w:latest' },
  { text: '10.0.0.1/app', whole: '10.0.0.1/app:latest' },
  { text: '[::1]:5000/app', whole: '[::1]:5000/app:latest' },
  { text: `debian@${DIGEST}`, whole: `docker.io/library/debian@${DIGEST}`, familiar: `debian@${DIGEST}` },
  { text: `r.io:1/a:t@${DIGEST}`, whole: `r.io:1/a:t@${DIGEST}` },
  { text: 'debian:5000', whole: 'docker.io/library/debian:5000', familiar: 'debian:5000' },
  { text: `a:${'t'.repeat(128)}`, whole: `docker.io/library/a:${'t'.repeat(128)}`, familiar: `a:${'t'.repeat(128)}` },
  {
    text: `a@sha512:${HEX}${HEX}`,
    whole: `docker.io/library/a@sha512:${HEX}${HEX}`,
    familiar: `a@sha512:${HEX}${HEX}`,
  },
  { text: `${HEX}:tag`, whole: `docker.io/library/${HEX}:tag`, familiar: `${HEX}:tag` },
  { text: `${HEX}:tag`.slice(1), whole: `docker.io/library/${HEX.slice(1)}:tag`, familiar: `${HEX.slice(1)}:tag` },
]
for (const { text, whole, familiar } of good)
  test(`parseReference reads ${text.slice(0, 60)}`, () => {
    const reference = parseReference(text)
    assert.equal(formatReference(reference), whole)
    assert.equal(familiarReference(reference), familiar ?? whole)
    assert.deepEqual(parseReference(whole), reference)
    assert.deepEqual(parseReference(familiarReference(reference)), reference)
  })

const bad: { text: string; error: RegExp }[] = [
  { text: '', error: /it is empty/ },
  { text: 'Debian', error: /must be lower case/ },
  { text: 'user/App', error: /must be lower case/ },
  { text: HEX, error: /an image id, not a name/ },
  { text: ':tag', error: /not a repository name/ },
  { text: 'a:', error: /"" is not a tag/ },
  { text: 'a:-x', error: /"-x" is not a tag/ },
  { text: `a:${'t'.repeat(129)}`, error: /is not a tag/ },
  { text: 'a@', error: /"" is not a sha256/ },
  { text: `a@sha256:${HEX.slice(1)}`, error: /is not a sha256/ },
  { text: `a@sha256:${HEX.toUpperCase()}`, error: /is not a sha256/ },
  { text: `a@sha512:${HEX}`, error: /is not a sha256/ },
  { text: `a@md5:${HEX.slice(32)}`, error: /is not a sha256/ },
  { text: `a@${DIGEST}@${DIGEST}`, error: /is not a sha256/ },
  { text: 'a b', error: /not a repository name/ },
  { text: ' a', error: /not a repository name/ },
  { text: 'a\n', error: /not a repository name/ },
  { text: 'a:b\n', error: /not a tag/ },
  { text: '../a', error: /not a host name/ },
  { text: 'a/../b', error: /not a repository name/ },
  { text: 'a//b', error: /not a repository name/ },
  { text: 'a/', error: /not a repository name/ },
  { text: '/a', error: /not a repository name/ },
  { text: 'a..b', error: /not a repository name/ },
  { text: 'a___b', error: /not a repository name/ },
  { text: 'a-', error: /not a repository name/ },
  { text: '-host.io/a', error: /not a host name/ },
  { text: 'host:x/a', error: /not a host name/ },
  { text: 'host:65536/a', error: /not a host name/ },
  { text: 'user:pw@host.io/a', error: /not a sha256/ },
  { text: 'https://host.io/a', error: /not a repository name|not a host name/ },
  { text: '[::1/a', error: /not a host name/ },
  { text: 'ünï.io/a', error: /not a host name/ },
  { text: `h.io/${'a/'.repeat(127)}bb`, error: /longer than 255/ },
  { text: `${'-'.repeat(2000)}`, error: /2000 characters/ },
]
for (const { text, error } of bad)
  test(`parseReference refuses ${JSON.stringify(text).slice(0, 60)}`, () => {
    assert.throws(() => parseReference(text), { name: 'AppError', code: 'invalid', message: error })
  })

test('parseDigest takes sha256 and sha512 of exact length, lower case', () => {
  assert.deepEqual(digestParts(parseDigest(DIGEST)), { algorithm: 'sha256', hex: HEX })
  assert.equal(digestParts(parseDigest(`sha512:${HEX}${HEX}`)).algorithm, 'sha512')
  const wrong = [
    '',
    'sha256:',
    HEX,
    `sha256:${HEX}0`,
    `SHA256:${HEX}`,
    `sha256:../../${HEX.slice(6)}`,
    `${DIGEST}\n`,
    `sha1:${HEX.slice(24)}`,
  ]
  for (const text of wrong) assert.throws(() => parseDigest(text), { name: 'WireError' }, text)
})
