/** The configuration of nfs-ganesha: ganesha-core-config(8), ganesha-export-config(8), as version 4.3 reads it. */
import { AppError } from '../../base/errors.ts'
import type { NfsExport } from '../../services/nfs/ports.ts'

export interface GaneshaSettings {
  /** IPv4 address to listen on. */
  readonly address: string
  readonly port: number
  /**
   * Whether this system has an IPv6 address, other than that of the loopback. Where it speaks IPv6 at all, Ganesha 4.3 listens on an
   * IPv6 socket, for which the address has to be written as mapped: an IPv4 address in the configuration is ignored, and it
   * listens on all. But a mapped one is only read on a system with an IPv6 address (getaddrinfo(3), AI_ADDRCONFIG).
   */
  readonly hasIpv6: boolean
  /** Directory where it remembers its clients, so that they get their locks back after a restart (RFC 8881 §8.4.2.1). */
  readonly recoveryPath: string
}

const IPV4 = /^\d{1,3}(\.\d{1,3}){3}$/
const NAME = /^[A-Za-z0-9_-]{16,128}$/

/** Everything but the exports: what a running server cannot change. */
export function renderServer({ address, port, hasIpv6, recoveryPath }: GaneshaSettings): string {
  return `NFS_CORE_PARAM {
  NFS_Port = ${port};
  Bind_addr = ${hasIpv6 ? '::ffff:' : ''}${ipv4(address)};
  Protocols = 4;
  Enable_UDP = false;
  Enable_NLM = false;
  Enable_RQUOTA = false;
}
NFSv4 {
  Only_Numeric_Owners = true;
  RecoveryRoot = ${quoted(recoveryPath)};
}
NFS_KRB5 {
  Active_krb5 = false;
}
LOG {
  Default_Log_Level = EVENT;
  COMPONENTS { DBUS = FATAL; TIRPC = WARN; }
}
EXPORT_DEFAULTS {
  Access_Type = None;
  Protocols = 4;
  Transports = TCP;
  SecType = sys;
}
`
}

/**
 * Each to one machine alone, whose root may be root there: for everybody else it does not exist. The source port has to be one
 * that only root gets (below 1024), so that programs on the machine cannot speak to the server past the kernel's client.
 * @throws {AppError} invalid when a path has a character that cannot be written
 */
export function renderExports(exports: readonly NfsExport[]): string {
  return exports
    .toSorted((a, b) => a.exportId - b.exportId)
    .map(
      ({ exportId, path, name, address }) => `EXPORT {
  Export_Id = ${exportId};
  Path = ${quoted(path)};
  Pseudo = ${quoted(`/${checkedName(name)}`)};
  FSAL { Name = VFS; }
  CLIENT {
    Clients = ${ipv4(address)};
    Access_Type = RW;
    Squash = No_Root_Squash;
    PrivilegedPort = true;
    Protocols = 4;
    Transports = TCP;
    SecType = sys;
  }
}
`,
    )
    .join('')
}

/** Ganesha's strings have no way to write a quotation mark. */
function quoted(text: string): string {
  if (/["\\\x00-\x1f]/.test(text))
    throw new AppError(
      'invalid',
      `Cannot serve "${text}" over NFS: its path has a quotation mark, backslash or control character; set nfsDir to another one`,
    )
  return `"${text}"`
}

function ipv4(address: string): string {
  if (!IPV4.test(address)) throw new AppError('invalid', `Cannot serve "${address}" over NFS: it is no IPv4 address`)
  return address
}

function checkedName(name: string): string {
  if (!NAME.test(name)) throw new Error(`export name "${name}" is not base64url`)
  return name
}
