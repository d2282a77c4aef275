/** The images of the end-to-end tests, made from what is installed here and from Debian packages; no registry is asked. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { tarOf, type TarField } from '../../src/formats/tar/tar-maker.ts'
import { layoutFiles, makeImage, writeLayout, type MadeImage } from '../../src/services/images/layout-maker.ts'

const CACHE = join(import.meta.dirname, '../../.bareboat/test-images')
const APPLETS =
  'sh cat echo env id ls ln pwd sleep hostname seq head md5sum sha256sum find sort stat readlink wc ps stty tty true false kill mkdir rm touch dd date'

const INIT_PACKAGES = { systemd: 'systemd-sysv,udev,dbus', openrc: 'openrc,sysvinit-core,udev' } as const

/** A minimal Debian with an init, as the plain tar of a root file system. Made once. @returns its file */
export function debianRoot(init: keyof typeof INIT_PACKAGES = 'systemd'): string {
  const file = join(CACHE, `debian-${init}.tar`)
  if (existsSync(file)) return file
  mkdirSync(CACHE, { recursive: true })
  const draft = join(CACHE, `draft-${process.pid}.tar`)
  const options = ['--variant=minbase', `--include=${INIT_PACKAGES[init]}`]
  const lean = ['doc', 'man', 'locale', 'info'].map((name) => `--dpkgopt=path-exclude=/usr/share/${name}/*`)
  execFileSync('mmdebstrap', ['-q', ...options, ...lean, 'bookworm', draft, 'http://deb.debian.org/debian'], {
    stdio: ['ignore', 'ignore', 'inherit'],
    timeout: 300_000,
  })
  renameSync(draft, file)
  return file
}

/** One static program and nothing else, not even a directory. It says a line on each stream, then waits, or ends with argc - 2. */
export function scratchImage(): MadeImage {
  return {
    layers: [{ plain: tarOf({ name: 'hello', mode: '0000755', data: helloProgram() }) }],
    config: { config: { Entrypoint: ['/hello'] } },
  }
}

/** A busybox with every instruction of an image that decides how its workload starts. */
export function busyboxImage(): MadeImage {
  return {
    layers: [{ plain: tarOf(...busyboxFiles(), { name: 'srv/', type: '5', mode: '0000755' }, ...ownedFiles()) }],
    config: {
      config: {
        Env: ['PATH=/bin', 'GREETING=hello there', 'EMPTY='],
        User: 'sailor',
        WorkingDir: '/srv/deck',
        Entrypoint: ['/bin/sh', '-c'],
        Cmd: ['echo "$GREETING from $(id -un):$(id -gn) in $(pwd)"'],
        StopSignal: 'SIGUSR1',
      },
    },
  }
}

/** The same busybox without a word on how to start. */
export function plainImage(): MadeImage {
  return { layers: [{ plain: tarOf(...busyboxFiles()) }], config: { config: { Env: ['PATH=/bin'] } } }
}

/** An image for another processor. */
export function foreignImage(): MadeImage {
  return { ...busyboxImage(), platform: 'linux/arm64' }
}

/**
 * Prints all that matters of each path below the working directory, and what cannot be looked at. The same on a machine and on what
 * umoci unpacked.
 */
export const DESCRIBE_TREE = `exec 2>&1; find . | sort | while read -r path; do
  kind=$(stat -c %F "$path")
  case $kind in
    directory) stat -c '%n %F %a %u:%g %Y' "$path"; continue ;;
    *) stat -c '%n %F %a %u:%g %s %Y links=%h' "$path" ;;
  esac
  case $kind in symbolic*) readlink "$path" ;; regular*) md5sum <"$path" ;; esac
done`

/** Layers that take away, replace, hide and link what lower ones brought; all below /tree. */
export function layeredImage(): MadeImage {
  const layers = [
    [...busyboxFiles(), ...lowestLayer()],
    [
      dir('tree/', { mtime: '12000000000' }),
      { name: 'tree/.wh.gone' },
      { name: 'tree/.wh.gone-dir' },
      { name: 'tree/linked-later', type: '1', link: 'tree/file' },
      dir('tree/hidden/', { mode: '0000711' }),
      { name: 'tree/hidden/.wh..wh..opq' },
      { name: 'tree/hidden/new', data: 'new' },
      { name: 'tree/was-dir', data: 'a file now', mode: '0000600' },
      dir('tree/was-file/'),
      { name: 'tree/was-file/child', data: 'child' },
    ],
    [
      dir('tree/', { mtime: '13000000000' }),
      { name: 'tree/.wh.back' },
      { name: 'tree/back', data: 'back again', uid: '0001750', gid: '0001751' },
      { name: 'tree/deep/er/est/leaf', data: 'x'.repeat(70_000) },
      { name: 'tree/also-linked', type: '1', link: 'tree/linked-later' },
    ],
  ]
  return {
    layers: layers.map((fields, at) => ({
      plain: tarOf(...fields),
      compression: (['gzip', 'zstd', 'none'] as const)[at]!,
    })),
    config: { config: { Env: ['PATH=/bin'], WorkingDir: '/tree', Cmd: ['/bin/sh', '-c', DESCRIBE_TREE] } },
  }
}

/** Makes an image known to a registry under a name, with skopeo. */
export function pushImage(image: MadeImage, host: string, name: string): void {
  withLayout(image, (layout) => {
    const argv = ['copy', '-q', '--dest-tls-verify=false', `oci:${layout}:latest`, `docker://${host}/${name}`]
    execFileSync('skopeo', argv, { timeout: 60_000 })
  })
}

/** What `umoci unpack` makes of an image says the same script as on the machine. */
export function describeByUmoci(image: MadeImage): string {
  // Debian's umoci knows no zstd.
  const layers = image.layers.map(({ plain }) => ({ plain }))
  return withLayout({ ...image, layers }, (layout) => {
    const bundle = join(layout, 'bundle')
    execFileSync('umoci', ['unpack', '--image', `${layout}:latest`, bundle], { stdio: 'ignore', timeout: 60_000 })
    return execFileSync('busybox', ['sh', '-c', `set -o noglob; ${DESCRIBE_TREE}`], {
      cwd: join(bundle, 'rootfs/tree'),
      encoding: 'utf8',
      timeout: 60_000,
    })
  })
}

function withLayout<T>(image: MadeImage, use: (layout: string) => T): T {
  const layout = mkdtempSync(join(tmpdir(), 'bareboat-layout-'))
  try {
    writeLayout(layout, layoutFiles([{ tag: 'latest', image: makeImage(image) }]))
    return use(layout)
  } finally {
    rmSync(layout, { recursive: true, force: true })
  }
}

function lowestLayer(): TarField[] {
  return [
    dir('tree/'),
    { name: 'tree/file', data: 'content\n', mode: '0004755' },
    { name: 'tree/first-link', type: '1', link: 'tree/file' },
    { name: 'tree/symbolic', type: '2', link: '../../outside' },
    { name: 'tree/gone', data: 'gone' },
    dir('tree/gone-dir/'),
    { name: 'tree/gone-dir/child', data: 'gone too' },
    dir('tree/hidden/'),
    { name: 'tree/hidden/old', data: 'old' },
    dir('tree/was-dir/'),
    { name: 'tree/was-dir/child', data: 'x' },
    { name: 'tree/was-file', data: 'x' },
    { name: 'tree/back', data: 'the first' },
    dir('tree/deep/', { mode: '0001777' }),
    dir('tree/deep/er/'),
    dir('tree/deep/er/est/'),
    { name: 'tree/a name with blanks', data: 'x', mtime: '07000000000' },
    { name: `tree/${'long-'.repeat(18)}`, data: 'long' },
  ]
}

function dir(name: string, more: TarField = {}): TarField {
  return { name, type: '5', mode: '0000755', mtime: '11000000000', ...more }
}

function busyboxFiles(): TarField[] {
  return [
    dir('bin/'),
    { name: 'bin/busybox', mode: '0000755', data: readFileSync('/bin/busybox') },
    ...APPLETS.split(' ').map((name) => ({ name: `bin/${name}`, type: '2', link: 'busybox' })),
    dir('etc/'),
    { name: 'etc/passwd', data: 'root:x:0:0::/root:/bin/sh\nsailor:x:1042:1043::/home/sailor:/bin/sh\n' },
    { name: 'etc/group', data: 'root:x:0:\ncrew:x:1043:\nwheel:x:1044:sailor\n' },
    dir('tmp/', { mode: '0001777' }),
  ]
}

function ownedFiles(): TarField[] {
  return [dir('srv/deck/', { uid: '0002022', gid: '0002023' })]
}

/** A static ELF of its own, so that nothing else can be needed: two writes, then pause(2) for ever or exit(2). */
function helloProgram(): Buffer {
  const out = Buffer.from('hello from scratch\n')
  const err = Buffer.from('and to stderr\n')
  const parts: Buffer[] = []
  const holes: { at: number; target: 'out' | 'err' }[] = []
  let size = 0
  const emit = (hex: string, number?: number): void => {
    const bytes = Buffer.concat([
      Buffer.from(hex.replaceAll(' ', ''), 'hex'),
      Buffer.alloc(number === undefined ? 0 : 4),
    ])
    if (number !== undefined) bytes.writeInt32LE(number, bytes.length - 4)
    parts.push(bytes)
    size += bytes.length
  }
  const write = (fd: number, target: 'out' | 'err', length: number): void => {
    emit('b8', 1) // mov eax, SYS_write
    emit('bf', fd) // mov edi, fd
    emit('48 8d 35', 0) // lea rsi, [rip + text]
    holes.push({ at: size - 4, target })
    emit('ba', length) // mov edx, length
    emit('0f 05') // syscall
  }
  emit('48 8b 1c 24') // mov rbx, [rsp]: argc
  write(1, 'out', out.length)
  write(2, 'err', err.length)
  emit('48 83 fb 01') // cmp rbx, 1
  emit('75 09') // jne past the loop
  emit('b8', 34) // mov eax, SYS_pause
  emit('0f 05') // syscall
  emit('eb f7') // jmp to the loop's begin
  emit('b8', 60) // mov eax, SYS_exit
  emit('8d 7b fe') // lea edi, [rbx - 2]
  emit('0f 05') // syscall
  const code = Buffer.concat(parts)
  for (const { at, target } of holes)
    code.writeInt32LE(code.length + (target === 'out' ? 0 : out.length) - (at + 4), at)
  const body = Buffer.concat([code, out, err])
  const header = Buffer.alloc(120)
  const base = 0x400000n
  header.write('7f454c46020101', 0, 'hex')
  header.writeUInt16LE(2, 16) // ET_EXEC
  header.writeUInt16LE(62, 18) // x86-64
  header.writeUInt32LE(1, 20)
  header.writeBigUInt64LE(base + 120n, 24) // entry
  header.writeBigUInt64LE(64n, 32) // program headers
  header.writeUInt16LE(64, 52)
  header.writeUInt16LE(56, 54)
  header.writeUInt16LE(1, 56)
  header.writeUInt32LE(1, 64) // PT_LOAD
  header.writeUInt32LE(5, 68) // readable, executable
  header.writeBigUInt64LE(base, 80)
  header.writeBigUInt64LE(base, 88)
  header.writeBigUInt64LE(BigInt(120 + body.length), 96)
  header.writeBigUInt64LE(BigInt(120 + body.length), 104)
  header.writeBigUInt64LE(0x1000n, 112)
  return Buffer.concat([header, body])
}
