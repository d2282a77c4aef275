/**
 * Names in archives are bytes, not text: two names that differ in a byte that is not UTF-8 are two names. A ByteString holds
 * them without loss, one character (0..255) for each byte, so that `<`, `===`, Map keys and `split('/')` work as on bytes.
 */

/** A string whose characters are all 0..255, each standing for one byte (ISO 8859-1). */
export type ByteString = string

const encoder = new TextEncoder()
const strict = new TextDecoder('utf-8', { fatal: true })

export function byteString(bytes: Uint8Array): ByteString {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
}

/** The bytes that a ByteString stands for. */
export function bytesOf(value: ByteString): Uint8Array {
  return new Uint8Array(Buffer.from(value, 'latin1'))
}

/** Ordinary text as a ByteString of its UTF-8. Use it for names that a person or a document gives. */
export function byteStringOf(text: string): ByteString {
  return byteString(encoder.encode(text))
}

/** Whether the bytes are valid UTF-8. */
export function isUtf8(value: ByteString): boolean {
  return textOf(value) !== undefined
}

/** The UTF-8 text that the bytes spell, or undefined where they are not UTF-8. */
export function textOf(value: ByteString): string | undefined {
  if (/^[\x00-\x7f]*$/.test(value)) return value
  try {
    return strict.decode(bytesOf(value))
  } catch {
    return undefined
  }
}

/**
 * A name for people: UTF-8 as text, what is not UTF-8 and control characters as `\xHH`, cut after 300 characters. Never
 * parse it back. The root (the empty path) is shown as `/`.
 */
export function displayPath(path: ByteString): string {
  if (path === '') return '/'
  const text = textOf(path)
  const shown =
    text === undefined
      ? path.replace(/[\x00-\x1f\x7f-\xff]/g, escapeByte)
      : text.replace(/[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, escapeCharacter)
  return shown.length > 300 ? `${shown.slice(0, 297)}...` : shown
}

function escapeByte(character: string): string {
  return `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`
}

function escapeCharacter(character: string): string {
  const code = character.charCodeAt(0)
  return code < 0x80 ? escapeByte(character) : `\\u${code.toString(16).padStart(4, '0')}`
}
