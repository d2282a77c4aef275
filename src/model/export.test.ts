import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EXPORT_FORMATS, formatOfName, ROOT_FORMATS } from './export.ts'

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
  test(`the name "${name}" speaks of ${format ?? 'no format'}`, () =>
    assert.equal(formatOfName(EXPORT_FORMATS, name), format))

test('the root of a container goes out as bzip2, too', () =>
  assert.equal(formatOfName(ROOT_FORMATS, 'x.tar.bz2'), 'tar.bz2'))
