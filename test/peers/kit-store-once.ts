/** Puts one kit into the directory that is named, makes it the default, imports a kernel. Ends with 0 when all is durable. */
import { quietLog } from '../../src/base/log.ts'
import { openKitDirectory } from '../../src/drivers/kits/directory.ts'
import { kernelChunks, KIT, KIT_HEX } from './kit-store-sample.ts'

const store = await openKitDirectory(process.argv[2]!, quietLog)
await store.put(KIT_HEX, KIT)
await store.setDefault('amd64', KIT_HEX)
await store.putImport('kernel', 'mine', kernelChunks())
console.log('done')
