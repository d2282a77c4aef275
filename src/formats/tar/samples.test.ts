/** Go's tar samples (test/packets/tar) against the facts that Go's own tests and GNU tar state of them. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { createTarIndexer } from './indexer.ts'
import type { LayerEntry, LayerIndex } from './layer-index.ts'

const FOLDER = new URL('../../../test/packets/tar/', import.meta.url)

/** `kind mode uid gid mtime size path [-> target]`, one line each, or the error. */
const SAMPLES: Record<string, string[] | RegExp> = {
  'file-and-dir.tar': ['file 0 0 0 0 5 small.txt', 'directory 0 0 0 0 0 dir'],
  'gnu-incremental.tar': [
    'directory 755 1000 1000 1441973427 0 test2',
    'file 644 1000 1000 1441973363 64 test2/foo',
    'file 644 1000 1000 1441973427 536870912 test2/sparse',
  ],
  'gnu-long-nul.tar': ['file 644 1000 1000 1486082191 0 0123456789'],
  'gnu-multi-hdrs.tar': ['symlink 0 0 0 0 0 GNU2/GNU2/long-path-name -> GNU4/GNU4/long-linkpath-name'],
  'gnu-nil-sparse-data.tar': ['file 0 0 0 0 1000 sparse.db'],
  'gnu-nil-sparse-hole.tar': ['file 0 0 0 0 1000 sparse.db'],
  'gnu-not-utf8.tar': ['file 644 1000 1000 0 0 hi\x80\x81\x82\x83bye'],
  'gnu-sparse-big.tar.base64': ['file 0 0 0 0 60000000000 gnu-sparse'],
  'gnu-sparse-many-zeros.tar.bz2': /"sparse" at offset 0: a sparse map of more than 1048576 bytes/,
  'gnu-utf8.tar': [`file 644 1000 1000 0 0 ${Buffer.from(`${'☺☻☹'.repeat(18)}`).toString('latin1')}`],
  'gnu.tar': ['file 640 73025 5000 1244428340 5 small.txt', 'file 640 73025 5000 1244436044 11 small2.txt'],
  'hardlink.tar': [
    'file 644 1000 100 1425484303 15 file.txt',
    'hardlink 644 1000 100 1425484303 0 hard.txt -> file.txt',
  ],
  'hdr-only.tar': Array.from({ length: 2 }, () => [
    'directory 750 319973 5000 1442273732 0 dir',
    'fifo 640 319973 5000 1442273806 0 fifo',
    'file 640 319973 5000 1442273747 46 file',
    'hardlink 640 319973 5000 1442273747 0 hardlink -> file',
    'character 666 319973 5000 1442264573 0 null 1:3',
    'block 660 319973 5000 1442264573 0 sda 8:0',
    'symlink 777 319973 5000 1442273756 0 symlink -> file',
    'symlink 777 319973 5000 1442274044 0 badlink -> missing',
  ]).flat(),
  'invalid-go17.tar': [`file 0 2097152 0 0 0 ${'a'.repeat(97)}/foo`],
  'issue10968.tar': /offset 0: mode is beyond/,
  'issue11169.tar': /a PAX record of 30 bytes does not end in a newline/,
  'issue12435.tar': /offset 0: mode is beyond/,
  'neg-size.tar.base64': /offset 0: mode is beyond/,
  'nil-uid.tar': ['file 664 0 0 1365454838 14 P1050238.JPG.log'],
  'pax-bad-hdr-file.tar': /a PAX record of 33 bytes does not end in a newline/,
  'pax-bad-hdr-large.tar.bz2': /an extended header of 1048577 bytes, at most 1048576/,
  'pax-bad-mtime-file.tar': /"foo" at offset 0: mtime is not a time/,
  // Go leaves global records to its caller; POSIX (and GNU tar for the name) applies them.
  'pax-global-records.tar': [
    'file 0 0 0 1500000000 0 global1',
    'file 0 0 0 1500000000 0 file2',
    'file 0 0 0 1500000000 0 file3',
    'file 0 0 0 1400000000 0 file4',
  ],
  'pax-multi-hdrs.tar': ['symlink 0 0 0 0 0 bar -> PAX4/PAX4/long-linkpath-name'],
  'pax-nil-sparse-data.tar': ['file 0 0 0 0 1000 sparse.db'],
  'pax-nil-sparse-hole.tar': ['file 0 0 0 0 1000 sparse.db'],
  'pax-nul-path.tar': /a NUL in the PAX record path/,
  'pax-nul-xattrs.tar': /a PAX record with an empty key, or a NUL in it/,
  'pax-path-hdr.tar': /the archive ends within it/,
  'pax-pos-size-file.tar': ['file 640 319973 5000 1442282516 999 foo'],
  'pax-records.tar': ['file 0 0 0 0 0 file'],
  'pax-sparse-big.tar.base64': ['file 0 0 0 0 60000000000 pax-sparse'],
  'pax.tar': [
    `file 664 1000 1000 1350244992.023960108 7 a/${oneToHundred()}`,
    `symlink 777 1000 1000 1350266320.910238425 0 a/b -> ${oneToHundred()}`,
  ],
  'sparse-formats.tar': [
    'file 644 1000 1000 1392395740 200 sparse-gnu',
    'file 644 1000 1000 1392342187 200 sparse-posix-0.0',
    'file 644 1000 1000 1392340456 200 sparse-posix-0.1',
    'file 644 1000 1000 1392337404 200 sparse-posix-1.0',
    'file 644 1000 1000 1392398319 4 end',
  ],
  'star.tar': ['file 640 73025 5000 1244592783 5 small.txt', 'file 640 73025 5000 1244592783 11 small2.txt'],
  'trailing-slash.tar': [`directory 0 0 0 0 0 ${Array(30).fill('123456789').join('/')}`],
  'ustar-file-devs.tar': ['file 644 0 0 0 0 file'],
  'ustar-file-reg.tar': ['file 640 319973 5000 1442282516 684 foo'],
  'ustar.tar': [`file 644 501 20 1360135598 6 ${'longname/'.repeat(15)}file.txt`],
  'v7.tar': ['file 444 73025 5000 1244593104 5 small.txt', 'file 444 73025 5000 1244593104 11 small2.txt'],
  'writer-big-long.tar.base64': /16gig.txt" at offset 0: the archive ends within it/,
  'writer-big.tar': /"tmp\/16gig.txt" at offset 0: the archive ends within it/,
  'writer.tar': [
    'file 640 73025 5000 1246508266 5 small.txt',
    'file 640 73025 5000 1245217492 11 small2.txt',
    'symlink 777 1000 1000 1314603082 0 link.txt -> small.txt',
  ],
  'xattrs.tar': [
    'file 644 1000 10 1386065770.448252320 5 small.txt [security.selinux=unconfined_u:object_r:default_t:s0\0 user.key=value user.key2=value2]',
    'file 644 1000 10 1386065770.449252304 11 small2.txt [security.selinux=unconfined_u:object_r:default_t:s0\0]',
  ],
}

for (const [name, expected] of Object.entries(SAMPLES))
  test(`createTarIndexer reads Go's sample ${name} as Go does`, (t) => {
    const bytes = sample(name)
    if (bytes === undefined) return t.skip('bzip2 is not installed')
    if (expected instanceof RegExp) return assert.throws(() => indexOf(bytes), { name: 'WireError', message: expected })
    assert.deepEqual(indexOf(bytes).entries.map(describe), expected)
    // Cut anywhere, the stream gives the same index.
    for (const step of [1, 511, 513, 4096])
      assert.deepEqual(indexOf(bytes, step), indexOf(bytes), `in pieces of ${step}`)
  })

test('all samples of the folder are in the table', () => {
  const files = readdirSync(FOLDER).filter((name) => name !== 'README.md')
  assert.deepEqual(files.sort(), Object.keys(SAMPLES).sort())
})

test('the four sparse formats give the same content', () => {
  const bytes = sample('sparse-formats.tar')!
  const sums = indexOf(bytes).entries.map((entry) => createHash('md5').update(contentOf(entry, bytes)).digest('hex'))
  const sparse = '6f53234398c2449fe67c1812d993012f'
  assert.deepEqual(sums, [sparse, sparse, sparse, sparse, 'b0061974914468de549a2af8ced10316'])
})

test('a cut archive is refused wherever an entry is not whole', () => {
  const bytes = sample('sparse-formats.tar')!
  const dataEnds = indexOf(bytes).entries.map((entry) => {
    const last = entry.data.at(-1)!
    return { from: last.offset + last.length, to: Math.ceil((last.offset + last.length) / 512) * 512 }
  })
  const isAllowed = (length: number): boolean =>
    length === 0 ||
    dataEnds.some(({ from, to }) => length >= from && length <= to) ||
    (length >= 16896 && (length % 512 === 0 || length > 16896 + 1024))
  for (let length = 0; length < bytes.length; length += 1) {
    const cut = (): LayerIndex => indexOf(bytes.subarray(0, length))
    if (isAllowed(length)) assert.doesNotThrow(cut, `${length}`)
    else assert.throws(cut, /the archive ends within it/, `${length}`)
  }
})

function sample(name: string): Buffer | undefined {
  const bytes = readFileSync(new URL(name, FOLDER))
  if (name.endsWith('.base64')) return Buffer.from(bytes.toString('latin1'), 'base64')
  if (!name.endsWith('.bz2')) return bytes
  try {
    return execFileSync('bzip2', ['-dc'], { input: bytes, maxBuffer: 64 * 1024 * 1024 })
  } catch {
    return undefined
  }
}

function indexOf(bytes: Uint8Array, step = bytes.length): LayerIndex {
  const indexer = createTarIndexer()
  for (let at = 0; at < bytes.length; at += step) {
    // A buffer that is overwritten afterwards, as a reader's buffers are.
    const piece = Uint8Array.from(bytes.subarray(at, at + step))
    indexer.push(piece)
    piece.fill(0xaa)
  }
  return indexer.end()
}

function describe(entry: LayerEntry): string {
  const { kind, mode, uid, gid, mtimeSeconds, mtimeNanoseconds: ns, size, path, target, xattrs } = entry
  const time = ns === 0 ? `${mtimeSeconds}` : `${mtimeSeconds}.${String(ns).padStart(9, '0')}`
  const device = kind === 'character' || kind === 'block' ? ` ${entry.deviceMajor}:${entry.deviceMinor}` : ''
  const link = target === '' ? '' : ` -> ${target}`
  const attributes = [...xattrs].map(([name, value]) => `${name}=${Buffer.from(value).toString('latin1')}`)
  const tail = attributes.length === 0 ? '' : ` [${attributes.join(' ')}]`
  return `${kind} ${mode.toString(8)} ${uid} ${gid} ${time} ${size} ${path}${device}${link}${tail}`
}

function contentOf(entry: LayerEntry, blob: Uint8Array): Buffer {
  const content = Buffer.alloc(entry.size)
  for (const run of entry.data) content.set(blob.subarray(run.offset, run.offset + run.length), run.at)
  return content
}

function oneToHundred(): string {
  return Array.from({ length: 100 }, (_, index) => index + 1).join('')
}
