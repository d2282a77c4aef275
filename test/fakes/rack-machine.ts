/** A machine of a rack without QEMU: what its BMCs tell it is done at once, and written down. */
import { AppError } from '../../src/base/errors.ts'
import { machinePaths } from '../../src/rack/layout.ts'
import type { VirtualMachine } from '../../src/rack/machine.ts'
import type { Drive, Medium } from '../../src/rack/medium.ts'
import { planRack, type RackOptions } from '../../src/rack/plan.ts'
import type { BootDevice } from '../../src/rack/qemu-line.ts'

export interface RackMachineFake extends VirtualMachine {
  /** As chassis.log has them: `SOURCE COMMAND`. */
  readonly trace: string[]
  isOn: boolean
  isPlugged: boolean
  /** Inserting fails with it. */
  insertError: AppError | undefined
}

export function fakeRackMachine(dir = '/nowhere', options: RackOptions = {}): RackMachineFake {
  const spec = planRack({ machines: 1, ...options }, '0'.repeat(32)).machines[0]!
  const media: Partial<Record<Drive, Medium>> = {}
  const trace: string[] = []
  let boot: BootDevice = 'none'
  let isBootKept = false
  const note = (what: string): void => {
    if (!fake.isPlugged) throw new AppError('conflict', `Cannot command "${spec.name}": it has no mains power`)
    trace.push(what)
  }
  const fake: RackMachineFake = {
    spec,
    paths: machinePaths(dir, spec.name),
    // It echoes.
    serial: { plug() {}, attach: (viewer) => void viewer.on('error', () => {}).pipe(viewer), close() {} },
    trace,
    isOn: false,
    isPlugged: true,
    insertError: undefined,
    pid: undefined,
    get boot() {
      return boot
    },
    get isBootKept() {
      return isBootKept
    },
    get media() {
      return { ...media }
    },
    async command(command, source) {
      note(`${source} ${command}`)
      if (command === 'power-on') fake.isOn = true
      else if (command === 'power-off' || command === 'soft-off') fake.isOn = false
      else if (command.startsWith('boot ')) {
        boot = command.split(' ')[1] as BootDevice
        isBootKept = command.endsWith(' always')
      }
    },
    async insert(drive, medium, source) {
      if (fake.insertError !== undefined) throw fake.insertError
      note(`${source} insert ${drive}`)
      media[drive] = medium
    },
    async eject(drive, source) {
      note(`${source} eject ${drive}`)
      delete media[drive]
    },
    async close() {},
  }
  return fake
}
