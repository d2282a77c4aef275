import assert from 'node:assert/strict'
import { test } from 'node:test'
import { rootfsKindsOf } from './rootfs-kinds.ts'

const cases = [
  { name: 'an old kit knows memory only', recipe: 2, missing: [], kinds: ['ram'] },
  { name: 'a new one knows all', recipe: 3, missing: ['e1000'], kinds: ['ram', 'lazy', 'image', 'nfs'] },
  { name: 'a kernel without NFS has no NFS root', recipe: 3, missing: ['nfsv4'], kinds: ['ram', 'lazy', 'image'] },
  { name: 'one without dm-verity trusts nothing', recipe: 3, missing: ['dm_verity'], kinds: ['ram', 'nfs'] },
]
for (const { name, recipe, missing, kinds } of cases)
  test(`rootfsKindsOf: ${name}`, () => assert.deepEqual([...rootfsKindsOf({ recipe, modulesMissing: missing })], kinds))
