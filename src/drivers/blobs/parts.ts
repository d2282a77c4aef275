/**
 * What has arrived of layers whose transfer broke off: kept for the next attempt, within bounds, the oldest given up first. While
 * a transfer writes to its part nobody takes it away.
 */
import { rmSync } from 'node:fs'
import { readdir, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { Log } from '../../base/log.ts'
import type { Digest } from '../../formats/oci/digest.ts'
import type { Transfer } from '../../services/store/ports.ts'
import { statOfFile } from '../files.ts'
import { digestOfPartFile, partPath, type StorePaths } from './paths.ts'

export interface PartsConfig {
  readonly log: Log
  readonly now: () => number
  /** Most bytes of all parts together. Default 8 GiB. */
  readonly incomingBytes?: number
  /** Parts that are older are given up. Default 7 days. */
  readonly incomingMs?: number
}

const DEFAULT_INCOMING_BYTES = 8 * 1024 ** 3
const DEFAULT_INCOMING_MS = 7 * 24 * 3600_000

export class Parts {
  readonly #config: PartsConfig
  readonly #paths: StorePaths
  /** Paths of the parts that a transfer writes to now. */
  readonly #inUse = new Set<string>()

  constructor(config: PartsConfig, paths: StorePaths) {
    this.#config = config
    this.#paths = paths
  }

  /** The part is its taker's until it is disposed. @returns undefined when somebody has it */
  take(digest: Digest): (Disposable & { readonly path: string }) | undefined {
    const path = partPath(this.#paths, digest)
    if (this.#inUse.has(path)) return undefined
    this.#inUse.add(path)
    return { path, [Symbol.dispose]: () => void this.#inUse.delete(path) }
  }

  async list(): Promise<readonly Transfer[]> {
    const found: Transfer[] = []
    for (const name of await readdir(this.#paths.incoming)) {
      const digest = digestOfPartFile(name)
      const path = join(this.#paths.incoming, name)
      const info = digest === undefined ? undefined : await statOfFile(path)
      if (digest === undefined || info === undefined) continue
      found.push({ digest, sizeBytes: info.size, changedAtMs: info.mtimeMs, isUnderWay: this.#inUse.has(path) })
    }
    return found
  }

  /** @returns whether it is gone: one that is in use stays */
  drop(digest: Digest): boolean {
    const path = partPath(this.#paths, digest)
    if (this.#inUse.has(path)) return false
    // At once, so that no transfer begins to use it meanwhile.
    rmSync(path, { force: true })
    return true
  }

  /** Gives up what is beyond the bounds. */
  async trim(): Promise<void> {
    const idle = (await this.list()).filter(({ isUnderWay }) => !isUnderWay)
    const { now, incomingBytes = DEFAULT_INCOMING_BYTES, incomingMs = DEFAULT_INCOMING_MS } = this.#config
    let total = 0
    for (const { digest, sizeBytes, changedAtMs } of idle.toSorted((a, b) => b.changedAtMs - a.changedAtMs)) {
      total += sizeBytes
      if (total <= incomingBytes && now() - changedAtMs <= incomingMs) continue
      const path = partPath(this.#paths, digest)
      this.#config.log.info('kept part of a layer dropped', { part: basename(path), sizeBytes })
      await rm(path, { force: true })
    }
  }
}
