/**
 * One machine of the rack: QEMU as a child of the keeper, from power-on to power-off.
 *
 *     unplugged --plug--> off --power-on--> on --power-off, guest powers off--> off
 *         ^-------------------- unplug -----+        (on --reset, guest reboots--> on, with a fresh QEMU)
 *
 * A boot device that a BMC sets holds for the next start only, as IPMI's boot flags do by default (IPMI 2.0 §28.13), or until another
 * one is set (`always`). What is in its drives stays there until it is ejected, or mains power is lost.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { appendFileSync, closeSync, openSync, rmSync, writeFileSync } from 'node:fs'
import type { Duplex } from 'node:stream'
import { AppError, explain } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { MachinePaths } from './layout.ts'
import {
  checkMedium,
  DRIVES,
  drivesConfig,
  plugDrive,
  unplugDrive,
  type Drive,
  type Media,
  type Medium,
} from './medium.ts'
import type { BmcKind, BootPart, MachineSpec } from './plan.ts'
import { type BootDevice, QEMU, qemuArguments } from './qemu-line.ts'
import { openQmp, type Qmp } from './qmp.ts'
import { openSerialHub, type SerialHub } from './serial-hub.ts'

/** What a BMC, the person at the rack, or the guest itself does; one line each in `chassis.log`. */
export type ChassisCommand =
  | 'power-on'
  | 'power-off'
  | 'reset'
  | 'soft-off'
  | 'plug'
  | 'unplug'
  | `boot ${BootDevice}`
  | `boot ${BootDevice} always`
export type CommandSource = BmcKind | 'rack' | 'guest' | 'qemu'

export interface VirtualMachine {
  readonly spec: MachineSpec
  readonly paths: MachinePaths
  readonly serial: SerialHub
  readonly isOn: boolean
  readonly isPlugged: boolean
  readonly boot: BootDevice
  /** Whether `boot` holds for every start. */
  readonly isBootKept: boolean
  readonly media: Media
  readonly pid: number | undefined
  /** @throws {AppError} conflict, when it has no mains power */
  command(command: ChassisCommand, source: CommandSource): Promise<void>
  /**
   * Puts a medium into a drive, in the place of the one that is there.
   * @throws {AppError} conflict without mains power; as `checkMedium`, and what QEMU says: the drive is empty then
   */
  insert(drive: Drive, medium: Medium, source: CommandSource): Promise<void>
  /** Empties a drive. @throws {AppError} conflict without mains power */
  eject(drive: Drive, source: CommandSource): Promise<void>
  /** Ends QEMU and the serial line. */
  close(): Promise<void>
}

interface Running {
  readonly child: ChildProcess
  readonly qmp: Qmp
  readonly ended: Promise<void>
  /** Set when it was us who ended it. */
  wasStopped: boolean
  /** The drives that are plugged in: the name of the medium for QEMU, undefined for one that was there from the start. */
  readonly drives: Map<Drive, string | undefined>
}

export interface MachineOptions {
  readonly accel: 'kvm' | 'tcg'
  /** The boot order that its firmware is set to. */
  readonly order: readonly BootPart[]
  readonly log: Log
}

/** A guest that resets at once, again and again, must not eat the host. */
const REBOOT_PAUSE_MS = 200

/** The record of commands is also the trace that tests count. */
export function createMachine(
  spec: MachineSpec,
  paths: MachinePaths,
  { accel, order, log }: MachineOptions,
): VirtualMachine {
  const serial = openSerialHub(paths.console)
  // Power is not the same as QEMU running: while a reset replaces QEMU, the machine is on.
  let isOn = false
  let running: Running | undefined
  let boot: BootDevice = 'none'
  let isBootKept = false
  const media: Partial<Record<Drive, Medium>> = {}
  let mediaInserted = 0
  let isPlugged = true
  let isClosed = false
  // Commands run one after the other: a BMC may be asked by several at once.
  let queue: Promise<void> = Promise.resolve()

  async function start(): Promise<void> {
    const readable = await readableMedia()
    if (Object.keys(readable).length > 0) writeFileSync(paths.drives, drivesConfig(readable), { mode: 0o600 })
    const { nvram, disk, drives: drivesFile } = paths
    const args = qemuArguments(spec, { accel, boot, order, media: readable, drivesFile, nvram, disk })
    if (!isBootKept) boot = 'none'
    const complaints = openSync(paths.qemuLog, 'a', 0o600)
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', QEMU, ...args], {
      stdio: ['pipe', 'pipe', complaints, 'pipe'],
    })
    closeSync(complaints)
    serial.plug(child.stdio[3] as Duplex)
    const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
    const qmp = openQmp(child.stdout!, child.stdin!)
    const drives = new Map(DRIVES.filter((drive) => readable[drive]).map((drive) => [drive, undefined]))
    const now: Running = { child, qmp, ended, wasStopped: false, drives }
    child.once('error', (cause) => log.error('qemu did not start', { machine: spec.name, cause: explain(cause) }))
    child.once('close', (code, signal) => onEnd(now, code, signal))
    // It answers when it has read what is in its drives.
    qmp.ask('query-status').then(forgetDrives, () => undefined)
    isOn = true
    running = now
  }

  function forgetDrives(): void {
    rmSync(paths.drives, { force: true })
  }

  /** A server or file that is gone leaves its drive empty for this start. */
  async function readableMedia(): Promise<Media> {
    const readable: Partial<Record<Drive, Medium>> = {}
    for (const drive of DRIVES) {
      const medium = media[drive]
      if (medium === undefined) continue
      try {
        await checkMedium(medium)
        readable[drive] = medium
      } catch (cause) {
        note('qemu', `${drive} cannot be read`)
        log.warn('medium cannot be read', { machine: spec.name, drive, cause: explain(cause) })
      }
    }
    return readable
  }

  async function pull(drive: Drive): Promise<void> {
    delete media[drive]
    if (running === undefined || !running.drives.has(drive)) return
    const node = running.drives.get(drive)
    running.drives.delete(drive)
    await unplugDrive(running.qmp, drive, node)
  }

  async function push(drive: Drive, medium: Medium): Promise<void> {
    await pull(drive)
    if (running !== undefined) {
      const node = `medium-${++mediaInserted}`
      await plugDrive(running.qmp, drive, medium, node)
      running.drives.set(drive, node)
    }
    media[drive] = medium
  }

  function onEnd(ended: Running, code: number | null, signal: NodeJS.Signals | null): void {
    if (running === ended) running = undefined
    forgetDrives()
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
    if (isOn && running === undefined && !isClosed) await start()
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
        if (!isOn) await start()
        return
      case 'power-off':
        return await switchOff()
      case 'reset':
        // A machine that is off stays off (IPMI 2.0 §28.3).
        if (!isOn) return
        await stop()
        return await start()
      case 'soft-off':
        return await running?.qmp.ask('system_powerdown')
      case 'plug':
        isPlugged = true
        return
      case 'unplug':
        isPlugged = false
        boot = 'none'
        isBootKept = false
        await switchOff()
        for (const drive of DRIVES) delete media[drive]
        return
      default:
        isBootKept = command.endsWith(' always')
        boot = command.split(' ')[1] as BootDevice
    }
  }

  /** Does what a BMC asks for, in turn, and writes it down. */
  function inTurn(source: CommandSource, what: string, work: () => Promise<void>): Promise<void> {
    return enqueue(async () => {
      if (isClosed) throw new AppError('conflict', `Cannot command "${spec.name}": its rack goes down`)
      if (!isPlugged && what !== 'plug' && what !== 'unplug')
        throw new AppError('conflict', `Cannot command "${spec.name}": it has no mains power; plug it first`)
      note(source, what)
      await work()
    })
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
    get isBootKept() {
      return isBootKept
    },
    get media() {
      return { ...media }
    },
    get pid() {
      return running?.child.pid
    },
    command: (command, source) => inTurn(source, command, () => act(command)),
    async insert(drive, medium, source) {
      await checkMedium(medium)
      await inTurn(source, `insert ${drive}`, () => push(drive, medium))
    },
    eject: (drive, source) => inTurn(source, `eject ${drive}`, () => pull(drive)),
    async close() {
      isClosed = true
      await enqueue(switchOff)
      serial.close()
    },
  }
}
