/** The files that a machine keeps while it is off: UEFI variables, its disk, its BMC's certificate. Made once, then left alone. */
import { execFileSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, truncateSync, writeFileSync } from 'node:fs'
import type { MachinePaths } from './layout.ts'
import type { MachineSpec } from './plan.ts'
import { OVMF } from './qemu-line.ts'

const MIB = 1024 * 1024

export function prepareFiles(machine: MachineSpec, paths: MachinePaths): void {
  mkdirSync(paths.dir, { recursive: true, mode: 0o700 })
  const { firmware } = machine
  if (firmware !== 'bios') once(paths.nvram, (draft) => copyFileSync(OVMF[firmware].vars, draft))
  if (machine.diskMiB > 0) once(paths.disk, (draft) => truncateSync(draft, machine.diskMiB * MIB))
  once(paths.bmcTls, (draft) => signItself(draft, machine))
}

/** SHA-256 fingerprint of a machine's BMC in lower-case hexadecimal; undefined while it has no certificate. */
export function bmcFingerprint({ bmcTls }: MachinePaths): string | undefined {
  if (!existsSync(bmcTls)) return undefined
  return new X509Certificate(readFileSync(bmcTls)).fingerprint256.replaceAll(':', '').toLowerCase()
}

/** As BMCs come: a key of their own, and a certificate for it that nobody else signed. */
function signItself(file: string, { name, bmcAddress }: MachineSpec): void {
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '3650']
  const subject = ['-subj', `/O=Bareboat rack/CN=${name}-bmc`, '-addext', `subjectAltName=IP:${bmcAddress}`]
  // With one file for both, openssl writes the key and appends the certificate (openssl-req(1)).
  execFileSync('openssl', ['req', '-x509', ...kind, ...subject, '-keyout', file, '-out', file], { stdio: 'pipe' })
}

/** A file is there whole or not at all: `make` fills a draft. */
function once(file: string, make: (draft: string) => void): void {
  if (existsSync(file)) return
  const draft = `${file}.draft`
  writeFileSync(draft, '', { mode: 0o600 })
  make(draft)
  renameSync(draft, file)
}
