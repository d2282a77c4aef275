/** Our partition tables before their judge: sgdisk; and mtools, which read the file system in the first partition. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { fatImage } from '../../src/formats/fat/image.ts'
import { ALIGNMENT_BYTES, gptDisk, SECTOR_BYTES, type Partition } from '../../src/formats/gpt/gpt.ts'
import { missingProgram } from './docker-registry.ts'
import { sampleFiles, writeImage } from './media.ts'

const folder = mkdtempSync(join(tmpdir(), 'bareboat-gpt-'))
after(() => rmSync(folder, { recursive: true, force: true }))
const missing = missingProgram('sgdisk', 'mcopy')
const skip = missing !== undefined && `no ${missing} here`

const GUIDS = ['a0000001-0000-4000-8000-000000000001', 'b0000002-0000-4000-8000-00000000000f'] as const
const { files, bytesOf } = sampleFiles(20)
const hiddenSectors = ALIGNMENT_BYTES / SECTOR_BYTES
const esp: Partition = {
  type: 'efiSystem',
  guid: GUIDS[0],
  name: 'EFI system',
  content: fatImage(files, { label: 'ESP', serial: 7, madeAtSeconds: 1_700_000_000, hiddenSectors }),
}
const data: Partition = {
  type: 'linuxData',
  guid: GUIDS[1],
  name: 'x'.repeat(36),
  content: [{ kind: 'zeros', length: 3_000_001 }],
}

for (const sizeBytes of [undefined, 20_000_000, 5 * 2 ** 40])
  test(`gptDisk: sgdisk finds no fault in a disk of ${sizeBytes ?? 'the least'} bytes`, { skip }, () => {
    const path = join(folder, 'disk.img')
    const options = { guid: 'C0000003-0000-4000-8000-000000000001'.toLowerCase() }
    writeImage(path, gptDisk([esp, data], sizeBytes === undefined ? options : { ...options, sizeBytes }))
    assert.match(run('sgdisk', '-v', path), /No problems found/)
    const printed = run('sgdisk', '-p', path)
    assert.match(printed, /Disk identifier \(GUID\): C0000003-0000-4000-8000-000000000001/)
    assert.match(printed, /^ +1 +2048 +\d+ .* EF00 +EFI system$/m)
    assert.match(printed, /^ +2 .* 8300 +x+/m)
    const second = run('sgdisk', '-i', '2', path)
    assert.match(second, /unique GUID: B0000002-0000-4000-8000-00000000000F/)
    assert.match(second, /Partition name: 'x{36}'/)
    const read = execFileSync('mtype', ['-i', `${path}@@${ALIGNMENT_BYTES}`, '::EFI/BOOT/BOOTX64.EFI'])
    assert.ok(read.equals(bytesOf.get('EFI/BOOT/BOOTX64.EFI')!))
    rmSync(path)
  })

function run(program: string, ...args: string[]): string {
  return execFileSync(program, args, { encoding: 'utf8' })
}
