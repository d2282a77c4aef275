/** Commits an upper layer in a directory of images and kills itself at the n-th step that it hears of, -1 for never. Prints how many it heard of. */
import { createReadStream } from 'node:fs'
import { openImageBench } from '../../src/drivers/layout/image-bench.ts'

const [directory, upper, step] = process.argv.slice(2) as [string, string, string]
await using bench = await openImageBench({ directory })
let steps = 0
await bench.images.commit(
  {
    createdBy: 'sh',
    ran: {},
    changes: [],
    name: 'container "c"',
    base: await bench.images.inspect('plain'),
    kind: 'upper',
    open: () => createReadStream(upper),
    reference: 'taken',
  },
  () => {
    if (steps++ === Number(step)) process.kill(process.pid, 'SIGKILL')
  },
)
console.log(steps)
