/** Fetches one layer, unpacks it and makes the hashes that a machine's device needs of it; nothing else: see prepare.ts. */
import { createHash } from 'node:crypto'
import { get, type IncomingMessage } from 'node:http'
import { parentPort, workerData } from 'node:worker_threads'
import { createGunzip } from 'node:zlib'
import { LeafHasher } from '../src/formats/verity/leaves.ts'

export interface FloorJob {
  readonly url: string
  /** The runs of file data of the layer, offset and length in turns: they are told, not found. */
  readonly runs: Float64Array
}

const { url, runs } = workerData as FloorJob
parentPort!.once('message', () => void work())
parentPort!.postMessage('ready')

async function work(): Promise<void> {
  const digest = createHash('sha256')
  const diffId = createHash('sha256')
  const leaves = new LeafHasher(() => {})
  for (let at = 0; at < runs.length; at += 2) leaves.run(runs[at]!, runs[at + 1]!)
  const response = await new Promise<IncomingMessage>((resolve, reject) => get(url, resolve).on('error', reject))
  if (response.statusCode !== 200) throw new Error(`${url}: status ${response.statusCode}`)
  const plain = createGunzip({ chunkSize: 256 << 10 })
  response.on('data', (chunk: Buffer) => digest.update(chunk))
  response.pipe(plain)
  for await (const chunk of plain as AsyncIterable<Buffer>) {
    diffId.update(chunk)
    leaves.push(chunk)
  }
  leaves.end()
  parentPort!.postMessage([digest.digest('hex'), diffId.digest('hex')])
  parentPort!.close()
}
