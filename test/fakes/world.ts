/**
 * A world outside of the daemon, played by its behaviour: machines with BMCs that obey, lie, lag or lose replies, and guests that
 * boot, report, exit, hang or go away. It lives on when a daemon dies, and finds the next one as machines do: by asking again.
 */
import { sleep } from '../../src/base/clock.ts'
import { AppError } from '../../src/base/errors.ts'
import { setPower, shownState, type PowerPatience, type PowerWire } from '../../src/drivers/bmc/set-power.ts'
import type { BootService } from '../../src/services/boot/boot.ts'
import type { AttachmentsService } from '../../src/services/media/attachments.ts'
import type { GuestAddress, GuestPort, GuestProcess, GuestSession } from '../../src/services/containers/ports.ts'
import type { BmcCapability, BmcMedia, BmcPort, Medium, PowerState } from '../../src/services/power/power-port.ts'

/** What a machine and what boots on it do. Every field may be changed while it runs. */
export interface Behaviour {
  /** How long the BMC needs for a command that it took, milliseconds. */
  powerLagMs: number
  /** Takes commands and does nothing. */
  ignores: 'nothing' | 'on' | 'off'
  /** Its answers to writes are lost; the commands are done. */
  losesReplies: boolean
  /** Says nothing at all. */
  isDeaf: boolean
  /** Can only be woken, as by Wake-on-LAN. */
  onlyWakes: boolean
  /** Has to be switched on by hand: `setPower`. */
  isByHand: boolean
  /** Its console never opens. */
  consoleHangs: boolean
  /** The last stage that the boot reaches. */
  bootsTo: 'nothing' | 'dhcp' | 'tftp' | 'ipxe' | 'kernel' | 'initrd' | 'rootfs' | 'init' | 'running'
  /** Reports this at the end of `bootsTo`. */
  fails: { stage: string; cause: string } | undefined
  stageMs: number
  /** Firmware that does not ask twice: a server that is away once DHCP is done ends the boot, and the machine stays on. */
  isImpatient: boolean
  /** The workload's end; undefined runs until it gets a signal. */
  exitCode: number | undefined
  runsMs: number
  output: string
  ignoresSignals: boolean
  agentHangs: boolean
  /** Its BMC has a virtual CD drive, from which the machine starts. */
  hasDrive: boolean
  /** What is wrong with that: takes media and shows none; loses them when it is switched on, once or each time; never fetches them; keeps them. */
  driveFault: 'none' | 'ignores' | 'loses-once' | 'loses' | 'never-fetches' | 'keeps'
}

const GOOD: Behaviour = {
  powerLagMs: 0,
  ignores: 'nothing',
  losesReplies: false,
  isDeaf: false,
  onlyWakes: false,
  isByHand: false,
  consoleHangs: false,
  bootsTo: 'running',
  fails: undefined,
  stageMs: 1,
  isImpatient: false,
  exitCode: 0,
  runsMs: 5,
  output: 'hello\n',
  ignoresSignals: false,
  agentHangs: false,
  hasDrive: false,
  driveFault: 'none',
}

const PATIENCE: PowerPatience = {
  deadlineMs: 2000,
  softOffDeadlineMs: 2000,
  pollMs: 5,
  offMs: 1,
  resendMs: 1500,
  declinedMs: 50,
  nextWayMs: 500,
}

/** What a daemon offers to machines; undefined while none lives. */
export interface Daemon {
  readonly boot: BootService
  readonly attachments: Pick<AttachmentsService, 'file'>
  readonly isDead: () => boolean
}

export class World {
  readonly machines = new Map<string, FakeMachine>()
  daemon: Daemon | undefined

  machine(mac: string, ip: string, behaviour: Partial<Behaviour> = {}): FakeMachine {
    const machine = new FakeMachine(this, mac, ip, { ...GOOD, ...behaviour })
    this.machines.set(mac, machine)
    return machine
  }

  byIp(ip: string): FakeMachine | undefined {
    return [...this.machines.values()].find((machine) => machine.ip === ip)
  }

  /** What the network shows of a machine. */
  presenceOf(macs: readonly string[]): PowerState {
    const machine = this.machines.get(macs[0]!)
    return machine?.isOn && machine.isOnNetwork ? 'on' : 'off'
  }

  /** Pulls every plug: nothing runs after this. */
  end(): void {
    for (const machine of this.machines.values()) machine.unplug()
    this.daemon = undefined
  }
}

export class FakeMachine {
  readonly mac: string
  readonly ip: string
  readonly does: Behaviour
  isOn = false
  /** What its BMC was told to write, in order. */
  readonly commands: string[] = []
  /** Output of the workload of this power-on. */
  output = ''
  workloadEnded = false
  /** It has asked for an address since it was switched on. */
  isOnNetwork = false
  /** Its firmware found no server and stopped asking, at some time. */
  hasGivenUp = false
  booted = Promise.withResolvers<void>()
  /** What is in its drive: a medium of ours, or the name of somebody else's. */
  drive: Medium | string | undefined
  /** What its BMC was told about the drive, and the boot device, in order. */
  readonly driveCommands: string[] = []
  bootDevice = 'pxe'
  #world: World
  #life = new AbortController()
  #signalled = Promise.withResolvers<number>()
  consoleLines: ((bytes: Uint8Array) => void) | undefined

  constructor(world: World, mac: string, ip: string, does: Behaviour) {
    this.#world = world
    this.mac = mac
    this.ip = ip
    this.does = does
  }

  unplug(): void {
    this.isOn = false
    this.#life.abort()
    this.#life = new AbortController()
  }

  print(text: string): void {
    this.consoleLines?.(Buffer.from(text))
  }

  setPower(isOn: boolean): void {
    if (isOn === this.isOn) return
    this.unplug()
    this.isOn = isOn
    if (!isOn) return
    if (this.does.driveFault === 'loses' || this.does.driveFault === 'loses-once') this.drive = undefined
    if (this.does.driveFault === 'loses-once') this.does.driveFault = 'none'
    this.output = ''
    this.isOnNetwork = false
    this.workloadEnded = false
    this.#signalled = Promise.withResolvers()
    const { signal } = this.#life
    this.#boot(signal).catch((error: unknown) => {
      if (!signal.aborted) throw error
    })
  }

  /** Does something with the daemon, again until one answers. A refusal is an answer. */
  async #ask<T>(work: (boot: BootService) => Promise<T>, signal: AbortSignal): Promise<T | undefined> {
    for (;;) {
      signal.throwIfAborted()
      const { daemon } = this.#world
      if (daemon && !daemon.isDead()) {
        const done = new AbortController()
        const answer = await Promise.race([
          work(daemon.boot).then(
            (value) => ({ value }),
            (error: unknown) => ({ error }),
          ),
          this.#death(daemon, AbortSignal.any([signal, done.signal])),
        ])
        done.abort()
        if (answer !== 'dead') {
          if ('value' in answer) return answer.value
          if (answer.error instanceof AppError && ['not_found', 'conflict', 'invalid'].includes(answer.error.code))
            return undefined
        }
      }
      await sleep(2, signal)
    }
  }

  /** Yields when a daemon has died, or nobody wants to know any more. */
  async #death(daemon: Daemon, signal: AbortSignal): Promise<'dead'> {
    while (!daemon.isDead() && this.#world.daemon === daemon && !signal.aborted) await sleep(4, signal).catch(() => {})
    return 'dead'
  }

  async #boot(signal: AbortSignal): Promise<void> {
    const { does } = this
    const { promise: untilOff, reject } = Promise.withResolvers<never>()
    untilOff.catch(() => {})
    signal.addEventListener('abort', () => reject(signal.reason as Error))
    const reaches = async (stage: Behaviour['bootsTo'], work: (boot: BootService) => Promise<unknown>) => {
      await sleep(does.stageMs, signal)
      if (stage === 'tftp' && does.isImpatient && (this.#world.daemon?.isDead() ?? true)) {
        this.hasGivenUp = true
        await untilOff
      }
      await this.#ask(work, signal)
      if (does.bootsTo !== stage) return
      if (does.fails) await this.#ask((boot) => boot.failed(token, does.fails!.stage, does.fails!.cause), signal)
      await untilOff
    }
    let token = ''
    if (does.bootsTo === 'nothing') return
    const scriptToken = this.bootDevice === 'cd' ? await this.#readLoader(signal) : undefined
    if (this.bootDevice === 'cd' && scriptToken === undefined) return
    this.isOnNetwork = true
    await reaches('dhcp', (boot) => boot.seen(this.mac, 'dhcp', { ip: this.ip, firmware: 'uefi' }))
    await reaches('tftp', (boot) => boot.seen(this.mac, 'tftp', {}))
    for (;;) {
      const script = await this.#ask(
        (boot) => (scriptToken === undefined ? boot.waiting(this.mac) : boot.script(scriptToken, this.mac)),
        signal,
      )
      const found = /bareboat\.url=\S*\/boot\/(\S+)/.exec(script ?? '')
      if (found) {
        token = found[1]!
        break
      }
      await sleep(3, signal)
    }
    await reaches('ipxe', () => Promise.resolve())
    await reaches('kernel', (boot) => boot.kernelLoaded(token))
    let spec: string | undefined
    await reaches('initrd', async (boot) => {
      await boot.stage(token, 'initrd', { memoryKiB: 1024 * 1024 })
      spec = await boot.spec(token, this.ip)
    })
    if (spec === undefined) return
    await reaches('rootfs', (boot) => boot.stage(token, 'rootfs', {}))
    await reaches('init', (boot) => boot.stage(token, 'init', {}))
    this.output = does.output
    await this.#ask((boot) => boot.stage(token, 'running', {}), signal)
    this.booted.resolve()
    const ends: Promise<number>[] = [this.#signalled.promise]
    if (does.exitCode !== undefined) ends.push(sleep(does.runsMs, signal).then(() => does.exitCode!))
    const code = await Promise.race(ends)
    this.workloadEnded = true
    await this.#ask((boot) => boot.exit(token, code), signal)
  }

  /** The token of the boot that the loader in the drive asks for. The firmware waits some time for its drive. */
  async #readLoader(signal: AbortSignal): Promise<string | undefined> {
    await sleep(20, signal)
    const { drive } = this
    if (typeof drive !== 'object' || this.does.driveFault === 'never-fetches') return undefined
    const [, token, name] = /\/media\/([^/]+)\/(.+)$/.exec(drive.url ?? '')!
    for (;;) {
      const { daemon } = this.#world
      if (daemon && !daemon.isDead()) {
        const file = await Promise.race([
          daemon.attachments.file(token!, name!).catch(() => 'nothing' as const),
          this.#death(daemon, signal),
        ])
        if (file === 'nothing') return undefined
        if (file !== 'dead') {
          const [piece] = await file.pieces(0, file.sizeBytes)
          const text = piece?.kind === 'bytes' ? Buffer.from(piece.bytes).toString() : ''
          return /\/boot\/([^/]+)\/script\.ipxe/.exec(text)?.[1]
        }
      }
      await sleep(2, signal)
    }
  }

  #media(alive: <T>(work: () => T) => Promise<T>): BmcMedia {
    const shown = () => {
      const { drive } = this
      const inserted = typeof drive === 'object' ? drive.url! : drive
      return { id: 'CD1', kinds: ['cd' as const], ...(inserted === undefined ? {} : { inserted }) }
    }
    return {
      drives: () => alive(() => [shown()]),
      insert: (_id, medium) =>
        alive(() => {
          this.driveCommands.push('insert')
          if (this.does.driveFault === 'ignores') throw new AppError('bad_peer', 'Cannot insert: it shows nothing')
          this.drive = medium
          return shown()
        }),
      eject: () =>
        alive(() => {
          this.driveCommands.push('eject')
          if (this.does.driveFault === 'keeps') throw new AppError('bad_peer', 'Cannot eject: it still shows it')
          this.drive = undefined
        }),
      holds: ({ inserted }, { secret }) => inserted?.includes(secret) === true,
    }
  }

  /** The machine's BMC as a daemon's driver sees it. */
  port(isDead: () => boolean): BmcPort {
    const alive = async <T>(work: () => T): Promise<T> => {
      if (isDead()) return new Promise<never>(() => {})
      await Promise.resolve()
      if (this.does.isDeaf) throw new AppError('unreachable', 'Cannot reach BMC "fake": no answer')
      return work()
    }
    const wire: PowerWire = {
      address: 'fake',
      read: () => alive(() => (this.isOn ? 'on' : 'off')),
      write: async (action) => {
        await alive(() => {
          this.commands.push(action)
          const isOn = action === 'on'
          if (this.does.ignores === (isOn ? 'on' : 'off')) return
          if (this.does.powerLagMs === 0) this.setPower(isOn)
          else void sleep(this.does.powerLagMs).then(() => this.setPower(isOn))
        })
        return this.does.losesReplies ? 'lost' : 'taken'
      },
    }
    let tail: Promise<unknown> = Promise.resolve()
    const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
      const mine = tail.then(work)
      tail = mine.catch(() => {})
      return mine
    }
    return {
      can: new Set<BmcCapability>(
        this.does.onlyWakes
          ? ['power-on', ...(this.does.isByHand ? (['by-hand'] as const) : [])]
          : ['power', 'boot-override', 'console', ...(this.does.hasDrive ? (['media'] as const) : [])],
      ),
      ...(this.does.hasDrive ? { media: this.#media(alive) } : {}),
      address: 'fake',
      status: () =>
        inTurn(() => (this.does.onlyWakes ? Promise.resolve('unknown' as const) : wire.read().then(shownState))),
      set: (action, signal) =>
        inTurn(async () => {
          if (this.does.isByHand) return
          if (this.does.onlyWakes) return void (await wire.write('on', signal, 0))
          await setPower(wire, action, PATIENCE, signal)
        }),
      setBoot: ({ device }) =>
        inTurn(() =>
          alive(() => {
            if (device === 'cd') this.driveCommands.push('boot-cd')
            this.bootDevice = device
          }),
        ),
      console: async ({ signal } = {}) => {
        if (this.does.consoleHangs) return new Promise<never>(() => {})
        const queue: Uint8Array[] = []
        let news = Promise.withResolvers<void>()
        const over = new AbortController()
        this.consoleLines = (bytes) => {
          queue.push(bytes)
          news.resolve()
        }
        signal?.addEventListener('abort', () => news.resolve(), { once: true })
        return {
          write: () => Promise.resolve(),
          sendBreak: () => Promise.resolve(),
          async *[Symbol.asyncIterator]() {
            while (!over.signal.aborted && !signal?.aborted) {
              yield* queue.splice(0)
              if (queue.length === 0) await news.promise
              news = Promise.withResolvers<void>()
            }
          },
          [Symbol.asyncDispose]() {
            over.abort()
            news.resolve()
            return Promise.resolve()
          },
        }
      },
      [Symbol.asyncDispose]: () => Promise.resolve(),
    }
  }

  /** What the agent does with a command. */
  command(words: readonly string[], closed: AbortSignal): GuestProcess {
    const said = async function* (this: FakeMachine): AsyncGenerator<Uint8Array> {
      const [verb, stream, offset] = words
      if (verb !== 'follow') return
      let at = Number(offset)
      for (;;) {
        const bytes = Buffer.from(stream === 'stdout' ? this.output : '')
        if (bytes.length > at) yield bytes.subarray(at)
        at = Math.max(at, bytes.length)
        if (this.workloadEnded) return
        await sleep(2, closed)
      }
    }.call(this)
    if (words[0] === 'signal' && (!this.does.ignoresSignals || words[1] === 'KILL'))
      this.#signalled.resolve(words[1] === 'KILL' ? 137 : 143)
    if (words[0] === 'power-off' && !this.does.ignoresSignals) this.setPower(false)
    const exit = words[0] === 'follow' ? this.#untilEnded(closed) : Promise.resolve(0)
    return {
      stdout: said,
      stderr: (async function* () {})(),
      write: () => Promise.resolve(),
      endInput() {},
      resize() {},
      exit,
      [Symbol.asyncDispose]: () => Promise.resolve(),
    }
  }

  async #untilEnded(closed: AbortSignal): Promise<number | undefined> {
    while (!this.workloadEnded) {
      if (closed.aborted) return undefined
      await sleep(2)
    }
    return 0
  }

  get life(): AbortSignal {
    return this.#life.signal
  }
}

/** The way to the agents of a world, for one daemon. */
export function guestPortOf(world: World, isDead: () => boolean): GuestPort {
  return {
    async connect({ ip }: GuestAddress): Promise<GuestSession> {
      if (isDead()) return new Promise<never>(() => {})
      const machine = world.byIp(ip)
      if (!machine?.isOn) throw new AppError('unreachable', `Cannot reach the agent at "${ip}": it is off`)
      const over = new AbortController()
      const closed = AbortSignal.any([over.signal, machine.life])
      return {
        closed,
        run(words) {
          if (isDead() || machine.does.agentHangs) return new Promise<never>(() => {})
          if (closed.aborted) throw new AppError('unreachable', 'Cannot run a command on the machine')
          return Promise.resolve(machine.command(words, closed))
        },
        [Symbol.asyncDispose]() {
          over.abort()
          return Promise.resolve()
        },
      }
    },
  }
}
