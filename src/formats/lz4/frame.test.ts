import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { fromHex } from '../../base/bytes.ts'
import { WireError } from '../../base/errors.ts'
import { createLz4Decoder } from './frame.ts'
import { XxHash32 } from './xxhash.ts'

/** Everything that `bytes` decompresses to, fed in pieces of `step`. */
function decode(bytes: Uint8Array, step = 7001): Buffer {
  const decoder = createLz4Decoder()
  const parts: Uint8Array[] = []
  for (let at = 0; at < bytes.length; at += step) parts.push(...decoder.push(bytes.subarray(at, at + step)))
  decoder.end()
  return Buffer.concat(parts)
}

const hashes = [
  { name: 'nothing', text: '', hash: 0x02cc5d05 },
  { name: 'one byte', text: 'a', hash: 0x550d7456 },
  { name: 'three bytes', text: 'abc', hash: 0x32d153ff },
  { name: 'more than a stripe', text: 'Nobody inspects the spammish repetition', hash: 0xe2293b2f },
]
for (const c of hashes)
  test(`xxHash32 of ${c.name}`, () => {
    assert.equal(new XxHash32().update(Buffer.from(c.text)).digest(), c.hash)
    const bytewise = new XxHash32()
    for (const byte of Buffer.from(c.text)) bytewise.update(Uint8Array.of(byte))
    assert.equal(bytewise.digest(), c.hash)
  })

const frames = [
  {
    name: 'a stored block',
    hex: '04224d186440a7' + '05000080' + '68656c6c6f' + '00000000' + 'f9cd7700',
    fails: /content checksum/,
  },
  { name: 'no magic', hex: '00000000', fails: /does not begin with the magic/ },
  { name: 'nothing', hex: '', fails: /does not begin with the magic/ },
  { name: 'a header checksum that is wrong', hex: '04224d186440a8', fails: /header checksum/ },
  { name: 'a reserved bit', hex: '04224d186640a7', fails: /version or block size/ },
  { name: 'a cut header', hex: '04224d1864', fails: /ends within a frame/ },
  { name: 'a block that is too long', hex: '04224d186440a7' + 'ffffff7f', fails: /longer than 65536/ },
  {
    name: 'a match before the beginning',
    hex: '04224d186440a7' + '04000000' + '10610500',
    fails: /before the beginning/,
  },
  { name: 'an empty skippable frame', hex: '502a4d1800000000', plain: '' },
]
for (const c of frames)
  test(`lz4: ${c.name}`, () => {
    if (c.fails)
      assert.throws(
        () => decode(fromHex(c.hex)),
        (error: Error) => error instanceof WireError && c.fails.test(error.message),
      )
    else assert.equal(decode(fromHex(c.hex)).toString(), c.plain)
  })

const hasLz4 = spawnSync('lz4', ['--version']).status === 0
const sample = Buffer.alloc(5_000_000)
for (let i = 0; i < sample.length; i++) sample[i] = i % 1000 < 500 ? (i * i) >> 11 : 7
for (const flags of [
  [],
  ['-9'],
  ['-B4'],
  ['-B4', '-BD'],
  ['-B5', '-BX'],
  ['--no-frame-crc'],
  ['--content-size'],
  ['-l'],
  ['-B7', '-BD', '-9'],
])
  test(`lz4 ${flags.join(' ')}: what the lz4 program made comes back`, { skip: !hasLz4 && 'no lz4 program' }, () => {
    const made = spawnSync('lz4', ['-c', ...flags], { input: sample, maxBuffer: 1 << 26 })
    assert.equal(made.status, 0, String(made.stderr))
    assert.ok(decode(made.stdout).equals(sample))
    const twice = Buffer.concat([made.stdout, made.stdout])
    assert.ok(decode(twice, 1 << 20).equals(Buffer.concat([sample, sample])))
    assert.throws(() => decode(made.stdout.subarray(0, -5)), WireError)
  })
