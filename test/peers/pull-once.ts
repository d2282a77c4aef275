/** Pulls one image into a directory, in a process of its own that a test can kill: `pull-once.ts DIRECTORY REFERENCE [wait]`. */
import { openImageBench } from '../../src/drivers/layout/image-bench.ts'
import { sizeOf } from '../../src/formats/extents.ts'
import { tarExtents } from '../../src/formats/tar/project.ts'
import { waitForTracer } from './killed-at.ts'

const [directory, reference, wait] = process.argv.slice(2)
if (wait !== undefined) waitForTracer()
await using bench = await openImageBench({ directory: directory! })
const { id } = await bench.images.pull(reference!, { plainHttp: true })
console.log(`${id} ${sizeOf(tarExtents(await bench.images.tree(id)))}`)
