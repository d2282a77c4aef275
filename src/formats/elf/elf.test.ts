import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Writer } from '../../base/bytes.ts'
import { parseElf } from './elf.ts'
import { moduleName, parseModinfo, parseModule } from './modinfo.ts'
import { sampleElf } from './sample.ts'

test('parseElf reads sections, needed libraries and the interpreter', () => {
  const elf = parseElf(
    sampleElf({ needed: ['libc.so.6', 'libz.so.1'], interpreter: '/lib64/ld.so', modinfo: 'name=a\0' }),
  )
  assert.equal(elf.machine, 62)
  assert.deepEqual(elf.needed, ['libc.so.6', 'libz.so.1'])
  assert.equal(elf.interpreter, '/lib64/ld.so')
  assert.equal(new TextDecoder().decode(elf.sections.get('.modinfo')), 'name=a\0')
})

test('parseElf reads the program that runs this test', async () => {
  const { readFile } = await import('node:fs/promises')
  const elf = parseElf(await readFile(process.execPath))
  assert.ok(elf.needed.includes('libc.so.6'))
  assert.match(elf.interpreter ?? '', /ld-linux/)
})

test('parseElf refuses what is not 64-bit little-endian ELF', () => {
  assert.throws(() => parseElf(new Writer().utf8('#!/bin/sh\n').zeros(64).done()), /no .x7fELF/)
  const wide = sampleElf({ needed: [], modinfo: 'name=a\0' })
  wide[5] = 2
  assert.throws(() => parseElf(wide), /not 64-bit little-endian/)
})

test('parseModule reads dependencies, aliases and firmware', () => {
  const modinfo =
    'name=tun-x\0depends=mii,ptp-core\0alias=pci:v1d2*\0alias=tun\0firmware=a/b.bin\0softdep=pre: crc32\0vermagic=6.12\0'
  assert.deepEqual(parseModule(sampleElf({ needed: [], modinfo })), {
    name: 'tun_x',
    depends: ['mii', 'ptp_core'],
    aliases: ['pci:v1d2*', 'tun'],
    firmware: ['a/b.bin'],
    softdeps: ['pre: crc32'],
    vermagic: '6.12',
  })
  assert.throws(() => parseModule(sampleElf({ needed: [], modinfo: 'depends=\0' })), /has no name/)
})

test('parseModinfo skips strings that are no key=value', () => {
  assert.deepEqual(parseModinfo(new TextEncoder().encode('a=b=c\0junk\0=x\0')), [['a', 'b=c']])
  assert.equal(moduleName('snd-hda-intel'), 'snd_hda_intel')
})
