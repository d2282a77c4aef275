/** The files that a machine keeps while it is off: UEFI variables and its disk. Made once, then left alone. */
import { chmodSync, constants, copyFileSync, mkdirSync, openSync, closeSync, ftruncateSync } from 'node:fs'
import { systemCode } from '../base/errors.ts'
import type { MachinePaths } from './layout.ts'
import type { MachineSpec } from './plan.ts'
import { OVMF_VARS } from './qemu-line.ts'

export function prepareFiles(machine: MachineSpec, paths: MachinePaths): void {
  mkdirSync(paths.dir, { recursive: true, mode: 0o700 })
  if (machine.firmware === 'uefi')
    unlessThere(() => {
      copyFileSync(OVMF_VARS, paths.nvram, constants.COPYFILE_EXCL)
      chmodSync(paths.nvram, 0o600)
    })
  if (machine.diskMiB > 0)
    unlessThere(() => {
      const file = openSync(paths.disk, 'wx', 0o600)
      ftruncateSync(file, machine.diskMiB * 1024 * 1024)
      closeSync(file)
    })
}

function unlessThere(make: () => void): void {
  try {
    make()
  } catch (cause) {
    if (systemCode(cause) !== 'EEXIST') throw cause
  }
}
