/** Options that `machine add` and `machine set` share. */
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { AppError, systemCode } from '../../../base/errors.ts'
import type { MachineChange } from '../../../model/machine.ts'
import { ROLES } from '../../../base/roles.ts'
import { collect } from '../../option.ts'
import { defined, oneOf, parseLabels } from '../../run/request.ts'
import type { Session } from '../../session.ts'
import { askPassword } from '../../terminal/prompt.ts'

export interface SpecFlags {
  mac: string[]
  bmc?: string
  bmcPasswordFile?: string
  uuid?: string
  ip?: string
  arch?: string
  rank?: string
  group: string[]
  label: string[]
  memory?: string
  xname?: string
  nid?: string
  role?: string
  json?: boolean
}

export function addSpecOptions(command: Command): Command {
  return command
    .option('--mac <mac>', 'MAC address; the first is the boot interface (repeatable)', collect, [])
    .option(
      '--bmc <url>',
      'ipmi://, redfish://, amt:// or pikvm://USER@HOST[:PORT], http://HOST:PORT, wol: or manual:; never with a password (docs/bmc.md)',
    )
    .option('--bmc-password-file <file>', "the BMC's password: the first line of a file (- for standard input)")
    .option('--uuid <uuid>', 'SMBIOS system UUID')
    .option('--ip <address>', 'address that DHCP gives it')
    .option('--arch <arch>', 'amd64 or arm64')
    .option('--rank <number>', 'for `run --rank`')
    .option('--group <group>', 'group that it belongs to (repeatable)', collect, [])
    .option('-l, --label <key=value>', 'label (repeatable)', collect, [])
    .option('--memory <MiB>', 'memory, MiB')
    .option('--xname <xname>', 'name by place, such as x1000c1s7b0n0')
    .option('--nid <number>', 'node identifier')
    .option('--role <role>', ROLES.join(', '))
}

/**
 * What the options say; lists only when they were given.
 * @throws {AppError} invalid
 */
export function toChange(flags: SpecFlags): MachineChange {
  if (flags.bmc !== undefined) refuseCredential(flags.bmc)
  return defined({
    macs: flags.mac.length === 0 ? undefined : flags.mac,
    bmc: flags.bmc,
    uuid: flags.uuid,
    ip: flags.ip,
    arch: oneOf('--arch', flags.arch, ['amd64', 'arm64'] as const),
    rank: integer('--rank', flags.rank),
    groups: flags.group.length === 0 ? undefined : flags.group,
    labels: flags.label.length === 0 ? undefined : parseLabels(flags.label),
    memoryMiB: integer('--memory', flags.memory),
    xname: flags.xname,
    nid: integer('--nid', flags.nid),
    role: oneOf('--role', flags.role, ROLES),
  })
}

/**
 * The BMC's password: from a file, from BAREBOAT_BMC_PASSWORD, or asked for on the terminal where the BMC needs one.
 * @param canAsk whether the person may be asked
 * @returns undefined when nobody gave one
 */
export async function readBmcPassword(
  session: Session,
  flags: SpecFlags,
  canAsk: boolean,
): Promise<string | undefined> {
  if (flags.bmcPasswordFile !== undefined) return readPasswordFile(session, flags.bmcPasswordFile)
  const fromEnvironment = session.io.env['BAREBOAT_BMC_PASSWORD']
  if (fromEnvironment !== undefined && fromEnvironment !== '') return fromEnvironment
  if (!canAsk || flags.bmc === undefined || !hasUser(flags.bmc)) return undefined
  if (session.io.stdin.isTTY === true) return askPassword(session, `password of ${flags.bmc}`)
  throw new AppError(
    'invalid',
    `Cannot use BMC "${flags.bmc}": its password is missing; give --bmc-password-file FILE or set BAREBOAT_BMC_PASSWORD`,
  )
}

/** The first line of a file, or of standard input for `-`. @throws {AppError} invalid */
export function readPasswordFile(session: Session, file: string): string {
  let text: string
  try {
    text = readFileSync(file === '-' ? 0 : resolve(session.io.cwd, file), 'utf8')
  } catch (cause) {
    throw new AppError('invalid', `Cannot read password file "${file}": ${systemCode(cause) ?? 'unreadable'}`, {
      cause,
    })
  }
  const password = text.split(/\r?\n/, 1)[0]!
  if (password === '') throw new AppError('invalid', `Cannot read password file "${file}": its first line is empty`)
  return password
}

/** The command line is seen by every user of this system and kept in the shell's history. */
function refuseCredential(bmc: string): void {
  const userInfo = /^[a-z][a-z0-9+.-]*:\/\/([^/]*)@/i.exec(bmc)?.[1]
  if (userInfo?.includes(':') === true)
    throw new AppError(
      'invalid',
      `Cannot use BMC "${bmc.replace(/\/\/([^:/]*):[^/]*@/, '//$1:…@')}": it has a password in it, which other users can see in the list of processes; give --bmc-password-file FILE or set BAREBOAT_BMC_PASSWORD`,
    )
}

function hasUser(bmc: string): boolean {
  return /^[a-z][a-z0-9+.-]*:\/\/[^/@]+@/i.test(bmc)
}

function integer(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (!/^\d{1,9}$/.test(text)) throw new AppError('invalid', `Cannot use ${option} "${text}": it is not a number`)
  return Number(text)
}
