/** The Debian packages that `demo` and `test` need, and their installation: said before it is done, nothing started by it. */
import { spawn } from 'node:child_process'
import { accessSync, constants, existsSync, rmSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { AppError } from '../../base/errors.ts'

/** A package, and a program or file of it that shows that it is there. */
type Package = readonly [name: string, proof: string]

export const DEMO_PACKAGES: readonly Package[] = [
  ['qemu-system-x86', 'qemu-system-x86_64'],
  ['qemu-utils', 'qemu-img'],
  ['ovmf', '/usr/share/OVMF'],
  ['seabios', '/usr/share/seabios'],
  ['ipxe-qemu', '/usr/lib/ipxe/qemu'],
  ['openipmi', 'ipmi_sim'],
  ['iproute2', 'ip'],
  ['util-linux', 'nsenter'],
  ['curl', 'curl'],
  ['openssl', 'openssl'],
  ['xz-utils', 'xz'],
  ['tar', 'tar'],
  ['apt', 'apt-get'],
  ['busybox-static', '/usr/share/doc/busybox-static'],
  ['debian-archive-keyring', '/usr/share/keyrings/debian-archive-keyring.gpg'],
]

export const TEST_PACKAGES: readonly Package[] = [
  ...DEMO_PACKAGES,
  ['qemu-block-extra', '/usr/share/doc/qemu-block-extra'],
  ['ovmf-ia32', '/usr/share/OVMF/OVMF32_CODE_4M.secboot.fd'],
  ['dosfstools', 'fsck.fat'],
  ['mtools', 'mcopy'],
  ['gdisk', 'sgdisk'],
  ['xorriso', 'xorriso'],
  ['ipmitool', 'ipmitool'],
  ['freeipmi-tools', 'ipmipower'],
  ['python3-pyghmi', 'fakebmc'],
  ['python3-gi', '/usr/lib/python3/dist-packages/gi'],
  ['gir1.2-gssdp-1.6', '/usr/share/doc/gir1.2-gssdp-1.6'],
  ['redfishtool', 'redfishtool'],
  ['dnsmasq-base', 'dnsmasq'],
  ['isc-dhcp-client', 'dhclient'],
  ['udhcpc', '/usr/share/doc/udhcpc'],
  ['kea-admin', 'perfdhcp'],
  ['kea-dhcp4-server', 'kea-dhcp4'],
  ['python3-yaml', '/usr/lib/python3/dist-packages/yaml'],
  ['python3-scapy', '/usr/lib/python3/dist-packages/scapy'],
  ['atftp', 'atftp'],
  ['tftp-hpa', 'tftp'],
  ['skopeo', 'skopeo'],
  ['umoci', 'umoci'],
  ['docker-registry', 'docker-registry'],
  ['mmdebstrap', 'mmdebstrap'],
  ['shellcheck', 'shellcheck'],
  ['grub-common', 'grub-script-check'],
  ['mount', 'losetup'],
  ['openssh-client', 'ssh-keygen'],
  ['openssh-server', '/usr/sbin/sshd'],
  ['python3-websockets', '/usr/lib/python3/dist-packages/websockets'],
  ['attr', 'setfattr'],
  ['libcap2-bin', 'setcap'],
  ['cpio', 'cpio'],
  ['bzip2', 'bzip2'],
  ['zstd', 'zstd'],
  ['lz4', 'lz4'],
  ['strace', 'strace'],
  ['zzuf', 'zzuf'],
  ['socat', 'socat'],
  ['git', 'git'],
  ['erofs-utils', 'fsck.erofs'],
  ['squashfs-tools', 'sqfstar'],
  ['cryptsetup-bin', 'veritysetup'],
  ['nbdkit', 'nbdkit'],
  ['nbd-server', 'nbd-server'],
  ['nbd-client', 'nbd-client'],
  ['libnbd-bin', 'nbdcopy'],
  ['python3-libnbd', 'nbdsh'],
  ['fio', 'fio'],
  ['lighttpd', 'lighttpd'],
  ['nfs-ganesha', 'ganesha.nfsd'],
  ['nfs-ganesha-vfs', '/usr/lib/x86_64-linux-gnu/ganesha/libfsalvfs.so'],
  ['libnfs-utils', 'nfs-ls'],
  ['zsh', 'zsh'],
  ['fish', 'fish'],
]

/**
 * Installs what is missing, with apt, as root or through sudo.
 * @param say told what is going to be done
 * @throws {AppError} unsupported, naming exactly what is missing, where this system has no apt or we may not use it
 */
export async function ensurePackages(
  packages: readonly Package[],
  { say, isRoot }: { say: (line: string) => void; isRoot: boolean },
): Promise<void> {
  const missing = packages.filter(([, proof]) => !isThere(proof)).map(([name]) => name)
  if (missing.length === 0) return
  const sudo = isRoot ? [] : isThere('sudo') ? ['sudo'] : undefined
  if (!isThere('apt-get') || sudo === undefined)
    throw new AppError(
      'unsupported',
      `Cannot set up: these Debian packages (or what they hold) are missing: ${missing.join(' ')}${sudo === undefined ? '; run as root, or install them yourself' : ''}`,
    )
  say(`setting up: installing with apt: ${missing.join(' ')}`)
  using _quiet = isRoot ? startNothing() : undefined
  await run([...sudo, 'apt-get', 'update', '-qq'])
  await run([...sudo, 'apt-get', 'install', '-y', '-qq', '--no-install-recommends', ...missing])
  const still = packages.filter(([, proof]) => !isThere(proof)).map(([name, proof]) => `${name} (${proof})`)
  if (still.length > 0) throw new AppError('unsupported', `Cannot set up: still missing after apt: ${still.join(', ')}`)
}

/** Whether a program is on the PATH (or where Debian keeps those of root), or a file exists. */
export function isThere(proof: string): boolean {
  if (proof.startsWith('/')) return existsSync(proof)
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin']
  return folders.some((folder) => {
    try {
      accessSync(join(folder, proof), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

/** Keeps apt from starting the services of packages whose programs are all that we want (Debian Policy 9.3.3, policy-rc.d). */
function startNothing(): Disposable {
  const path = '/usr/sbin/policy-rc.d'
  if (existsSync(path)) return { [Symbol.dispose]() {} }
  writeFileSync(path, '#!/bin/sh\nexit 101\n', { mode: 0o755 })
  return { [Symbol.dispose]: () => rmSync(path, { force: true }) }
}

function run([program, ...args]: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
    // Its output is progress for a person: it goes beside ours, never into what a program reads.
    const child = spawn(program!, args, { stdio: ['ignore', 2, 2], env })
    child.once('error', reject)
    child.once('exit', (code) => {
      if (code === 0) resolve()
      else reject(new AppError('unsupported', `Cannot set up: "${program} ${args.join(' ')}" ended with ${code}`))
    })
  })
}
