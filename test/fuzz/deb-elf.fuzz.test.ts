/** Debian packages and their control data, ELF files and modules: a value or a WireError, nothing else. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WireError } from '../../src/base/errors.ts'
import { dependencyNames, parseStanzas } from '../../src/formats/deb/control.ts'
import { parseDeb } from '../../src/formats/deb/deb.ts'
import { parseElf } from '../../src/formats/elf/elf.ts'
import { parseModule } from '../../src/formats/elf/modinfo.ts'
import { sampleElf } from '../../src/formats/elf/sample.ts'

const SEED = 0x6b6974
const ROUNDS = 25_000
const INTERESTING = [0, 1, 0x7f, 0x80, 0xff]

const header = (name: string, size: number): string =>
  `${name.padEnd(16)}${'0'.padEnd(32)}${String(size).padEnd(10)}\`\n`
const DEB = Buffer.from(
  `!<arch>\n${header('debian-binary', 4)}2.0\n${header('control.tar.xz', 2)}cc${header('data.tar.zst', 2)}dd`,
)
const ELF = sampleElf({
  needed: ['libc.so.6'],
  interpreter: '/lib/ld.so',
  modinfo: 'name=a\0depends=b,c\0alias=pci:*\0',
})
const CONTROL = Buffer.from('Package: a\nDepends: libc6 (>= 2), b | c\nDescription: x\n y\n\nPackage: b\n')

const parsers: { name: string; sample: Uint8Array; parse: (bytes: Uint8Array) => unknown }[] = [
  { name: 'parseDeb', sample: DEB, parse: parseDeb },
  { name: 'parseElf', sample: ELF, parse: parseElf },
  { name: 'parseModule', sample: ELF, parse: parseModule },
  {
    name: 'parseStanzas',
    sample: CONTROL,
    parse: (bytes) =>
      parseStanzas(Buffer.from(bytes).toString('latin1')).map((s) => dependencyNames(s.get('depends') ?? '')),
  },
]

for (const { name, sample, parse } of parsers)
  test(`${name} gives a value or a WireError (seed ${SEED}, ${ROUNDS} rounds)`, () => {
    const random = generator(SEED)
    let refused = 0
    assert.doesNotThrow(() => parse(sample))
    for (let round = 0; round < ROUNDS; round++) {
      const bytes = mutated(sample, random)
      try {
        parse(bytes)
      } catch (error) {
        if (!(error instanceof WireError)) assert.fail(`${String(error)} on ${Buffer.from(bytes).toString('hex')}`)
        refused++
      }
    }
    assert.ok(refused > 0 && refused < ROUNDS, `${refused} of ${ROUNDS} refused`)
  })

function mutated(sample: Uint8Array, random: () => number): Uint8Array {
  const pick = random() % 10
  if (pick === 0) return Uint8Array.from({ length: random() % 300 }, () => random() & 0xff)
  const bytes = new Uint8Array(sample).slice(0, pick === 1 ? random() % (sample.length + 1) : sample.length)
  for (let i = random() % 4; i >= 0 && bytes.length > 0; i--)
    bytes[random() % bytes.length] = random() % 2 === 0 ? INTERESTING[random() % INTERESTING.length]! : random() & 0xff
  return bytes
}

function generator(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state >>> 8
  }
}
