/**
 * The IPMI BMC of one machine: OpenIPMI's ipmi_sim on the machine's BMC address, port 623. It asks `chassis.sh`, which asks the
 * keeper. Texts are pure functions; `startIpmiBmc` writes them and starts the simulator.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { AppError } from '../base/errors.ts'
import { type MachineSpec, NETWORK } from './plan.ts'
import { BOOT_DEVICES } from './qemu-line.ts'
import type { VirtualMachine } from './machine.ts'

/** ipmi_sim's word for "force boot from default hard-drive" (IPMI 2.0 table 28-14, parameter 5, boot device 2). */
const DISK_WORD = 'default'

/** lan.conf: where it listens, who may log in, what its serial-over-LAN is wired to. */
export function lanConfig(machine: MachineSpec, password: string): string {
  const auths = 'none md2 md5 straight'
  return `name "${machine.name}"
set_working_mc 0x20
  startlan 1
    addr ${machine.bmcAddress} ${NETWORK.ipmiPort}
    priv_limit admin
    allowed_auths_callback ${auths}
    allowed_auths_user ${auths}
    allowed_auths_operator ${auths}
    allowed_auths_admin ${auths}
    guid ${machine.uuid.replaceAll('-', '')}
  endlan
  chassis_control "./chassis.sh 0x20"
  sol "tcp:127.0.0.1:${serialPort(machine)}" 115200
  user 1 false "" "" user 10 none
  user 2 true "${NETWORK.bmcUser}" "${password}" admin 10 ${auths}
`
}

/** node.emu: one management controller that is also the chassis device. */
export const EMULATION = `mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr
sel_enable 0x20 1000 0x0a
mc_enable 0x20
`

/**
 * The chassis control program. ipmi_sim does nothing else while it runs, so it only hands its arguments to the keeper.
 * It is called as `chassis.sh 0x20 get power boot` or `chassis.sh 0x20 set power 1`.
 */
export function chassisScript(keeperSocket: string, machine: string): string {
  const quoted = `'${keeperSocket.replaceAll("'", String.raw`'\''`)}'`
  return `#!/bin/sh
shift
exec curl --silent --show-error --fail --max-time 8 --unix-socket ${quoted} --data-binary "$*" http://rack/machines/${machine}/chassis
`
}

/**
 * Does what ipmi_sim asks for and gives its answer.
 * @param request e.g. `get power boot`, `set power 1`, `set boot pxe`
 * @throws {AppError} invalid for what it does not know
 */
export async function answerChassis(machine: VirtualMachine, request: string): Promise<string> {
  const words = request.trim().split(/\s+/)
  if (words[0] === 'get')
    return words
      .slice(1)
      .map((word) => `${word}:${chassisValue(machine, word)}\n`)
      .join('')
  const [verb, what, value] = words
  if (verb !== 'set' || what === undefined || value === undefined) throw unknown(machine, request)
  if (what === 'power') await machine.command(value === '1' ? 'power-on' : 'power-off', 'ipmi')
  else if (what === 'reset') await machine.command('reset', 'ipmi')
  else if (what === 'shutdown') await machine.command('soft-off', 'ipmi')
  else if (what === 'boot') {
    const device = value === DISK_WORD ? 'disk' : BOOT_DEVICES.find((one) => one === value)
    if (device === undefined) throw unknown(machine, request)
    await machine.command(`boot ${device}`, 'ipmi')
  } else if (what !== 'identify') throw unknown(machine, request)
  return ''
}

/** Starts ipmi_sim for one machine. The caller ends it. */
export function startIpmiBmc(machine: VirtualMachine, keeperSocket: string, password: string): ChildProcess {
  const dir = machine.paths.ipmiDir
  mkdirSync(join(dir, 'state'), { recursive: true, mode: 0o700 })
  writeFileSync(join(dir, 'lan.conf'), lanConfig(machine.spec, password), { mode: 0o600 })
  writeFileSync(join(dir, 'node.emu'), EMULATION, { mode: 0o600 })
  writeFileSync(join(dir, 'chassis.sh'), chassisScript(keeperSocket, machine.spec.name), { mode: 0o700 })
  const log = openSync(join(dir, 'log'), 'a', 0o600)
  const args = ['--pdeathsig', 'KILL', '--', 'ipmi_sim', '-n', '-c', 'lan.conf', '-f', 'node.emu', '-s', 'state']
  const child = spawn('setpriv', args, { cwd: dir, stdio: ['ignore', log, log] })
  closeSync(log)
  return child
}

/** The TCP port, on 127.0.0.1 inside the rack, where a machine's serial line is. */
export function serialPort(machine: MachineSpec): number {
  return NETWORK.serialPort + machine.index
}

function chassisValue(machine: VirtualMachine, word: string): string {
  if (word === 'power') return machine.isOn ? '1' : '0'
  if (word === 'boot') return machine.boot === 'disk' ? DISK_WORD : machine.boot
  if (word === 'identify') return '0'
  throw unknown(machine, `get ${word}`)
}

function unknown(machine: VirtualMachine, request: string): AppError {
  return new AppError('invalid', `Cannot control chassis "${machine.spec.name}": "${request}" is not understood`)
}
