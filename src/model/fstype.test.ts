import assert from 'node:assert/strict'
import { test } from 'node:test'
import { refuseResetAtime, rootfsOfFstype } from './fstype.ts'

const cases = [
  { fstype: 'nfs', rootfs: 'nfs' },
  { fstype: 'ramfs', rootfs: 'ram' },
  { fstype: 'isofs', rootfs: 'image' },
  { fstype: 's-ramfs', error: /do not prove with their TPM/ },
  { fstype: 'ram', error: /it is not nfs, ramfs, s-ramfs or isofs/ },
  { fstype: 'constructor', error: /it is not nfs/ },
]
for (const { fstype, rootfs, error } of cases)
  test(`rootfsOfFstype: ${fstype}`, () => {
    if (error) assert.throws(() => rootfsOfFstype(fstype), error)
    else assert.equal(rootfsOfFstype(fstype), rootfs)
  })

test('refuseResetAtime: with a root over NFS that outlives the run, and not otherwise', () => {
  refuseResetAtime({ resetAtime: true, rootfs: 'nfs', remove: false })
  refuseResetAtime({ resetAtime: false, rootfs: 'ram', remove: true })
  assert.throws(
    () => refuseResetAtime({ resetAtime: true, rootfs: 'ram', remove: false }),
    /--reset-atime=true requires --fstype=nfs/,
  )
  assert.throws(() => refuseResetAtime({ resetAtime: true, rootfs: 'nfs', remove: true }), /goes with the container/)
})
