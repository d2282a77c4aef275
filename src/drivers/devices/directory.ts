/**
 * Maps of block devices as files, each under the root hash of its device. Threads that serve machines open them by their path. A
 * map is written aside, synced and renamed, so that a reader has the old one or the new one, whole.
 */
import { open, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { AppError, WireError, systemCode } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import { LITERALS, parseExtentRows, serializeExtentRows, storedRowsBytes } from '../../formats/extent-map.ts'
import type { StoredRows } from '../../formats/extent-map.ts'
import type { DeviceFiles } from '../../services/devices/ports.ts'
import { ASIDE, replaceFile } from '../durable.ts'
import { makeDirectory, sizeOfFile, syncDirectory } from '../files.ts'

export interface DeviceDirectory extends DeviceFiles {
  /** The rows; literal bytes stay in the file. @throws {AppError} not_found; internal when it is damaged */
  open(rootHash: string): Promise<StoredRows>
}

const SUFFIX = '.map'
const ROOT_HASH = /^[0-9a-f]{64}$/
/** What storedRowsBytes needs. */
const HEAD_BYTES = 64

/** Opens the directory, which need not be there, and clears away what a killed process has left in it. */
export async function openDeviceDirectory(directory: string, log: Log): Promise<DeviceDirectory> {
  makeDirectory(directory)
  for (const name of await readdir(directory)) {
    if (!name.startsWith(ASIDE)) continue
    log.info('unfinished device map dropped', { name })
    await rm(join(directory, name), { force: true })
  }
  const pathOf = (rootHash: string): string => join(directory, checked(rootHash) + SUFFIX)

  return {
    put: (rootHash, map) => replaceFile(pathOf(rootHash), [serializeExtentRows(map), map.literals]),
    has: async (rootHash) => (await sizeOfFile(pathOf(rootHash))) !== undefined,
    open: (rootHash) => readRows(rootHash, pathOf(rootHash)),
    path: pathOf,
    async read(rootHash) {
      const { literalsAt, ...rows } = await readRows(rootHash, pathOf(rootHash))
      return { ...rows, literals: (await readFile(pathOf(rootHash))).subarray(literalsAt) }
    },

    async list() {
      const found: { rootHash: string; sizeBytes: number }[] = []
      for (const file of (await readdir(directory)).toSorted()) {
        if (!file.endsWith(SUFFIX)) continue
        const rootHash = file.slice(0, -SUFFIX.length)
        const sizeBytes = await sizeOfFile(join(directory, file))
        if (ROOT_HASH.test(rootHash) && sizeBytes !== undefined) found.push({ rootHash, sizeBytes })
      }
      return found
    },
    async faultOf(rootHash, blobBytes) {
      try {
        const rows = await readRows(rootHash, pathOf(rootHash))
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
    async remove(rootHash) {
      await rm(pathOf(rootHash), { force: true })
      syncDirectory(directory)
    },
  }
}

async function readRows(rootHash: string, path: string): Promise<StoredRows> {
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
      throw new AppError('not_found', `Cannot open device "${rootHash}": there is no map of it here`)
    if (!(cause instanceof WireError)) throw cause
    throw new AppError('internal', `Cannot open device "${rootHash}": its map is damaged`, { cause })
  }
}

/** Root hashes become paths: nothing else is one. */
function checked(rootHash: string): string {
  if (!ROOT_HASH.test(rootHash)) throw new AppError('internal', `Cannot name a device "${rootHash.slice(0, 200)}"`)
  return rootHash
}
