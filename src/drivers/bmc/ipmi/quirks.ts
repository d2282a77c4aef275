/**
 * What BMCs of one make do otherwise than the others over IPMI, known by Get Device ID. What can be learnt from an answer is learnt from
 * it, on every make: a way that is refused or shows nothing gives way to the next. Here stands what an answer does not tell.
 */
import type { ChassisAction, DeviceId } from '../../../wire/ipmi/commands.ts'
import { BOOT_DEVICE, KEEP_VALID } from '../../../wire/ipmi/boot-options.ts'

/** What is done to a machine's power; `cycle` is the first half of one, at whose end the machine was seen to be off. */
export type PowerStep = 'on' | 'off' | 'soft-off' | 'cycle'

/**
 * How boot flags are written: `guarded` is the order of IPMI v2.0 §28.12 (set in progress, write, commit, complete), `plain` is the flags
 * alone.
 */
export type BootWay = 'guarded' | 'plain'

export interface Behaviour {
  /** Chassis Control commands for each step, the best first; those of `cycle` begin with those of `off`. */
  readonly ways: Readonly<Record<PowerStep, readonly ChassisAction[]>>
  /** How long a power state has to be shown until it is believed, milliseconds. */
  readonly holdMs: number
  /** The best first; the next one is tried when what was kept is something else. */
  readonly bootWays: readonly BootWay[]
  /** Parameter 3: on what the BMC shall not drop the flags. */
  readonly keepValid: number
  /** The selector of a disk that a UEFI system boots from until it is changed. */
  readonly lastingUefiDisk: number
  /** What Get System Boot Options tells truly: all of the flags, or the device alone. */
  readonly readsBack: 'all' | 'device'
}

/** As Get Device ID has it (§20.1). */
export type Make = DeviceId

export interface Quirk {
  /** As in docs/hardware.md. */
  readonly name: string
  /** All that is named has to be the same, or one of these. */
  readonly when: { readonly [K in keyof Make]?: Make[K] | readonly Make[K][] }
  readonly does: Readonly<Partial<Behaviour>>
}

export const USUAL: Behaviour = {
  // A BMC that takes "off" and does nothing may do its own cycle, which is seen by the second or more in which the machine is off (§28.3).
  ways: { on: ['on'], off: ['off'], 'soft-off': ['soft-off'], cycle: ['off', 'cycle'] },
  holdMs: 0,
  bootWays: ['guarded', 'plain'],
  keepValid: KEEP_VALID.noCommandIn60Seconds,
  lastingUefiDisk: BOOT_DEVICE.disk,
  readsBack: 'all',
}

/** IANA enterprise numbers. */
const HP = 11
const SUPERMICRO = [10876, 47488]

const EVERYTHING = Object.values(KEEP_VALID).reduce((mask, bit) => mask | bit, 0)

export const QUIRKS: readonly Quirk[] = [
  // Recorded (test/packets/ipmi/ipmitool-suite-3-pyghmi.txt): python3-pyghmi's BMC, which VirtualBMC and PiKVM are made of, leaves
  // every field of its device id empty. Parameter 5 reads back "valid" and the device, whatever else was written; a cycle is CCh.
  {
    name: 'boot-device-only',
    when: { deviceId: 0, manufacturerId: 0, productId: 0, firmware: '1.00' },
    does: { readsBack: 'device', ways: { ...USUAL.ways, cycle: ['off'] } },
  },
  // metal-stack/go-hal internal/ipmi/ipmitool.go (supermicroHDQualifier, as Supermicro's SMCIPMITool writes it), OpenStack story 2008241:
  // a lasting UEFI boot from disk is 24h in the second byte, which is selector 9 ("remote media" of table 28-14).
  { name: 'lasting-uefi-disk-is-9', when: { manufacturerId: SUPERMICRO }, does: { lastingUefiDisk: 9 } },
  // kinvolk/racker pull request 36, from Supermicro's manual: with 08h alone the flags go at the next power event; 1Fh keeps them.
  { name: 'drops-boot-flags', when: { manufacturerId: SUPERMICRO }, does: { keepValid: EVERYTHING } },
  // ClusterLabs/fence-agents agents/ipmilan/fence_ipmilan.py waits 4 s on iLO 3 before it believes what status says; iLO 3 and 4 have the
  // enterprise number of HP, later ones that of HPE.
  { name: 'status-before-it-is-so', when: { manufacturerId: HP }, does: { holdMs: 4000 } },
]

/** How a BMC of this make behaves, and the names of the quirks that say so. All quirks that match are joined, later ones win. */
export function behaviourOf(
  make: Make,
  quirks: readonly Quirk[] = QUIRKS,
): { readonly behaviour: Behaviour; readonly names: readonly string[] } {
  const matching = quirks.filter(({ when }) =>
    Object.entries(when).every(([part, wanted]) => [wanted].flat().includes(make[part as keyof Make])),
  )
  return {
    behaviour: Object.assign({}, USUAL, ...matching.map(({ does }) => does)) as Behaviour,
    names: matching.map(({ name }) => name),
  }
}
