/**
 * What Redfish services of one make do otherwise than the others. What can be learnt from a refusal is learnt from it, on every make;
 * here stands what a service does without saying so, and what spares it a refusal each time.
 */

/** Reset types by the power port's actions, the best first (DSP0268, Resource.ResetType). */
export interface ResetTypes {
  readonly on: readonly string[]
  readonly off: readonly string[]
  readonly 'soft-off': readonly string[]
}

export interface Behaviour {
  readonly resetTypes: ResetTypes
  readonly boot: 'on-the-system' | 'in-the-settings' | 'none'
  /** `any` sends `If-Match: *`, `never` sends none. */
  readonly ifMatch: 'etag' | 'any' | 'never'
  /** Whether BootSourceOverrideMode is written. */
  readonly sendsMode: boolean
  /** The target in one request, whether and how often in the next. */
  readonly bootInTwoSteps: boolean
  /** Ids of the drives that take a URL; the others are for something else. */
  readonly mediaDrives: RegExp
}

export interface Make {
  /** Of the service root: Vendor and Product; of the system: Manufacturer, Model, BiosVersion. Missing ones are empty. */
  readonly vendor: string
  readonly product: string
  readonly manufacturer: string
  readonly model: string
  readonly firmware: string
}

export interface Quirk {
  /** As in docs/hardware.md. */
  readonly name: string
  readonly when: Readonly<Partial<Record<keyof Make, RegExp>>>
  readonly does: Readonly<Partial<Behaviour>>
}

export const USUAL: Behaviour = {
  resetTypes: { on: ['On', 'ForceOn'], off: ['ForceOff'], 'soft-off': ['GracefulShutdown'] },
  boot: 'on-the-system',
  ifMatch: 'etag',
  sendsMode: true,
  bootInTwoSteps: false,
  mediaDrives: /./,
}

export const QUIRKS: readonly Quirk[] = [
  // DMTF/Redfish-Tacklebox issue 144 (ASRock Rack, AMI MegaRAC): "moved to FutureState URI(/redfish/v1/Systems/Self/SD)".
  {
    name: 'boot-in-future-state',
    when: { vendor: /^AMI$/i, manufacturer: /ASRock/i },
    does: { boot: 'in-the-settings' },
  },
  // ansible-collections/community.general issue 3509: writing the mode, even unchanged, is a bad request.
  { name: 'boot-mode-fixed', when: { manufacturer: /^HPE?$/i, model: /^ProLiant/i }, does: { sendsMode: false } },
  // PiKVM's service: PATCH is answered 204, and Boot is always Disabled.
  { name: 'boot-is-a-stub', when: { manufacturer: /^PiKVM$/i }, does: { boot: 'none' } },
  // lenovo/python-redfish-lenovo issue 21: of ten drives those named EXT take a URL, RDOC are for uploads and Remote for the web page.
  { name: 'media-by-name', when: { manufacturer: /^Lenovo/i }, does: { mediaDrives: /^EXT/ } },
  // Recorded (test/packets/redfish/cray-ex425.json): Off beside ForceOff, no override of the boot source.
  {
    name: 'soft-off-is-off',
    when: { model: /^HPE CRAY EX/i },
    does: { resetTypes: { ...USUAL.resetTypes, 'soft-off': ['GracefulShutdown', 'Off'] } },
  },
]

/** How a service of this make behaves, and the names of the quirks that say so. All quirks that match are joined, later ones win. */
export function behaviourOf(make: Make, quirks: readonly Quirk[] = QUIRKS): { behaviour: Behaviour; names: string[] } {
  const matching = quirks.filter(({ when }) =>
    Object.entries(when).every(([part, pattern]) => pattern.test(make[part as keyof Make])),
  )
  return {
    behaviour: Object.assign({}, USUAL, ...matching.map(({ does }) => does)) as Behaviour,
    names: matching.map(({ name }) => name),
  }
}
