/** The files that a machine keeps while it is off: UEFI variables and its disk. Made once, then left alone. */
import { copyFileSync, existsSync, mkdirSync, renameSync, truncateSync, writeFileSync } from 'node:fs'
import type { MachinePaths } from './layout.ts'
import type { MachineSpec } from './plan.ts'
import { OVMF_VARS } from './qemu-line.ts'

const MIB = 1024 * 1024

export function prepareFiles(machine: MachineSpec, paths: MachinePaths): void {
  mkdirSync(paths.dir, { recursive: true, mode: 0o700 })
  if (machine.firmware === 'uefi') once(paths.nvram, (draft) => copyFileSync(OVMF_VARS, draft))
  if (machine.diskMiB > 0) once(paths.disk, (draft) => truncateSync(draft, machine.diskMiB * MIB))
}

/** A file is there whole or not at all: `make` fills a draft. */
function once(file: string, make: (draft: string) => void): void {
  if (existsSync(file)) return
  const draft = `${file}.draft`
  writeFileSync(draft, '', { mode: 0o600 })
  make(draft)
  renameSync(draft, file)
}
