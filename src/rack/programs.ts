/** What a rack needs of the system that is not ours. */
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { AppError } from '../base/errors.ts'
import type { RackSpec } from './plan.ts'
import { OVMF, QEMU } from './qemu-line.ts'
import { markedEnvironment } from './processes.ts'

/** Program → Debian package. */
const PROGRAMS: Readonly<Record<string, string>> = {
  [QEMU]: 'qemu-system-x86',
  ipmi_sim: 'openipmi',
  curl: 'curl',
  ip: 'iproute2',
  unshare: 'util-linux',
  nsenter: 'util-linux',
  setpriv: 'util-linux',
  openssl: 'openssl',
}

/** @throws {AppError} unsupported, naming everything that is missing and the packages that bring it */
export function checkPrograms(spec: RackSpec): void {
  const path = (markedEnvironment('')['PATH'] ?? '').split(delimiter)
  const missing = Object.keys(PROGRAMS).filter(
    (program) => !path.some((dir) => isThere(join(dir, program), constants.X_OK)),
  )
  const packages = missing.map((program) => PROGRAMS[program]!)
  for (const firmware of new Set(spec.machines.map((machine) => machine.firmware))) {
    if (firmware === 'bios') continue
    const { code, vars, package: name } = OVMF[firmware]
    if ([code, vars].every((file) => isThere(file, constants.R_OK))) continue
    missing.push(code)
    packages.push(name)
  }
  if (missing.length === 0) return
  throw new AppError(
    'unsupported',
    `Cannot set up rack "${spec.name}": ${missing.join(', ')} not found; install ${[...new Set(packages)].join(' ')} (Debian's names)`,
  )
}

function isThere(path: string, mode: number): boolean {
  try {
    accessSync(path, mode)
    return true
  } catch {
    return false
  }
}
