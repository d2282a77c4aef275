import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatOfName } from './export.ts'

const names = [
  ['rootfs.tar', 'tar'],
  ['IMG.TAR.LZ4', 'tar.lz4'],
  ['a/b.tgz', 'tar.gz'],
  ['x.oci.tar', 'oci'],
  ['x.docker.tar', 'docker'],
  ['x.sqfs', 'squashfs'],
  ['rootfs', undefined],
] as const
for (const [name, format] of names)
  test(`the name "${name}" speaks of ${format ?? 'no format'}`, () => assert.equal(formatOfName(name), format))
