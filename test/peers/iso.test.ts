/** Our ISO images before their judges: xorriso, which takes every file out of them, isoinfo, and the kernel where it may mount. */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, readSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { sizeOf } from '../../src/formats/extents.ts'
import { fatImage } from '../../src/formats/fat/image.ts'
import type { NamedFile } from '../../src/formats/folders.ts'
import { isoImage, type IsoOptions } from '../../src/formats/iso9660/image.ts'
import { missingProgram } from './docker-registry.ts'
import { noiseBytes, sampleFiles, writeImage } from './media.ts'

const folder = mkdtempSync(join(tmpdir(), 'bareboat-iso-'))
after(() => {
  spawnSync('chmod', ['-R', 'u+w', folder])
  rmSync(folder, { recursive: true, force: true })
})
const missing = missingProgram('xorriso', 'mtype')
const skip = missing !== undefined && `no ${missing} here`

const OPTIONS: IsoOptions = { label: 'ARCH_202211', madeAtSeconds: 1_700_000_000, diskId: 0x1234_5678 }
const { files, bytesOf } = sampleFiles(300)
const long = `${'long name '.repeat(15)}.x`
const others: [string, Buffer][] = [
  [`many/${long}`, noiseBytes(3000, 5)],
  ['d1/d2/d3/d4/d5/d6/d7/d8/d9/d10/deep', Buffer.from('deep')],
  ['same/Name', Buffer.from('a')],
  ['same/name', Buffer.from('b')],
]
for (const [path, bytes] of others) {
  bytesOf.set(path, bytes)
  files.push({ path, content: [{ kind: 'bytes', bytes }], mtimeSeconds: 1_600_000_000 })
}

test('isoImage: xorriso takes every file out as it is, with its time', { skip }, () => {
  const path = build('plain.iso', files, { folders: ['void'] })
  const out = takenOut(path)
  for (const [name, bytes] of bytesOf) assert.ok(readFileSync(join(out, name)).equals(bytes), name)
  assert.ok(statSync(join(out, 'void')).isDirectory())
  assert.equal(statSync(join(out, 'same/name')).mtimeMs, 1_600_000_000_000)
  assert.equal(statSync(join(out, 'README')).mtimeMs, 1_700_000_000_000)
  assert.match(xorriso('-indev', disc(path), '-pvd_info'), /Volume [Ii]d +: ARCH_202211/)
})

test('isoImage: El Torito for BIOS and UEFI, and a flash drive', { skip }, () => {
  const content = fatImage(files.slice(0, 3), { label: 'ESP', serial: 1, madeAtSeconds: 0 })
  const image = noiseBytes(38_913, 6)
  const path = build('boot.iso', files, {
    efi: content,
    bios: { path: 'isolinux/isolinux.bin', image, hybridCode: Buffer.alloc(432, 0x90) },
  })
  const torito = xorriso('-indev', disc(path), '-report_el_torito', 'plain')
  assert.match(torito, /El Torito boot img : +1 +BIOS +y +none +0x0000 +0x00 +4 /)
  assert.match(torito, new RegExp(`El Torito boot img : +2 +UEFI +y +none +0x0000 +0x00 +${sizeOf(content) / 512} `))
  assert.match(torito, /El Torito img path : +1 +\/isolinux\/isolinux\.bin/)
  assert.match(torito, /El Torito img opts : +1 +boot-info-table/)
  const system = xorriso('-indev', disc(path), '-report_system_area', 'plain')
  assert.match(system, /MBR partition +: +1 +0x80 +0x17 +0 /)
  const [, start] = /MBR partition +: +2 +0x00 +0xef +(\d+) /.exec(system)!
  const read = execFileSync('mtype', ['-i', `${path}@@${Number(start) * 512}`, '::EFI/BOOT/BOOTX64.EFI'])
  assert.ok(read.equals(bytesOf.get('EFI/BOOT/BOOTX64.EFI')!))
})

test('isoImage: a boot image for UEFI alone is the default one', { skip }, () => {
  const efi = [{ kind: 'zeros', length: 65_536 * 512 } as const]
  const torito = xorriso('-indev', disc(build('efi.iso', files, { efi })), '-report_el_torito', 'plain')
  // Larger than 16 bits can count: to the end of the medium.
  assert.match(torito, /El Torito boot img : +1 +UEFI +y +none +0x0000 +0x00 +0 /)
})

test('isoImage: a file of more than 4 GiB is whole', { skip }, () => {
  const last = noiseBytes(5000, 7)
  const content = [{ kind: 'zeros', length: 2 ** 33 - 100 } as const, { kind: 'bytes', bytes: last } as const]
  const path = build('large.iso', [...files, { path: 'many/large', content }], {})
  assert.match(xorriso('-indev', disc(path), '-lsl', '/many/large'), new RegExp(` ${2 ** 33 - 100 + 5000} `))
  const said = xorriso('-indev', disc(path), '-find', '/many/large', '-exec', 'report_lba')
  const parts = [...said.matchAll(/File data lba: +\d+ , +(\d+) , +(\d+) ,/g)]
  assert.equal(parts.length, 3)
  const [, lba, sectors] = parts[2]!.map(Number)
  const end = (lba! + sectors! - 1) * 2048 + ((2 ** 33 - 100 + 5000) % 2048)
  const tail = Buffer.alloc(5000)
  const file = openSync(path, 'r')
  readSync(file, tail, 0, tail.length, end - tail.length)
  closeSync(file)
  assert.ok(tail.equals(last))
  rmSync(path)
})

test('isoImage: 20,000 files in a folder, each under its name', { skip }, () => {
  const many = Array.from({ length: 20_000 }, (_, index) => ({ path: `all/number ${index}`, content: [] }))
  const listed = xorriso('-indev', disc(build('many.iso', many, {})), '-find', '/all', '-type', 'f')
  assert.deepEqual(new Set(listed.match(/number \d+/g)), new Set(many.map(({ path }) => path.slice('all/'.length))))
})

test('isoImage: the kernel mounts it and reads the same', { skip }, (t) => {
  const path = build('mounted.iso', files, {})
  const target = join(folder, 'mnt')
  mkdirSync(target)
  const mounted = spawnSync('mount', ['-t', 'iso9660', '-o', 'loop,ro', path, target], { encoding: 'utf8' })
  if (mounted.status !== 0) return t.skip('no loop mounts here')
  try {
    for (const [name, bytes] of bytesOf) assert.ok(readFileSync(join(target, name)).equals(bytes), name)
  } finally {
    execFileSync('umount', [target])
  }
})

function build(name: string, list: readonly NamedFile[], options: Partial<IsoOptions>): string {
  const path = join(folder, name)
  writeImage(path, isoImage(list, { ...OPTIONS, ...options }))
  return path
}

function takenOut(path: string): string {
  const out = `${path}.d`
  xorriso('-osirrox', 'on', '-indev', disc(path), '-extract', '/', out)
  return out
}

/** A file for xorriso: what lies below /dev, as /dev/shm does, it would take for a drive. */
const disc = (path: string): string => `stdio:${path}`

/** @returns what it says, on both channels; anything that it calls a failure throws */
function xorriso(...args: string[]): string {
  const ran = spawnSync('xorriso', ['-abort_on', 'WARNING', '-return_with', 'WARNING', '32', ...args], {
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  })
  assert.equal(ran.status, 0, ran.stderr)
  return ran.stdout + ran.stderr
}
