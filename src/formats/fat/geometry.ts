/** How a FAT file system of a given size is laid out: its kind, its clusters, its tables (Microsoft FAT specification 1.03). */

export const SECTOR_BYTES = 512
/** BPB_TotSec32 has 32 bits. */
export const MAX_SECTORS = 2 ** 32 - 1

export interface Geometry {
  readonly bits: 12 | 16 | 32
  readonly totalSectors: number
  readonly clusterSectors: number
  readonly reservedSectors: number
  readonly fatSectors: number
  /** Of FAT12 and FAT16, whose root lies before the clusters; else 0. */
  readonly rootSectors: number
  readonly clusters: number
}

/** Sizes up to which clusters of so many sectors are used, from Microsoft's table for FAT32. */
const FAT32_CLUSTERS = [
  { upToSectors: 532_480, clusterSectors: 1 },
  { upToSectors: 16_777_216, clusterSectors: 8 },
  { upToSectors: 33_554_432, clusterSectors: 16 },
  { upToSectors: 67_108_864, clusterSectors: 32 },
  { upToSectors: MAX_SECTORS, clusterSectors: 64 },
] as const

/** The count of clusters alone says which kind it is ("FAT Type Determination"): these are the first of the larger kind. */
const FIRST_FAT16 = 4085
const FIRST_FAT32 = 65_525
/** Some programs are off by a few there, so nobody comes near. */
const MARGIN = 16

/**
 * FAT32 wherever it can be, from 33 MiB on; below it FAT16, and from 2 MiB down FAT12.
 * @param rootEntries entries that the root directory needs
 */
export function geometryOf(totalSectors: number, rootEntries: number): Geometry {
  const { clusterSectors } = FAT32_CLUSTERS.find(({ upToSectors }) => totalSectors <= upToSectors)!
  const large = layOut(totalSectors, 32, clusterSectors, 0)
  if (large.clusters >= FIRST_FAT32 + MARGIN) return large
  const rootSectors = Math.max(Math.ceil((rootEntries * 32) / SECTOR_BYTES), 32)
  const middle = atMost(FIRST_FAT32, layOut(totalSectors, 16, 1, rootSectors))
  if (middle.clusters >= FIRST_FAT16 + MARGIN) return middle
  return atMost(FIRST_FAT16, layOut(totalSectors, 12, 1, rootSectors))
}

function layOut(totalSectors: number, bits: Geometry['bits'], clusterSectors: number, rootSectors: number): Geometry {
  const reservedSectors = bits === 32 ? 32 : 1
  let fatSectors = 1
  for (;;) {
    const left = totalSectors - reservedSectors - rootSectors - 2 * fatSectors
    const clusters = Math.max(0, Math.floor(left / clusterSectors))
    const need = Math.ceil(((clusters + 2) * bits) / 8 / SECTOR_BYTES)
    if (need <= fatSectors)
      return { bits, totalSectors, clusterSectors, reservedSectors, fatSectors, rootSectors, clusters }
    // Each step takes clusters away, so the tables need no more than this.
    fatSectors += Math.max(1, Math.floor((need - fatSectors) / 2))
  }
}

/** Leaves the sectors at the end out that would make it another kind. */
function atMost(first: number, geometry: Geometry): Geometry {
  const clusters = Math.min(geometry.clusters, first - MARGIN - 1)
  return {
    ...geometry,
    clusters,
    totalSectors: geometry.totalSectors - (geometry.clusters - clusters) * geometry.clusterSectors,
  }
}
