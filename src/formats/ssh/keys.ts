/** Ed25519 keys in the forms that SSH programs read (RFC 8709; dropbear's and OpenSSH's private key files). */
import { createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto'
import { Writer, concatBytes, fromHex, toHex } from '../../base/bytes.ts'

const ALGORITHM = 'ssh-ed25519'
/** DER of PKCS #8 up to the 32-byte seed (RFC 8410 §7). */
const PKCS8_PREFIX = fromHex('302e020100300506032b657004220420')

export interface Ed25519Key {
  /** 32 bytes each. */
  readonly seed: Uint8Array
  readonly publicKey: Uint8Array
}

export function generateKey(): Ed25519Key {
  const { privateKey } = generateKeyPairSync('ed25519')
  return keyFromSeed(new Uint8Array(privateKey.export({ format: 'der', type: 'pkcs8' })).slice(PKCS8_PREFIX.length))
}

/** @param seed 32 bytes */
export function keyFromSeed(seed: Uint8Array): Ed25519Key {
  const privateKey = createPrivateKey({
    key: Buffer.from(concatBytes(PKCS8_PREFIX, seed)),
    format: 'der',
    type: 'pkcs8',
  })
  const spki = createPublicKey(privateKey).export({ format: 'der', type: 'spki' })
  return { seed, publicKey: new Uint8Array(spki).slice(-32) }
}

/** The public key as it goes over the wire (RFC 8709 §4). */
export function publicKeyBlob(publicKey: Uint8Array): Uint8Array {
  return new Writer().bytes(sshString(ALGORITHM)).bytes(sshString(publicKey)).done()
}

/** A line of authorized_keys or known_hosts: `ssh-ed25519 AAAA…`. */
export function publicKeyLine(publicKey: Uint8Array): string {
  return `${ALGORITHM} ${Buffer.from(publicKeyBlob(publicKey)).toString('base64')}`
}

/** Dropbear's own host key file: the algorithm, then seed and public key as one string. */
export function dropbearPrivateKey(key: Ed25519Key): Uint8Array {
  return new Writer()
    .bytes(sshString(ALGORITHM))
    .bytes(sshString(concatBytes(key.seed, key.publicKey)))
    .done()
}

/** An unencrypted `openssh-key-v1` file (OpenSSH's PROTOCOL.key). */
export function opensshPrivateKey(key: Ed25519Key): string {
  const check = randomBytes(4)
  const secret = new Writer()
    .bytes(check)
    .bytes(check)
    .bytes(sshString(ALGORITHM))
    .bytes(sshString(key.publicKey))
    .bytes(sshString(concatBytes(key.seed, key.publicKey)))
    .bytes(sshString(''))
  for (let pad = 1; secret.length % 8 !== 0; pad++) secret.u8(pad)
  const body = new Writer()
    .utf8('openssh-key-v1\0')
    .bytes(sshString('none'))
    .bytes(sshString('none'))
    .bytes(sshString(''))
    .u32(1)
    .bytes(sshString(publicKeyBlob(key.publicKey)))
    .bytes(sshString(secret.done()))
    .done()
  const lines = Buffer.from(body)
    .toString('base64')
    .match(/.{1,70}/g)!
    .join('\n')
  return `-----BEGIN OPENSSH PRIVATE KEY-----\n${lines}\n-----END OPENSSH PRIVATE KEY-----\n`
}

/** Hexadecimal seed and public key, the form that a store keeps. */
export function keyToHex(key: Ed25519Key): { seed: string; publicKey: string } {
  return { seed: toHex(key.seed), publicKey: toHex(key.publicKey) }
}

function sshString(value: string | Uint8Array): Uint8Array {
  const bytes = typeof value === 'string' ? new TextEncoder().encode(value) : value
  return new Writer().u32(bytes.length).bytes(bytes).done()
}
