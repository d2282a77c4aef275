/** The images in the storage of a PiKVM: files in one folder, each there whole or not at all. */
import { createWriteStream, mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { PikvmError } from './error.ts'

export interface Storage {
  /** From name to bytes. */
  list(): ReadonlyMap<string, number>
  /** @throws {PikvmError} when the name is none */
  pathOf(name: string): string
  /**
   * Writes an image.
   * @param sizeBytes how long it is
   * @param progress told how many bytes are there
   * @throws {PikvmError} when it is there already, too large, or not as long as that; nothing is left then
   */
  write(
    name: string,
    bytes: AsyncIterable<Uint8Array>,
    sizeBytes: number,
    progress?: (written: number) => void,
  ): Promise<void>
  /** @throws {PikvmError} when there is none */
  remove(name: string): void
}

const NAME = /^[A-Za-z0-9_][A-Za-z0-9_.+ -]{0,254}$/
const PART = '.part'
const IMAGES_MAX = 64
const BYTES_MAX = 16 * 1024 ** 3

export function openStorage(folder: string): Storage {
  const writing = new Set<string>()
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  // What a keeper that crashed has left.
  for (const name of readdirSync(folder)) if (name.startsWith(PART)) rmSync(join(folder, name))

  function pathOf(name: string): string {
    if (NAME.test(name)) return join(folder, name)
    throw new PikvmError(
      'ValidatorError',
      `The argument ${JSON.stringify(name.slice(0, 64))} is not a valid image name`,
    )
  }

  function list(): Map<string, number> {
    const names = readdirSync(folder).filter((name) => !name.startsWith(PART))
    return new Map(names.toSorted().map((name) => [name, statSync(join(folder, name)).size]))
  }

  return {
    list,
    pathOf,
    async write(name, bytes, sizeBytes, progress = () => {}) {
      const path = pathOf(name)
      const images = list()
      if (images.has(name) || writing.has(name))
        throw new PikvmError('MsdImageExistsError', 'This image is already exists')
      const used = [...images.values()].reduce((sum, size) => sum + size, 0)
      if (images.size + writing.size >= IMAGES_MAX || used + sizeBytes > BYTES_MAX)
        throw new PikvmError('MsdError', 'Not enough space in the storage')
      const part = join(folder, `${PART}-${name}`)
      writing.add(name)
      try {
        let written = 0
        const counted = async function* (): AsyncGenerator<Uint8Array> {
          for await (const chunk of bytes) {
            written += chunk.length
            if (written > sizeBytes) throw new PikvmError('MsdError', 'The image is longer than it was said to be')
            yield chunk
            progress(written)
          }
        }
        await pipeline(counted, createWriteStream(part, { mode: 0o600 }))
        if (written < sizeBytes) throw new PikvmError('MsdError', 'The image is shorter than it was said to be')
        renameSync(part, path)
      } finally {
        writing.delete(name)
        rmSync(part, { force: true })
      }
    },
    remove(name) {
      const path = pathOf(name)
      if (!list().has(name)) throw new PikvmError('MsdUnknownImageError', 'The image is not found in the storage')
      rmSync(path)
    },
  }
}
