/**
 * Seals secrets before they enter the database: AES-256-GCM under a key that lives in a file of its own (0600), outside the
 * database, so that a copy of the database alone gives nothing away.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { AppError } from '../../base/errors.ts'
import type { SecretBox } from '../../services/ports.ts'
import { readOrMakeFile } from '../files.ts'

const KEY_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16

/**
 * Opens the key file, making it with a new key when it does not exist.
 * @throws {AppError} internal when the file is not a key of 32 bytes
 */
export function openSecretBox(keyPath: string): SecretBox {
  const key = readOrMakeKey(keyPath)
  return {
    seal(secret, context) {
      const nonce = randomBytes(NONCE_BYTES)
      const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(context))
      const body = Buffer.concat([cipher.update(secret, 'utf8'), cipher.final()])
      return Buffer.concat([nonce, cipher.getAuthTag(), body]).toString('base64')
    },
    open(sealed, context) {
      const bytes = Buffer.from(sealed, 'base64')
      try {
        const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, NONCE_BYTES))
          .setAAD(Buffer.from(context))
          .setAuthTag(bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES))
        return decipher.update(bytes.subarray(NONCE_BYTES + TAG_BYTES), undefined, 'utf8') + decipher.final('utf8')
      } catch (cause) {
        throw new AppError('internal', `Cannot open the secret of "${context}": "${keyPath}" is not its key`, { cause })
      }
    },
  }
}

function readOrMakeKey(keyPath: string): Buffer {
  const key = readOrMakeFile(keyPath, () => randomBytes(KEY_BYTES))
  if (key.length !== KEY_BYTES)
    throw new AppError('internal', `Cannot use key file "${keyPath}": ${key.length} bytes, wanted ${KEY_BYTES}`)
  return key
}
