/** What a rack is and how it is, for those who use it: RackSpec, its paths and the keeper's state in one value. */
import type { KeeperStatus, MachineStatus } from './control-server.ts'
import { machinePaths, type RackPaths } from './layout.ts'
import { bmcFingerprint } from './machine-files.ts'
import type { Media } from './medium.ts'
import { type BmcKind, type MachineSpec, NETWORK, type RackSpec, tapName } from './plan.ts'

export interface RackInfo {
  readonly name: string
  readonly dir: string
  readonly isUp: boolean
  /** A process in the rack's network namespace, while it is up. */
  readonly keeperPid?: number
  readonly accel?: 'kvm' | 'tcg'
  readonly network: typeof NETWORK
  /** A forward proxy for HTTP into the host's network: as a unix socket, and as a URL for programs inside the rack. */
  readonly egress: { readonly socket: string; readonly url: string }
  /** Holds the password of the user `admin` on all BMCs. */
  readonly passwordFile: string
  readonly machines: readonly RackMachine[]
}

export interface RackMachine extends MachineSpec {
  /** `down`: the rack itself is not up. */
  readonly state: 'on' | 'off' | 'unplugged' | 'down'
  /** What its next start boots from; `none` unless a BMC was told otherwise. */
  readonly boot: string
  /** QEMU's process and its resident memory, while the machine is on. */
  readonly pid?: number
  readonly rssBytes?: number
  /** What is in its drives. */
  readonly media: Media
  readonly tap: string
  /** The BMC to use, one of `bmcs`. */
  readonly bmc: string
  readonly bmcs: Readonly<Record<BmcKind, string>>
  /** What came over its serial line. */
  readonly consoleLog: string
  /** One line, `TIME SOURCE COMMAND`, for each command that changed its power or boot device. */
  readonly chassisLog: string
}

/** @param status what the keeper says, undefined when there is none */
export function describeRack(spec: RackSpec, paths: RackPaths, status: KeeperStatus | undefined): RackInfo {
  return {
    name: spec.name,
    dir: paths.dir,
    isUp: status !== undefined,
    ...(status === undefined ? {} : { keeperPid: status.pid, accel: status.accel }),
    network: NETWORK,
    egress: { socket: paths.egressSocket, url: `http://127.0.0.1:${NETWORK.egressPort}` },
    passwordFile: paths.password,
    machines: spec.machines.map((machine) => {
      const now = status?.machines.find(({ name }) => name === machine.name)
      return describeMachine(machine, spec.bmc, paths.dir, now)
    }),
  }
}

function describeMachine(machine: MachineSpec, bmc: BmcKind, rackDir: string, status?: MachineStatus): RackMachine {
  const files = machinePaths(rackDir, machine.name)
  const bmcs = bmcUrls(machine, bmcFingerprint(files))
  return {
    ...machine,
    state: status === undefined ? 'down' : !status.isPlugged ? 'unplugged' : status.isOn ? 'on' : 'off',
    boot: status?.boot ?? 'none',
    ...(status?.pid === undefined ? {} : { pid: status.pid, rssBytes: status.rssBytes ?? 0 }),
    media: status?.media ?? {},
    tap: tapName(machine.index),
    bmc: bmcs[bmc],
    bmcs,
    consoleLog: files.console,
    chassisLog: files.chassisLog,
  }
}

/** @param fingerprint of its certificate; undefined before the rack was up for the first time */
function bmcUrls({ bmcAddress: host }: MachineSpec, fingerprint: string | undefined): Record<BmcKind, string> {
  const user = NETWORK.bmcUser
  const pin = fingerprint === undefined ? '' : `?fingerprint=${fingerprint}`
  return {
    ipmi: `ipmi://${user}@${host}`,
    http: `http://${host}:${NETWORK.httpPort}`,
    redfish: `redfish://${user}@${host}${pin}`,
    pikvm: `pikvm://${user}@${host}${pin}`,
    amt: `amts://${user}@${host}${pin}`,
    wol: 'wol:',
  }
}
