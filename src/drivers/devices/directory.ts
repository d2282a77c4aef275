/**
 * Maps of block devices as files, named for the image that they are of. Threads that serve machines open them by their path. A
 * map is written aside, synced and renamed, so that a reader has the old one or the new one, whole.
 */
import { open, readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { AppError, WireError, systemCode } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import { LITERALS, parseExtentRows, serializeExtentRows, storedRowsBytes } from '../../formats/extent-map.ts'
import type { ExtentMap, StoredRows } from '../../formats/extent-map.ts'
import { digestParts, isDigest, type Digest } from '../../formats/oci/digest.ts'
import type { DeviceStore, StoredDevice } from '../../services/store/ports.ts'
import { ASIDE, makeDirectory, replaceFile, syncDirectory } from '../durable.ts'

export interface DeviceDirectory extends DeviceStore {
  /** Stores a map, replacing one of the same name. It is durable when the promise resolves. @returns its path */
  put(name: string, map: ExtentMap): Promise<string>
  has(name: string): Promise<boolean>
  /** The rows; literal bytes stay in the file. @throws {AppError} not_found; internal when it is damaged */
  open(name: string): Promise<StoredRows>
  /** Where the map lies, or would. */
  path(name: string): string
}

const SUFFIX = '.map'
const NAME = /^(sha256-[0-9a-f]{64}|sha512-[0-9a-f]{128})(\.[a-z0-9][a-z0-9-]{0,31})?$/
/** What storedRowsBytes needs. */
const HEAD_BYTES = 64

/**
 * The name of an image's device.
 * @param variant tells several devices of one image apart: lower-case letters, digits and `-`
 */
export function deviceName(imageId: Digest, variant?: string): string {
  const { algorithm, hex } = digestParts(imageId)
  return checked(`${algorithm}-${hex}${variant === undefined ? '' : `.${variant}`}`)
}

/** Opens the directory, which need not be there, and clears away what a killed process has left in it. */
export async function openDeviceDirectory(directory: string, log: Log): Promise<DeviceDirectory> {
  await makeDirectory(directory)
  for (const name of await readdir(directory)) {
    if (!name.startsWith(ASIDE)) continue
    log.info('unfinished device map dropped', { name })
    await rm(join(directory, name), { force: true })
  }
  const pathOf = (name: string): string => join(directory, checked(name) + SUFFIX)

  return {
    async put(name, map) {
      const path = pathOf(name)
      await replaceFile(path, [serializeExtentRows(map), map.literals])
      return path
    },
    has: async (name) => (await sizeOfFile(pathOf(name))) !== undefined,
    open: (name) => readRows(name, pathOf(name)),
    path: pathOf,

    async list() {
      const found: StoredDevice[] = []
      for (const file of (await readdir(directory)).toSorted()) {
        if (!file.endsWith(SUFFIX)) continue
        const name = file.slice(0, -SUFFIX.length)
        const imageId = NAME.exec(name)?.[1]?.replace('-', ':')
        const sizeBytes = await sizeOfFile(join(directory, file))
        if (imageId !== undefined && isDigest(imageId) && sizeBytes !== undefined)
          found.push({ name, imageId, sizeBytes })
      }
      return found
    },
    async faultOf(name, blobBytes) {
      try {
        const rows = await readRows(name, pathOf(name))
        const missing = rows.blobs.find((blob) => blobBytes(blob) === undefined)
        if (missing !== undefined) return `layer ${missing} is not in the store`
        const sizes = rows.blobs.map((blob) => blobBytes(blob)!)
        const beyond = rows.sources.findIndex(
          (source, row) => source !== LITERALS && rows.offsets[row]! + rows.lengths[row]! > sizes[source - 1]!,
        )
        return beyond < 0
          ? undefined
          : `row ${beyond} goes beyond the end of layer ${rows.blobs[rows.sources[beyond]! - 1]}`
      } catch (error) {
        if (!(error instanceof AppError)) throw error
        if (error.code === 'not_found') return undefined
        return error.cause instanceof WireError ? error.cause.message : error.message
      }
    },
    async remove(name) {
      await rm(pathOf(name), { force: true })
      await syncDirectory(directory)
    },
  }
}

async function readRows(name: string, path: string): Promise<StoredRows> {
  try {
    await using file = await open(path, 'r')
    const { size } = await file.stat()
    const read = async (length: number) => {
      const bytes = Buffer.alloc(Math.min(length, size))
      const { bytesRead } = await file.read(bytes, 0, bytes.length, 0)
      return bytes.subarray(0, bytesRead)
    }
    const rows = parseExtentRows(await read(storedRowsBytes(await read(HEAD_BYTES))))
    const wanted = rows.literalsAt + rows.literalBytes
    if (size !== wanted) throw new WireError('extent map', `it has ${size} bytes, ${wanted} are needed`)
    return rows
  } catch (cause) {
    if (systemCode(cause) === 'ENOENT')
      throw new AppError('not_found', `Cannot open device "${name}": there is no map of it here`)
    if (!(cause instanceof WireError)) throw cause
    throw new AppError('internal', `Cannot open device "${name}": its map is damaged`, { cause })
  }
}

/** Names become paths: nothing but what deviceName makes is one. */
function checked(name: string): string {
  if (!NAME.test(name)) throw new AppError('internal', `Cannot name a device "${name.slice(0, 200)}"`)
  return name
}

async function sizeOfFile(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined
    throw error
  }
}
