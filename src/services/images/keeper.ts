/** Which layers must stay, and the removal of the others. */
import type { Log } from '../../base/log.ts'
import type { Digest } from '../../formats/oci/digest.ts'
import type { BlobStore } from './ports.ts'

/**
 * Leases layers to pulls that are going to use them. A lease is given and garbage is removed one after the other, never at
 * once, so that no layer vanishes between "it is here" and the record that refers to it.
 */
export class LayerKeeper {
  readonly #blobs: BlobStore
  readonly #log: Log
  readonly #leases = new Map<Digest, number>()
  #pauses = 0
  /** A removal that came while there was a pause: the next one looks at all layers. */
  #isOwed = false
  #turn: Promise<unknown> = Promise.resolve()

  constructor(blobs: BlobStore, log: Log) {
    this.#blobs = blobs
    this.#log = log
  }

  /** The layers stay until the lease is disposed. */
  async lease(diffIds: Iterable<Digest>): Promise<Disposable> {
    const held = new Set(diffIds)
    await this.#inTurn(async () => {
      for (const diffId of held) this.#leases.set(diffId, (this.#leases.get(diffId) ?? 0) + 1)
    })
    return {
      [Symbol.dispose]: () => {
        for (const diffId of held) {
          const left = (this.#leases.get(diffId) ?? 0) - 1
          if (left > 0) this.#leases.set(diffId, left)
          else this.#leases.delete(diffId)
        }
        held.clear()
      },
    }
  }

  /** Nothing at all is removed until the pause is disposed: for layers whose digest is not known before they are here. */
  async pause(): Promise<Disposable> {
    await this.#inTurn(async () => void this.#pauses++)
    let isOver = false
    return {
      [Symbol.dispose]: () => {
        if (!isOver) this.#pauses--
        isOver = true
      },
    }
  }

  /** Does something while no lease is given and nothing is removed. */
  alone<T>(work: () => Promise<T>): Promise<T> {
    return this.#inTurn(work)
  }

  /** What `collect` would remove now. @param referenced as for `collect` */
  unneeded(referenced: () => Promise<ReadonlySet<Digest>>): Promise<Digest[]> {
    return this.#inTurn(async () => {
      if (this.#pauses > 0) return []
      const needed = await referenced()
      return (await this.#blobs.list()).filter((diffId) => !needed.has(diffId) && !this.#leases.has(diffId))
    })
  }

  /**
   * Removes stored layers that nobody needs.
   * @param referenced what images refer to, asked when it is this removal's turn
   * @param candidates only these, where given
   * @returns what is gone
   */
  collect(referenced: () => Promise<ReadonlySet<Digest>>, candidates?: ReadonlySet<Digest>): Promise<Digest[]> {
    return this.#inTurn(async () => {
      if (this.#pauses > 0) {
        this.#isOwed = true
        return []
      }
      const only = this.#isOwed ? undefined : candidates
      this.#isOwed = false
      const needed = await referenced()
      const gone: Digest[] = []
      for (const diffId of await this.#blobs.list()) {
        if (needed.has(diffId) || this.#leases.has(diffId) || only?.has(diffId) === false) continue
        await this.#blobs.remove(diffId)
        gone.push(diffId)
      }
      if (gone.length > 0) this.#log.info('layers removed', { count: gone.length })
      return gone
    })
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work)
    this.#turn = done.catch(() => {})
    return done
  }
}
