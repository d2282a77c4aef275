/** Our FAT file systems before their judges: fsck.fat, and mtools, which read every file of them back. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { fatImage, type FatOptions } from '../../src/formats/fat/image.ts'
import type { NamedFile } from '../../src/formats/folders.ts'
import { missingProgram } from './docker-registry.ts'
import { noiseBytes, sampleFiles, writeImage } from './media.ts'

const folder = mkdtempSync(join(tmpdir(), 'bareboat-fat-'))
after(() => rmSync(folder, { recursive: true, force: true }))
const missing = missingProgram('fsck.fat', 'mcopy', 'mlabel')
const skip = missing !== undefined && `no ${missing} here`

const OPTIONS: FatOptions = { label: 'ARCH_202211', serial: 0x1234_5678, madeAtSeconds: 1_700_000_000 }
const MEBIBYTE = 1 << 20
const env = { ...process.env, MTOOLS_SKIP_CHECK: '0', LC_ALL: 'C.UTF-8' }

const { files, bytesOf } = sampleFiles(300)
const sizes: { kind: string; sizeBytes?: number; more?: number }[] = [
  { kind: 'FAT12' },
  { kind: 'FAT16', sizeBytes: 2_135_040 },
  { kind: 'FAT16', more: 20 * MEBIBYTE },
  { kind: 'FAT16', sizeBytes: 34_090_496 },
  { kind: 'FAT32', sizeBytes: 40_000_000 },
  { kind: 'FAT32', more: 50 * MEBIBYTE },
  { kind: 'FAT32', sizeBytes: 300 * MEBIBYTE },
  { kind: 'FAT32', sizeBytes: 9 * 1024 * MEBIBYTE },
]

for (const [index, { kind, sizeBytes, more }] of sizes.entries())
  test(
    `fatImage: ${kind} of ${sizeBytes ?? `${more ?? 'few'} and some`} bytes is clean and has every file`,
    { skip },
    () => {
      const large = more === undefined ? [] : [{ path: 'large', content: [bytes(noiseBytes(more, 4))] }]
      const path = build(`${index}.img`, [...files, ...large], sizeBytes === undefined ? {} : { sizeBytes })
      const said = fsck(path)
      assert.match(said, new RegExp(`2 FATs, ${kind.slice(3)} bit entries`))
      const out = join(folder, `out-${index}`)
      mkdirSync(out)
      execFileSync('mcopy', ['-i', path, '-s', '-n', '-Q', '::', out], { env, stdio: 'pipe' })
      for (const [name, expected] of bytesOf) assert.ok(readFileSync(join(out, name)).equals(expected), name)
      assert.equal(readdirSync(join(out, 'many/sub folder')).length, 300)
      assert.match(execFileSync('mlabel', ['-i', path, '-s', '::'], { env, encoding: 'utf8' }), /ARCH_202211/)
      rmSync(path)
    },
  )

// Of clusters that make 4 GiB in all, as the largest file has, fsck.fat counts 0 bytes.
test('fatImage: a file of one cluster less than 4 GiB is clean', { skip }, () => {
  const content = [{ kind: 'zeros', length: 2 ** 32 - 4096 } as const]
  const path = build('large.img', [...files, { path: 'large', content }], {})
  assert.match(fsck(path), /\/\d+ clusters/)
  rmSync(path)
})

test('fatImage: 20,000 long names in a folder, and no file at all', { skip }, () => {
  const many = Array.from({ length: 20_000 }, (_, index) => ({ path: `all/number ${index}`, content: [] }))
  assert.match(fsck(build('many.img', many, {})), /2000[0-9] files/)
  assert.match(fsck(build('none.img', [], {})), /0 files|1 files/)
})

function build(name: string, list: readonly NamedFile[], options: Partial<FatOptions>): string {
  const path = join(folder, name)
  writeImage(path, fatImage(list, { ...OPTIONS, ...options }))
  return path
}

/** @returns what it says of a file system that it finds no fault in; anything else throws */
function fsck(path: string): string {
  return execFileSync('fsck.fat', ['-n', '-v', path], { encoding: 'utf8' })
}

function bytes(all: Uint8Array) {
  return { kind: 'bytes', bytes: all } as const
}
