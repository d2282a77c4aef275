/** Small files that must be whole or not there at all, whatever happens to the machine, and directories that outlast a power cut. */
import { randomBytes } from 'node:crypto'
import {
  closeSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  type Stats,
} from 'node:fs'
import { stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { systemCode } from '../base/errors.ts'

/**
 * Reads a file that only its owner may read, making it when it does not exist. It gets its name only once it is whole and on the
 * disk; of two that make it at once, one wins and both read the same.
 * @param make its content, for the first time
 */
export function readOrMakeFile(path: string, make: () => Uint8Array | string): Buffer {
  try {
    return readFileSync(path)
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error
  }
  makeDirectory(dirname(path))
  const fresh = `${path}.${randomBytes(6).toString('hex')}`
  try {
    writeFileSync(fresh, make(), { mode: 0o600, flag: 'wx', flush: true })
    try {
      linkSync(fresh, path)
    } catch (error) {
      if (systemCode(error) !== 'EEXIST') throw error
    }
  } finally {
    rmSync(fresh, { force: true })
  }
  syncDirectory(dirname(path))
  return readFileSync(path)
}

/** Makes a directory, and those above it that are missing, for its owner alone. Their names are on the disk when it returns. */
export function makeDirectory(path: string): void {
  const first = mkdirSync(path, { recursive: true, mode: 0o700 })
  if (first === undefined) return
  for (let at = resolve(path); ; at = dirname(at)) {
    syncDirectory(dirname(at))
    if (at === resolve(first)) return
  }
}

/** Makes the names in a directory durable. */
export function syncDirectory(path: string): void {
  const directory = openSync(path, 'r')
  try {
    fsyncSync(directory)
  } finally {
    closeSync(directory)
  }
}

/** Undefined where there is no such file. */
export async function statOfFile(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path)
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined
    throw error
  }
}

/** Bytes of a file; undefined where there is none. */
export async function sizeOfFile(path: string): Promise<number | undefined> {
  return (await statOfFile(path))?.size
}
