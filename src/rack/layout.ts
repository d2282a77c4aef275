/**
 * Where a rack keeps what. Folders are 0700 and files 0600; `down` removes the whole folder of the rack.
 *
 *     STATE/                      given by the caller, shared by its racks
 *       kvm.json                  the answer of the KVM probe, for this kernel and QEMU
 *       NAME/                     one rack
 *         rack.json               RackSpec: what the rack is; written before any process starts, removed last
 *         bmc-password            password of the user `admin` on all its BMCs
 *         keeper.sock keeper.log  control API of the keeper (HTTP) and what it has to say
 *         keeper.failure          why the last keeper could not start
 *         egress.sock             forward proxy into the network of the host
 *         rack-1/                 one machine
 *           console.log           its serial line from the first byte; console.log.1 is the part before, when it grew too long
 *           chassis.log           every command that changed its power or boot device: `TIME SOURCE COMMAND`
 *           qemu.log              what QEMU complained about
 *           nvram.fd              UEFI variables
 *           disk.img              its disk, sparse
 *           bmc.pem               key of its BMC's TLS, and the certificate that it signed itself
 *           drives.cfg            while QEMU starts: what is in its drives
 *           pikvm/                images in the storage of its PiKVM
 *           ipmi/                 lan.conf, node.emu, chassis.sh, state/ and log of its ipmi_sim
 */
import { join } from 'node:path'
import { AppError } from '../base/errors.ts'
import { checkRackName } from './plan.ts'

/** sockaddr_un holds 107 bytes and a NUL (unix(7)). */
const SOCKET_PATH_MAX = 107

export interface RackPaths {
  readonly dir: string
  readonly spec: string
  readonly password: string
  readonly keeperSocket: string
  readonly keeperLog: string
  readonly keeperFailure: string
  readonly egressSocket: string
}

export interface MachinePaths {
  readonly dir: string
  readonly console: string
  readonly chassisLog: string
  readonly qemuLog: string
  readonly nvram: string
  readonly disk: string
  readonly bmcTls: string
  readonly drives: string
  readonly ipmiDir: string
  readonly pikvmDir: string
}

/** @throws {AppError} invalid when the name is none or the folder's path is too long for a socket in it */
export function rackPaths(stateDir: string, name: string): RackPaths {
  const dir = join(stateDir, checkRackName(name))
  const paths = {
    dir,
    spec: join(dir, 'rack.json'),
    password: join(dir, 'bmc-password'),
    keeperSocket: join(dir, 'keeper.sock'),
    keeperLog: join(dir, 'keeper.log'),
    keeperFailure: join(dir, 'keeper.failure'),
    egressSocket: join(dir, 'egress.sock'),
  }
  if (Buffer.byteLength(paths.keeperSocket) > SOCKET_PATH_MAX)
    throw new AppError(
      'invalid',
      `Cannot keep rack "${name}" in "${dir}": the path of its socket would be longer than ${SOCKET_PATH_MAX} bytes; choose a shorter state directory`,
    )
  return paths
}

export function machinePaths(rackDir: string, machine: string): MachinePaths {
  const dir = join(rackDir, machine)
  return {
    dir,
    console: join(dir, 'console.log'),
    chassisLog: join(dir, 'chassis.log'),
    qemuLog: join(dir, 'qemu.log'),
    nvram: join(dir, 'nvram.fd'),
    disk: join(dir, 'disk.img'),
    bmcTls: join(dir, 'bmc.pem'),
    drives: join(dir, 'drives.cfg'),
    ipmiDir: join(dir, 'ipmi'),
    pikvmDir: join(dir, 'pikvm'),
  }
}

export function kvmAnswerPath(stateDir: string): string {
  return join(stateDir, 'kvm.json')
}
