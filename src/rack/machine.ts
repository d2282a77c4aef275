/**
 * One machine of the rack: QEMU as a child of the keeper, from power-on to power-off.
 *
 *     unplugged --plug--> off --power-on--> on --power-off, guest powers off--> off
 *         ^-------------------- unplug -----+        (on --reset, guest reboots--> on, with a fresh QEMU)
 *
 * A boot device that a BMC sets holds for the next start only, as IPMI's boot flags do by default (IPMI 2.0 §28.13).
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { appendFileSync, closeSync, openSync } from 'node:fs'
import type { Duplex } from 'node:stream'
import { AppError, explain } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { MachinePaths } from './layout.ts'
import type { MachineSpec } from './plan.ts'
import { type BootDevice, QEMU, qemuArguments } from './qemu-line.ts'
import { openQmp, type Qmp } from './qmp.ts'
import { openSerialHub, type SerialHub } from './serial-hub.ts'

/** What a BMC, the person at the rack, or the guest itself does; one line each in `chassis.log`. */
export type ChassisCommand = 'power-on' | 'power-off' | 'reset' | 'soft-off' | 'plug' | 'unplug' | `boot ${BootDevice}`
export type CommandSource = 'ipmi' | 'http' | 'rack' | 'guest' | 'qemu'

export interface VirtualMachine {
  readonly spec: MachineSpec
  readonly paths: MachinePaths
  readonly serial: SerialHub
  readonly isOn: boolean
  readonly isPlugged: boolean
  readonly boot: BootDevice
  readonly pid: number | undefined
  /** @throws {AppError} conflict, when it has no mains power */
  command(command: ChassisCommand, source: CommandSource): Promise<void>
  /** Ends QEMU and the serial line. */
  close(): Promise<void>
}

interface Running {
  readonly child: ChildProcess
  readonly qmp: Qmp
  readonly ended: Promise<void>
  /** Set when it was us who ended it. */
  wasStopped: boolean
}

/** A guest that resets at once, again and again, must not eat the host. */
const REBOOT_PAUSE_MS = 200

/** The record of commands is also the trace that tests count. */
export function createMachine(spec: MachineSpec, paths: MachinePaths, accel: 'kvm' | 'tcg', log: Log): VirtualMachine {
  const serial = openSerialHub(paths.console)
  // Power is not the same as QEMU running: while a reset replaces QEMU, the machine is on.
  let isOn = false
  let running: Running | undefined
  let boot: BootDevice = 'none'
  let isPlugged = true
  let isClosed = false
  // Commands run one after the other: a BMC may be asked by several at once.
  let queue: Promise<void> = Promise.resolve()

  function start(): void {
    const complaints = openSync(paths.qemuLog, 'a', 0o600)
    const args = qemuArguments(spec, { accel, boot, nvram: paths.nvram, disk: paths.disk })
    boot = 'none'
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', QEMU, ...args], {
      stdio: ['pipe', 'pipe', complaints, 'pipe'],
    })
    closeSync(complaints)
    serial.plug(child.stdio[3] as Duplex)
    const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
    const now: Running = { child, qmp: openQmp(child.stdout!, child.stdin!), ended, wasStopped: false }
    child.once('error', (cause) => log.error('qemu did not start', { machine: spec.name, cause: explain(cause) }))
    child.once('close', (code, signal) => onEnd(now, code, signal))
    isOn = true
    running = now
  }

  function onEnd(ended: Running, code: number | null, signal: NodeJS.Signals | null): void {
    if (running === ended) running = undefined
    if (ended.wasStopped) return
    const why = ended.qmp.shutdownReason
    if (why === 'guest-reset') {
      note('guest', 'reset')
      setTimeout(() => void enqueue(startAgain).catch(() => undefined), REBOOT_PAUSE_MS)
      return
    }
    isOn = false
    if (why === 'guest-shutdown') note('guest', 'power-off')
    else note('qemu', `died: ${why ?? signal ?? `exit code ${code}`}`)
  }

  /** Between the guest's reset and now, somebody may have switched it off, or reset it. */
  async function startAgain(): Promise<void> {
    if (isOn && running === undefined && !isClosed) start()
  }

  async function stop(): Promise<void> {
    const now = running
    if (now === undefined) return
    now.wasStopped = true
    now.child.kill('SIGKILL')
    await now.ended
  }

  async function switchOff(): Promise<void> {
    await stop()
    isOn = false
  }

  function note(source: CommandSource, what: string): void {
    appendFileSync(paths.chassisLog, `${new Date().toISOString()} ${source} ${what}\n`, { mode: 0o600 })
    log.info('chassis', { machine: spec.name, source, what })
  }

  async function act(command: ChassisCommand): Promise<void> {
    switch (command) {
      case 'power-on':
        if (!isOn) start()
        return
      case 'power-off':
        return await switchOff()
      case 'reset':
        // A machine that is off stays off (IPMI 2.0 §28.3).
        if (!isOn) return
        await stop()
        return start()
      case 'soft-off':
        return running?.qmp.execute('system_powerdown')
      case 'plug':
        isPlugged = true
        return
      case 'unplug':
        isPlugged = false
        boot = 'none'
        return await switchOff()
      default:
        boot = command.slice('boot '.length) as BootDevice
    }
  }

  function enqueue(work: () => Promise<void>): Promise<void> {
    const done = queue.then(work)
    queue = done.catch((cause: unknown) => log.error('command failed', { machine: spec.name, cause: explain(cause) }))
    return done
  }

  return {
    spec,
    paths,
    serial,
    get isOn() {
      return isOn
    },
    get isPlugged() {
      return isPlugged
    },
    get boot() {
      return boot
    },
    get pid() {
      return running?.child.pid
    },
    command(command, source) {
      return enqueue(async () => {
        if (isClosed) throw new AppError('conflict', `Cannot command "${spec.name}": its rack goes down`)
        if (!isPlugged && command !== 'plug' && command !== 'unplug')
          throw new AppError('conflict', `Cannot command "${spec.name}": it has no mains power; plug it first`)
        note(source, command)
        await act(command)
      })
    },
    async close() {
      isClosed = true
      await enqueue(switchOff)
      serial.close()
    },
  }
}
