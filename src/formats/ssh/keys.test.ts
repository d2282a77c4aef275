import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { dropbearPrivateKey, generateKey, keyFromSeed, opensshPrivateKey, publicKeyLine } from './keys.ts'

test('opensshPrivateKey is read by ssh-keygen and gives our public key', () => {
  const dir = mkdtempSync(join(tmpdir(), 'bareboat-key-'))
  try {
    const key = generateKey()
    const path = join(dir, 'key')
    writeFileSync(path, opensshPrivateKey(key), { mode: 0o600 })
    const line = execFileSync('ssh-keygen', ['-y', '-f', path]).toString().trim()
    assert.equal(line.split(' ').slice(0, 2).join(' '), publicKeyLine(key.publicKey))
  } finally {
    rmSync(dir, { recursive: true })
  }
})

test('keyFromSeed is the key that was generated, in dropbear form 83 bytes', () => {
  const key = generateKey()
  assert.deepEqual(keyFromSeed(key.seed), key)
  assert.equal(dropbearPrivateKey(key).length, 4 + 11 + 4 + 64)
})
