/** Cares for a store, in a process of its own that a test can kill: `store-once.ts DIRECTORY prune|repair [wait]`. */
import { openImageBench } from '../../src/drivers/layout/image-bench.ts'
import { waitForTracer } from './killed-at.ts'

const [directory, doing, wait] = process.argv.slice(2)
if (wait !== undefined) waitForTracer()
await using bench = await openImageBench({ directory: directory! })
if (doing === 'prune')
  console.log(JSON.stringify(await bench.care.prune({ dryRun: false, all: false, labels: [], notLabels: [] })))
else console.log(JSON.stringify(await bench.care.check({ repair: true }, () => {}, new AbortController().signal)))
