/** Counts what a layer has used of its limits. */
import { HeaderError } from './header.ts'
import type { TarLimits } from './limits.ts'

/** What a layer may still use. Every method charges and throws HeaderError when the budget is passed. */
export interface Budget {
  entry(): void
  /** Bytes that the index keeps: names, targets, attributes, places of data. */
  index(bytes: number): void
  /** Logical size of a file. */
  file(bytes: number): void
  dataRuns(count: number): void
  /** Pairs of a sparse map that is still being read; not charged, only bounded. */
  sparsePairs(count: number): void
}

export function createBudget(limits: TarLimits): Budget {
  const used = { entries: 0, indexBytes: 0, totalBytes: 0, dataRuns: 0 }
  function charge(key: keyof typeof used, amount: number, what: string): void {
    used[key] += amount
    if (used[key] > limits[key]) throw new HeaderError(`more than ${limits[key]} ${what} in one layer`)
  }
  return {
    entry: () => charge('entries', 1, 'entries'),
    index: (bytes) => charge('indexBytes', bytes, 'bytes of index'),
    file(bytes) {
      if (bytes > limits.fileBytes) throw new HeaderError(`a file of ${bytes} bytes, at most ${limits.fileBytes}`)
      charge('totalBytes', bytes, 'bytes of files')
    },
    dataRuns: (count) => charge('dataRuns', count, 'pieces of sparse files'),
    sparsePairs(count) {
      if (count > limits.dataRuns) throw new HeaderError(`a sparse map of more than ${limits.dataRuns} pieces`)
    },
  }
}
