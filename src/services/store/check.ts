/**
 * Holds all that is stored against its digests: documents of images, layers with what lies beside them, device maps,
 * squashfs files, kits. What is wrong is told by name; with `repair` it is fetched or made again.
 */
import { AppError, explain } from '../../base/errors.ts'
import type { Digest } from '../../formats/oci/digest.ts'
import type { CheckReport, Finding } from '../../model/store.ts'
import type { ImageRecord } from '../images/image.ts'
import type { StoreCareDeps } from './care.ts'
import type { ByteRange, LayerCheck } from './ports.ts'

export interface CheckOptions {
  readonly repair: boolean
  /** Undefined: as fast as it goes. */
  readonly bytesPerSecond?: number
}

/** What is checked just now, or what is done about it. */
export interface CheckProgress {
  /** Digest of a layer or image, or name of a device. */
  readonly what: string
  readonly state: 'reading' | 'fetching' | 'good' | 'wrong' | 'repaired'
  readonly bytes?: number
  readonly totalBytes?: number
}
export type OnCheck = (progress: CheckProgress) => void

export type CheckDeps = Pick<StoreCareDeps, 'log' | 'images' | 'blobs' | 'devices' | 'squashfs' | 'kits'>

/** @throws {AppError} internal; the signal's reason */
export async function check(
  deps: CheckDeps,
  options: CheckOptions,
  onProgress: OnCheck,
  signal: AbortSignal,
): Promise<CheckReport> {
  const run = new Run(deps, options, onProgress, signal)
  const images = await run.documents()
  const records = await deps.images.list().catch((error: unknown) => {
    // A document that could not be repaired: it was told, and the layers are checked all the same.
    if (error instanceof AppError && error.code === 'internal') return []
    throw error
  })
  const { layers, sizeBytes } = await run.layers(records)
  const devices = await run.devices()
  await run.squashfs()
  await run.kits()
  const { findings } = run
  const isLeft = findings.filter(({ state }) => state !== 'repaired').length
  deps.log[isLeft > 0 ? 'warn' : 'info']('store checked', { images, layers, sizeBytes, wrong: findings.length, isLeft })
  return { images, layers, devices, sizeBytes, findings }
}

/** What is wrong, before it is known what becomes of it. */
interface Fault extends Pick<Finding, 'kind' | 'id' | 'why'> {
  readonly images: readonly string[]
  readonly ranges?: readonly ByteRange[]
}

class Run {
  readonly findings: Finding[] = []
  readonly #deps: CheckDeps
  readonly #options: CheckOptions
  readonly #onProgress: OnCheck
  readonly #signal: AbortSignal

  constructor(deps: CheckDeps, options: CheckOptions, onProgress: OnCheck, signal: AbortSignal) {
    this.#deps = deps
    this.#options = options
    this.#onProgress = onProgress
    this.#signal = signal
  }

  /** @returns how many images there are */
  async documents(): Promise<number> {
    const { upkeep } = this.#deps.images
    const all = await upkeep.documents()
    for (const documents of all) {
      this.#signal.throwIfAborted()
      const why = upkeep.faultOf(documents)
      if (why === undefined) continue
      const fault = { kind: 'image', id: documents.id, images: [documents.id], why } as const
      await this.#mend(fault, async () => {
        await upkeep.refetchDocuments(documents, this.#signal)
        return 'fetched again'
      })
    }
    return all.length
  }

  async layers(records: readonly ImageRecord[]): Promise<{ layers: number; sizeBytes: number }> {
    const holders = holdersOf(records)
    const stored = new Set((await this.#deps.blobs.usage()).map(({ diffId }) => diffId))
    for (const [diffId, images] of holders) if (!stored.has(diffId)) await this.#missing(diffId, images)
    const sizes = new Map((await this.#deps.blobs.usage()).map((blob) => [blob.diffId, blob.sizeBytes]))
    let layers = 0
    let sizeBytes = 0
    for (const diffId of stored) {
      const checked = await this.#read(diffId, sizes.get(diffId) ?? 0)
      if (checked === undefined) continue
      layers += 1
      sizeBytes += checked.sizeBytes
      await this.#judge(diffId, checked, holders.get(diffId) ?? [])
    }
    return { layers, sizeBytes }
  }

  /** @returns how many there are */
  async devices(): Promise<number> {
    const { devices, blobs } = this.#deps
    const sizes = new Map<string, number>((await blobs.usage()).map((blob) => [blob.diffId, blob.sizeBytes]))
    const all = await devices.list()
    for (const { rootHash, imageId } of all) {
      this.#signal.throwIfAborted()
      // That of no image may well be without its layers; the next prune takes it.
      if (imageId === undefined) continue
      const why = await devices.faultOf(rootHash, (blob) => sizes.get(blob))
      if (why === undefined) continue
      const fault = { kind: 'device', id: rootHash, images: [imageId], why } as const
      await this.#mend(fault, () => this.#remakeDevice(rootHash, imageId, sizes))
    }
    return all.length
  }

  async squashfs(): Promise<void> {
    const { squashfs } = this.#deps
    for (const { imageId } of await squashfs.list()) {
      this.#onProgress({ what: imageId, state: 'reading' })
      const why = await squashfs.faultOf(imageId, this.#reading)
      if (why === undefined) continue
      await this.#mend({ kind: 'squashfs', id: imageId, images: [imageId], why }, async () => {
        await squashfs.remove(imageId)
        return 'removed; it is made again when it is needed'
      })
    }
  }

  async kits(): Promise<void> {
    for (const { digest, why } of await this.#deps.kits.faults(this.#reading))
      await this.#mend({ kind: 'kit', id: digest, images: [], why }, () => {
        throw new AppError('unsupported', 'Cannot fetch it again; "bareboat kit build --force" builds it')
      })
  }

  get #reading() {
    const { bytesPerSecond } = this.#options
    return { signal: this.#signal, ...(bytesPerSecond === undefined ? {} : { bytesPerSecond }) }
  }

  /** Anew at once: a machine may be about to open it again. */
  async #remakeDevice(rootHash: string, imageId: Digest, stored: ReadonlyMap<string, number>): Promise<string> {
    const { devices, images } = this.#deps
    const lost = (await images.layers(imageId)).find(({ diffId }) => !stored.has(diffId))
    if (lost !== undefined) throw new AppError('conflict', `Cannot make it again before layer ${lost.diffId} is here`)
    await devices.remove(rootHash)
    await devices.of(imageId)
    return 'made again from its layers'
  }

  async #read(diffId: Digest, totalBytes: number): Promise<LayerCheck | undefined> {
    const tell = (state: CheckProgress['state'], bytes: number) =>
      this.#onProgress({ what: diffId, state, bytes, totalBytes })
    tell('reading', 0)
    const { repair, bytesPerSecond } = this.#options
    const checked = await this.#deps.blobs.check(diffId, {
      repair,
      ...(bytesPerSecond === undefined ? {} : { bytesPerSecond }),
      onBytes: (bytes) => tell('reading', bytes),
      signal: this.#signal,
    })
    if (checked !== undefined && checked.rot === undefined && checked.beside.length === 0) tell('good', totalBytes)
    return checked
  }

  async #judge(diffId: Digest, { rot, beside }: LayerCheck, images: readonly string[]): Promise<void> {
    for (const { what, why, isRemade } of beside)
      await this.#mend({ kind: what, id: diffId, images, why: `it is ${why}` }, async () => {
        if (!isRemade) throw new AppError('internal', 'Cannot make it again from its layer')
        return 'made again from its layer'
      })
    if (rot === undefined) return
    const fault = { kind: 'layer', id: diffId, images, why: rot.why, ranges: rot.ranges } as const
    await this.#mend(fault, async () => {
      if (images.length > 0) return this.#refetch(diffId)
      const gone = await this.#deps.images.upkeep.collect(new Set([diffId]))
      if (!gone.includes(diffId))
        throw new AppError('conflict', 'Cannot remove it: something that is under way needs it')
      return 'removed: no image has it'
    })
  }

  async #missing(diffId: Digest, images: readonly string[]): Promise<void> {
    const fault = { kind: 'layer', id: diffId, images, why: 'it is not in the store' } as const
    await this.#mend(fault, () => this.#refetch(diffId))
  }

  async #refetch(diffId: Digest): Promise<string> {
    const tell = (bytes: number, totalBytes: number | undefined) =>
      this.#onProgress({ what: diffId, state: 'fetching', bytes, ...(totalBytes === undefined ? {} : { totalBytes }) })
    await this.#deps.images.upkeep.refetch(
      diffId,
      (event) => {
        if (event.kind === 'layer') tell(event.bytes, event.totalBytes)
      },
      this.#signal,
    )
    return 'fetched again'
  }

  /** Notes what is wrong and, where that is asked for, mends it. @param mend what was done, in words */
  async #mend(fault: Fault, mend: () => Promise<string>): Promise<void> {
    const finding = { ...fault, images: [...fault.images], ranges: [...(fault.ranges ?? [])] }
    this.#deps.log.warn('stored data is wrong', { kind: fault.kind, id: fault.id, why: fault.why })
    if (!this.#options.repair) {
      this.findings.push({ ...finding, state: 'found' })
      return this.#onProgress({ what: fault.id, state: 'wrong' })
    }
    try {
      this.findings.push({ ...finding, state: 'repaired', note: await mend() })
      this.#onProgress({ what: fault.id, state: 'repaired' })
    } catch (error) {
      this.#signal.throwIfAborted()
      if (!(error instanceof AppError)) throw error
      this.findings.push({ ...finding, state: 'failed', note: explain(error) })
      this.#onProgress({ what: fault.id, state: 'wrong' })
    }
  }
}

/** How people call the images that have each layer. */
function holdersOf(records: readonly ImageRecord[]): ReadonlyMap<Digest, readonly string[]> {
  const holders = new Map<Digest, string[]>()
  for (const { id, references, layers } of records)
    for (const diffId of new Set(layers.map((layer) => layer.diffId)))
      holders.set(diffId, [...(holders.get(diffId) ?? []), references[0] ?? id])
  return holders
}
