/** A thread of the HTTP server for machines: it reads what it sends from the files themselves. */
import { readPieces } from '../drivers/boot-files.ts'
import { serveBootThread } from '../servers/boot/thread.ts'

await serveBootThread(readPieces)
