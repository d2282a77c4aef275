/** Pulls one image into a directory, in a process of its own that a test can kill: `pull-once.ts DIRECTORY REFERENCE`. */
import { openImageBench } from '../../src/drivers/layout/image-bench.ts'
import { sizeOf } from '../../src/formats/extents.ts'
import { tarExtents } from '../../src/formats/tar/project.ts'

const [directory, reference] = process.argv.slice(2)
await using bench = await openImageBench({ directory: directory! })
const { id } = await bench.images.pull(reference!, { plainHttp: true })
console.log(`${id} ${sizeOf(tarExtents(await bench.images.tree(id)))}`)
