/** Layers on their way in: each digest is transferred once, however many pulls want it. */
import type { Digest } from '../../formats/oci/digest.ts'
import type { LayerState, OnProgress } from './image.ts'
import type { BlobStore, LayerSource, StoredLayer } from './ports.ts'

/** A layer whose diff id a document gives. */
export interface KnownLayerSource extends LayerSource {
  readonly diffId: Digest
}

interface Watcher {
  onState(state: LayerState, bytes: number): void
}

/** A transfer that is going on, and who waits for it. It is stopped when nobody does any more. */
interface Flight {
  readonly diffId: Digest
  readonly watchers: Set<Watcher>
  readonly stop: AbortController
  /** Ends when the transfer has ended, well or not. */
  readonly done: Promise<{ readonly stored: StoredLayer } | { readonly error: unknown }>
  state: LayerState
  bytes: number
}

export class LayerIntake {
  readonly #blobs: BlobStore
  readonly #flights = new Map<Digest, Flight>()

  constructor(blobs: BlobStore) {
    this.#blobs = blobs
  }

  /**
   * Sees to it that a layer is in the store.
   * @returns the size of the uncompressed layer in bytes
   * @throws as BlobStore.ingest; the signal's reason
   */
  async ensure(source: KnownLayerSource, onProgress: OnProgress, signal: AbortSignal): Promise<number> {
    const totalBytes = source.sizeBytes
    const digest = keyOf(source)
    const watcher: Watcher = {
      onState: (state, bytes) => onProgress({ kind: 'layer', digest, state, bytes, totalBytes }),
    }
    watcher.onState('waiting', 0)
    for (let isOwn = false; ;) {
      signal.throwIfAborted()
      const other = this.#flights.get(digest)
      if (other === undefined && (await this.#blobs.has(source.diffId))) {
        watcher.onState('present', totalBytes ?? 0)
        return this.#blobs.sizeBytes(source.diffId)
      }
      // Somebody may have begun while the store was asked.
      const known = this.#flights.get(digest)
      if (known !== undefined && (known.stop.signal.aborted || known.diffId !== source.diffId)) {
        await known.done
        continue
      }
      isOwn = known === undefined
      const flight = known ?? this.#begin(source)
      const outcome = await this.#watch(flight, watcher, signal)
      if ('stored' in outcome) {
        watcher.onState('done', outcome.stored.transferBytes)
        return outcome.stored.sizeBytes
      }
      // Another's transfer failed by means that are not ours (its access to the registry): try with our own.
      if (isOwn) throw outcome.error
    }
  }

  #begin(source: KnownLayerSource): Flight {
    const stop = new AbortController()
    const flight: Flight = {
      diffId: source.diffId,
      watchers: new Set(),
      stop,
      state: 'waiting',
      bytes: 0,
      done: this.#blobs
        .ingest(
          source,
          (state, bytes) => {
            flight.state = state
            flight.bytes = bytes
            for (const watcher of flight.watchers) watcher.onState(state, bytes)
          },
          stop.signal,
        )
        .then(
          (stored) => ({ stored }),
          (error: unknown) => ({ error }),
        )
        .finally(() => this.#flights.delete(keyOf(source))),
    }
    this.#flights.set(keyOf(source), flight)
    return flight
  }

  async #watch(flight: Flight, watcher: Watcher, signal: AbortSignal) {
    flight.watchers.add(watcher)
    if (flight.state !== 'waiting') watcher.onState(flight.state, flight.bytes)
    const left = Promise.withResolvers<never>()
    const leave = () => left.reject(signal.reason as Error)
    signal.addEventListener('abort', leave, { once: true })
    try {
      return await Promise.race([flight.done, left.promise])
    } catch (error) {
      flight.watchers.delete(watcher)
      if (flight.watchers.size === 0) {
        flight.stop.abort(signal.reason)
        await flight.done
      }
      throw error
    } finally {
      flight.watchers.delete(watcher)
      signal.removeEventListener('abort', leave)
    }
  }
}

/** What a transfer is known by: the digest of what is transferred, or of what it is unpacked where nobody says the former. */
function keyOf({ digest, diffId }: KnownLayerSource): Digest {
  return digest ?? diffId
}
