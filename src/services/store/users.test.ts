import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseDigest } from '../../formats/oci/digest.ts'
import { isUsedBy } from './users.ts'

const HEX = 'ab'.repeat(32)
const id = parseDigest(`sha256:${HEX}`)
const other = `sha256:${'cd'.repeat(32)}`
const digest = `sha256:${'ef'.repeat(32)}`
const image = {
  id,
  references: ['docker.io/library/debian:12', 'r.example/x/y:latest'],
  repoDigests: [`r.example/x/y@${digest}`],
}

const cases = [
  { name: 'by id', container: { imageId: id, image: 'whatever' }, isUser: true },
  { name: 'an id counts more than a name', container: { imageId: other, image: 'debian:12' }, isUser: false },
  { name: 'by a short name', container: { image: 'debian:12' }, isUser: true },
  { name: 'by the tag that is left out', container: { image: 'r.example/x/y' }, isUser: true },
  { name: 'by another tag', container: { image: 'debian' }, isUser: false },
  { name: 'by repository and digest', container: { image: `r.example/x/y@${digest}` }, isUser: true },
  { name: 'by another digest', container: { image: `r.example/x/y@${other}` }, isUser: false },
  { name: 'by its id as a name', container: { image: HEX }, isUser: true },
  { name: 'by the first digits of its id', container: { image: HEX.slice(0, 12) }, isUser: true },
  { name: 'by what is no name at all', container: { image: 'A B' }, isUser: false },
]
for (const { name, container, isUser } of cases)
  test(`isUsedBy: ${name}`, () => assert.equal(isUsedBy(image, container), isUser))
