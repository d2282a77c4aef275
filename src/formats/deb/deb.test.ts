import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseAr } from './ar.ts'
import { dependencyNames, parseStanzas } from './control.ts'
import { parseDeb } from './deb.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

function ar(...members: [name: string, body: string][]): Uint8Array {
  const parts = members.map(([name, body]) => {
    const header = `${name.padEnd(16)}${'0'.padEnd(12)}${'0'.padEnd(6)}${'0'.padEnd(6)}${'100644'.padEnd(8)}${String(body.length).padEnd(10)}\`\n`
    return header + body + (body.length % 2 === 1 ? '\n' : '')
  })
  return bytes(`!<arch>\n${parts.join('')}`)
}

test('parseDeb finds the two archives and how they are packed', () => {
  const deb = parseDeb(ar(['debian-binary', '2.0\n'], ['control.tar.zst', 'c'], ['data.tar.xz', 'dd']))
  assert.deepEqual([deb.control.compression, deb.data.compression], ['zstd', 'xz'])
  assert.equal(new TextDecoder().decode(deb.data.bytes), 'dd')
})

const brokenDebs = [
  { name: 'no ar', bytes: bytes('PK\x03\x04xxxx'), error: /no !<arch>/ },
  { name: 'first member', bytes: ar(['control.tar.gz', 'c']), error: /first member is not debian-binary/ },
  { name: 'format 3', bytes: ar(['debian-binary', '3.0\n']), error: /unknown format "3.0/ },
  { name: 'no data', bytes: ar(['debian-binary', '2.0\n'], ['control.tar', 'c']), error: /no data.tar/ },
  { name: 'lzma', bytes: ar(['debian-binary', '2.0\n'], ['control.tar.lzma', 'c']), error: /packed as ".lzma"/ },
  { name: 'cut', bytes: ar(['debian-binary', '2.0\n']).subarray(0, 70), error: /4 bytes needed, 2 left/ },
  { name: 'size', bytes: bytes(`!<arch>\n${'x'.padEnd(48)}${'-1'.padEnd(10)}\`\n`), error: /header of member 1/ },
]
for (const c of brokenDebs)
  test(`parseDeb refuses: ${c.name}`, () =>
    assert.throws(() => parseDeb(c.bytes), { name: 'WireError', message: c.error }))

test('parseAr bounds the number of members', () => {
  const many = Array.from({ length: 17 }, (_, i): [string, string] => [`m${i}`, ''])
  assert.throws(() => parseAr(ar(...many)), /more than 16 members/)
})

test('parseStanzas joins folded lines and parts stanzas at empty lines', () => {
  const [a, b] = parseStanzas('Package: a\nDescription: one\n two\n\nPackage: b\n')
  assert.equal(a?.get('description'), 'one\ntwo')
  assert.equal(b?.get('package'), 'b')
  assert.throws(() => parseStanzas('what is this'), { name: 'WireError' })
  assert.throws(() => parseStanzas(' folded'), { name: 'WireError' })
})

test('dependencyNames takes the first alternative and drops versions', () => {
  assert.deepEqual(dependencyNames('libc6 (>= 2.38), debconf (>= 0.5) | debconf-2.0, libc6, python3:any'), [
    'libc6',
    'debconf',
    'python3',
  ])
  assert.deepEqual(dependencyNames(''), [])
})
