/** What is sent to be put on a medium, made by programs that are not ours: GNU tar, xorriso (Rock Ridge, Joliet, neither). */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, test } from 'node:test'
import { readPaths } from '../../src/drivers/boot-files.ts'
import { mediaSource } from '../../src/drivers/media-source.ts'
import { sizeOf } from '../../src/formats/extents.ts'
import { missingProgram } from './docker-registry.ts'
import { sampleFiles } from './media.ts'

const folder = mkdtempSync(join(tmpdir(), 'bareboat-source-'))
after(() => rmSync(folder, { recursive: true, force: true }))
const missing = missingProgram('xorriso', 'tar')
const skip = missing !== undefined && `no ${missing} here`
const signal = new AbortController().signal

const { bytesOf } = sampleFiles(40)
bytesOf.set(`many/${'a name that is long '.repeat(11)}x`, Buffer.from('goes on in another place'))
bytesOf.set('1/2/3/4/5/6/7/8/9/10/deep', Buffer.from('moved up by those who keep to eight levels'))
const source = join(folder, 'files')
for (const [path, bytes] of bytesOf) {
  mkdirSync(dirname(join(source, path)), { recursive: true })
  writeFileSync(join(source, path), bytes)
  utimesSync(join(source, path), 1_600_000_000, 1_600_000_000)
}
mkdirSync(join(source, 'void'))

const MAKERS: { name: string; make: (path: string) => void }[] = [
  { name: 'tar', make: (path) => run('tar', '-c', '-f', path, '-C', source, '.') },
  { name: 'an ISO image with Rock Ridge', make: (path) => iso(path, '-R') },
  { name: 'an ISO image with Rock Ridge and Joliet', make: (path) => iso(path, '-R', '-J', '-joliet-long') },
]
for (const { name, make } of MAKERS)
  test(`mediaSource: every file of ${name} as it is`, { skip }, async () => {
    const path = join(folder, 'sent')
    make(path)
    const { efi, files, folders } = await mediaSource(path, signal)
    const all = new Map([...efi, ...files].map((file) => [file.path, file] as const))
    assert.deepEqual(new Set(all.keys()), new Set(bytesOf.keys()))
    assert.ok(folders.includes('void'))
    assert.deepEqual(efi.map((file) => file.path).toSorted(), ['EFI/BOOT/BOOTX64.EFI', 'EFI/BOOT/autoexec.ipxe'])
    for (const [own, { content, mtimeSeconds }] of all) {
      const read = Buffer.concat(await Array.fromAsync(readPaths(content, signal)))
      assert.ok(read.equals(bytesOf.get(own)!), own)
      assert.equal(mtimeSeconds, 1_600_000_000)
    }
  })

for (const [name, ...args] of [['Joliet', '-J'], ['names of its own']] as const)
  test(`mediaSource: an ISO image with ${name}`, { skip }, async () => {
    const small = join(folder, 'small')
    mkdirSync(join(small, 'sub'), { recursive: true })
    writeFileSync(join(small, 'sub/readme.txt'), 'read me')
    const path = join(folder, 'small.iso')
    run('xorriso', '-as', 'mkisofs', '-quiet', '-o', path, ...args, '--norock', small)
    const { files } = await mediaSource(path, signal)
    assert.deepEqual(
      files.map((file) => [file.path, sizeOf(file.content)]),
      [['sub/readme.txt', 7]],
    )
  })

test(
  'mediaSource: a link in an ISO image is refused by its name; what is nothing of these is told',
  { skip },
  async () => {
    const linked = join(folder, 'linked')
    mkdirSync(linked)
    symlinkSync('/etc', join(linked, 'way out'))
    const path = join(folder, 'linked.iso')
    run('xorriso', '-as', 'mkisofs', '-quiet', '-R', '-o', path, linked)
    await assert.rejects(mediaSource(path, signal), /Cannot put "way out" on the medium: it is a symbolic link/)
    writeFileSync(path, Buffer.alloc(70_000, 7))
    await assert.rejects(mediaSource(path, signal), /neither an ISO image nor a tar archive/)
  },
)

function iso(path: string, ...args: string[]): void {
  run('xorriso', '-as', 'mkisofs', '-quiet', ...args, '-o', path, source)
}

function run(program: string, ...args: string[]): void {
  execFileSync(program, args, { stdio: 'pipe' })
}
