/**
 * Imports files into a directory, all at once, and projects them, in a process of its own whose memory a test can measure:
 * `import-once.ts DIRECTORY FILE…`. Prints JSON.
 */
import { readFileSync } from 'node:fs'
import { openImageBench } from '../../src/drivers/layout/image-bench.ts'
import { AppError } from '../../src/base/errors.ts'
import { sizeOf } from '../../src/formats/extents.ts'
import { tarExtents } from '../../src/formats/tar/project.ts'

const [directory, ...files] = process.argv.slice(2)
// As many threads as a daemon has.
await using bench = await openImageBench({ directory: directory!, blobs: { threads: 3 } })
const peaks: Record<string, number> = { start: peakMb() }
const results = await Promise.allSettled(files.map((file) => bench.images.import(file)))
peaks['imported'] = peakMb()
let names = 0
let tarBytes = 0
const errors: string[] = []
for (const result of results) {
  if (result.status === 'rejected') {
    if (!(result.reason instanceof AppError)) throw result.reason
    errors.push(result.reason.message)
    continue
  }
  const tree = await bench.images.tree(result.value[0]!.id)
  names += tree.entryCount
  tarBytes += sizeOf(tarExtents(tree))
}
peaks['projected'] = peakMb()
console.log(JSON.stringify({ names, tarBytes, peaks, errors }))

/** The most memory that this process ever had, MB (10^6 bytes). */
function peakMb(): number {
  const kilobytes = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))![1]
  return Math.round((Number(kilobytes) * 1024) / 1e6)
}
