/** The image that benches pull, and what they print figures with. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { tarOf } from '../src/formats/tar/tar-maker.ts'
import { layoutFiles, makeImage, writeLayout, type MadeManifest } from '../src/services/images/layout-maker.ts'
import { run } from '../test/peers/docker-registry.ts'

/**
 * A small Debian, and layers as applications bring them: a few big files, many small ones, what compresses and what does not.
 * @param rootfs a tar to take for Debian; made by mmdebstrap where there is none
 */
export function sampleImage(scratch: string, rootfs: string | undefined): MadeManifest {
  const debian = rootfs ?? join(scratch, 'debian.tar')
  if (rootfs === undefined) run('mmdebstrap', '--quiet', '--variant=minbase', '--format=tar', 'bookworm', debian)
  const layers = [
    readFileSync(debian),
    tarOf(
      ...Array.from({ length: 20 }, (_, at) => ({ name: `opt/app/library-${at}.so`, data: halfRandom(2_000_000, at) })),
    ),
    tarOf(
      ...Array.from({ length: 5000 }, (_, at) => ({
        name: `opt/site/page-${at}.html`,
        data: text(4000 + (at % 7) * 1500, at),
      })),
    ),
  ]
  const image = makeImage({ layers: layers.map((plain) => ({ plain })) })
  const plainBytes = layers.reduce((sum, layer) => sum + layer.length, 0)
  const packedBytes = image.blobs.reduce((sum, blob) => sum + blob.bytes.length, 0)
  console.log(`${layers.length} layers, ${mb(plainBytes)} MB, ${mb(packedBytes)} MB as gzip`)
  return image
}

/** @param reference in a registry on loopback */
export function pushImage(scratch: string, image: MadeManifest, reference: string): void {
  const layout = join(scratch, 'source')
  writeLayout(layout, layoutFiles([{ tag: 'x', image }]))
  run('skopeo', 'copy', '--quiet', '--dest-tls-verify=false', `oci:${layout}:x`, `docker://${reference}`)
}

/** Seconds that the work takes. */
export async function secondsOf(work: () => unknown): Promise<number> {
  const startedMs = performance.now()
  await work()
  return (performance.now() - startedMs) / 1000
}

export function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)]!
}

export function printSeconds(name: string, seconds: readonly number[]): void {
  const rounds = seconds.map((s) => s.toFixed(2)).join('  ')
  console.log(`${name.padEnd(44)} ${rounds}   median ${median(seconds).toFixed(2)} s`)
}

/** Bytes that are the same in every run: half of them do not compress. */
function halfRandom(length: number, seed: number): Buffer {
  const bytes = Buffer.alloc(length)
  for (let at = 0, block = 0; at < length; at += 64, block++)
    createHash('sha256').update(`${seed} ${block}`).digest().copy(bytes, at)
  return bytes
}

function text(length: number, seed: number): string {
  return `<p>page ${seed} of a manual that nobody reads, section ${seed * 7919}</p>\n`
    .repeat(Math.ceil(length / 70))
    .slice(0, length)
}

function mb(bytes: number): string {
  return (bytes / 1e6).toFixed(0)
}
