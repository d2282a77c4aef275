/**
 * Unpacks the layer in a file into a directory and prints what it lacks, or removes one, as a user who is not root:
 * `unpack-once.ts UID unpack|remove DIRECTORY [FILE]`.
 */
import { readFileSync } from 'node:fs'
import { removeTree, unpackTree } from '../../src/drivers/unpack/directory.ts'
import { cutExtents } from '../../src/formats/extents.ts'
import { pieces, treeOf } from './listing.ts'

const [uid, verb, directory, file] = process.argv.slice(2) as [string, string, string, string]
// Only now: that user need not be able to read where the program itself is.
process.setgroups!([])
process.setgid!(Number(uid))
process.setuid!(Number(uid))
if (verb === 'remove') await removeTree(directory)
else {
  const layers = [readFileSync(file)]
  const blobs = {
    async *readExtents(extents: Parameters<typeof pieces>[0], from: number, to: number) {
      yield* pieces(cutExtents(extents, from, to), layers)
    },
  }
  const { lacks } = await unpackTree(treeOf(layers), directory, { blobs, signal: new AbortController().signal })
  console.log(JSON.stringify(lacks))
}
