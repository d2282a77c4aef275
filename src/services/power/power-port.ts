import type { Exchanged } from '../../formats/bmc-recording/recording.ts'
import type { MediumKind } from '../../model/media.ts'
import type { BmcFinding, BmcFru, BmcInfo, BmcSel, BmcSensor, BmcUser } from '../../model/bmc.ts'

/**
 * What power services need of a BMC. Every driver under `drivers/bmc` offers it; what a BMC cannot do is missing from `can`, and
 * asking for it anyway throws AppError `unsupported`.
 */

export type PowerState = 'on' | 'off' | 'unknown'
export type PowerAction = 'on' | 'off' | 'cycle' | 'soft-off'

/**
 * `power` is status, on and off, each read back; `power-on` is on alone, for what can neither switch off nor tell the state: its
 * status is `unknown`, and `set('on')` resolves when it was sent. `by-hand` goes with it where a person has to do it. `cycle` and
 * `soft-off` are the actions of that name; `boot-override` is `setBoot`; `console` is serial over LAN; `hardware` is all of BmcHardware; `check` is
 * `check`; `media` is all of BmcMedia.
 */
export type BmcCapability =
  | 'power'
  | 'power-on'
  | 'by-hand'
  | 'boot-override'
  | 'console'
  | 'soft-off'
  | 'cycle'
  | 'hardware'
  | 'check'
  | 'media'

/** Is shown what passes between a driver and its BMC, without what logs in; `ms` is 0. Must not throw. */
export type BmcTap = (exchange: Exchanged) => void

export interface BootOverride {
  /** `none` takes an override back: the machine boots as its firmware is set. `cd` and `usb` are virtual media, or real ones. */
  readonly device: 'pxe' | 'disk' | 'cd' | 'usb' | 'none'
  /** How the machine's firmware boots; ignored by drivers whose BMC does not say. */
  readonly firmware: 'bios' | 'uefi'
  /** True: for the next boot only. False: until it is changed. */
  readonly once: boolean
}

/**
 * One BMC. Operations on it are done one after the other, in the order in which they were asked; a queue that is full refuses
 * with AppError `busy`. All of them throw AppError: `unreachable` (no answer), `unauthorized` (user or password),
 * `unsupported`, `bad_peer` (an answer that it must not give), `timeout`. An aborted signal rejects with the signal's reason.
 */
export interface BmcPort extends AsyncDisposable {
  readonly can: ReadonlySet<BmcCapability>
  /** Address for people: `10.0.3.7:623`. Never holds a secret. */
  readonly address: string

  /** The power state as the BMC says it now. `unknown` when it says nothing that we understand. */
  status(signal?: AbortSignal): Promise<PowerState>

  /**
   * Brings the machine to the state and returns when the BMC has shown it, not when it took the command (but see `power-on`).
   *
   * The state is read first: nothing is sent to a machine that is there already. `cycle` is off, seen to be off, then on; of a
   * machine that is off it is `on`. A command whose answer was lost is not sent again before the state was read.
   * @throws {AppError} `timeout` when the state did not show in time; what the machine does later is then not known
   */
  set(action: PowerAction, signal?: AbortSignal): Promise<void>

  /**
   * Says what the machine boots from next, and reads it back.
   * @throws {AppError} `bad_peer` when the BMC took the command and kept something else
   */
  setBoot(override: BootOverride, signal?: AbortSignal): Promise<void>

  /** Present when `can` has `hardware`. */
  readonly hardware?: BmcHardware

  /**
   * What is insecure about it, the worst first. Nothing weak is used to find out: no login without a password, none with a guessed one.
   * Present when `can` has `check`.
   */
  check?(signal?: AbortSignal): Promise<BmcFinding[]>

  /** Present when `can` has `media`. A BMC whose driver can may still have no drive: `drives` is empty then. */
  readonly media?: BmcMedia

  /**
   * Opens the serial console. Present when `can` has `console`.
   * @throws {AppError} `conflict` when another session has the console and `takeOver` is not set
   */
  console?(options?: { takeOver?: boolean; signal?: AbortSignal }): Promise<BmcConsole>
}

/**
 * What a BMC knows of itself and its machine. Commands of one operation may have others between them, so that reading a hundred
 * sensors does not keep a power action waiting. Errors as those of BmcPort; `unsupported` where this BMC has no such thing.
 */
export interface BmcHardware {
  info(signal?: AbortSignal): Promise<BmcInfo>
  /** Every sensor that can be read, in the BMC's order. */
  sensors(signal?: AbortSignal): Promise<BmcSensor[]>
  /** Who made it, and its serial numbers. */
  fru(signal?: AbortSignal): Promise<BmcFru[]>
  sel(signal?: AbortSignal): Promise<BmcSel>
  /** Empties the event log; returns when it was seen to be empty. */
  clearSel(signal?: AbortSignal): Promise<void>
  /** @param seconds 0 turns the light off, undefined leaves it on until then */
  identify(seconds: number | undefined, signal?: AbortSignal): Promise<void>
  users(signal?: AbortSignal): Promise<BmcUser[]>
}

/** A drive that the BMC shows to its machine. */
export interface BmcDrive {
  /** As the BMC names it: `CD1`, `2`, `msd`. */
  readonly id: string
  /** What it can play. */
  readonly kinds: readonly MediumKind[]
  /** What is in it, as the BMC says: a URL or a name, printable; undefined when it is empty. */
  readonly inserted?: string
  readonly isWriteProtected?: boolean
}

/** What is to be put into a drive. */
export interface Medium {
  readonly kind: MediumKind
  /** Of letters, digits, `.`, `_` and `-`, with a suffix that BMCs know; the last part of `url`. */
  readonly name: string
  /** Where the BMC fetches it; undefined where nobody serves it. */
  readonly url: string | undefined
  /** What no message may repeat: a part of `url`. */
  readonly secret: string
  readonly sizeBytes: number
  readonly isWritable: boolean
  /** All of its bytes, for BMCs that are sent them. */
  read(signal: AbortSignal): AsyncIterable<Uint8Array>
}

/** Virtual media of a BMC. Errors as those of BmcPort. */
export interface BmcMedia {
  /** Its drives and what is in them now. */
  drives(signal?: AbortSignal): Promise<BmcDrive[]>
  /**
   * Puts a medium into a drive that is empty, and returns when the BMC shows it there.
   * @throws {AppError} `conflict` when something is in it, which is named and stays; `bad_peer` when the BMC took the medium and shows none;
   * `unsupported` when it takes none of this kind, or none from such a URL
   */
  insert(driveId: string, medium: Medium, signal?: AbortSignal): Promise<BmcDrive>
  /** Takes out what is in a drive, and returns when it was seen to be empty. Nothing is sent where it is already. */
  eject(driveId: string, signal?: AbortSignal): Promise<void>
  /** Whether what a drive shows is the medium of this name and secret. BMCs cut URLs, leave out schemes, or show the name alone. */
  holds(drive: BmcDrive, medium: Pick<Medium, 'name' | 'secret'>): boolean
}

/**
 * A serial console. Iterating yields output as it comes, once: a second iterator gets nothing. The iteration ends when the console
 * is disposed, and throws AppError when the session was dropped; opening it again is the caller's job. Output that nobody reads is
 * kept up to a bound; beyond it the BMC is not acknowledged any more, so that it stops sending.
 */
export interface BmcConsole extends AsyncIterable<Uint8Array>, AsyncDisposable {
  /** Sends bytes as if typed; resolves when the BMC has taken all of them. */
  write(bytes: Uint8Array, signal?: AbortSignal): Promise<void>
  /** A serial break (SysRq on a Linux console). */
  sendBreak(signal?: AbortSignal): Promise<void>
}
