/**
 * One machine's serial line. QEMU comes and goes with the machine's power; the hub stays: it records every byte from the first
 * one and gives it to all who look (SOL of the BMC, `rack console`), and passes on what they type. Those who look read the
 * record, each at its own place, so that a slow one costs no memory and holds nobody up.
 */
import { closeSync, openSync, readSync, renameSync, statSync, writeSync } from 'node:fs'
import type { Duplex } from 'node:stream'

export interface SerialHub {
  /** Connects the line of a machine that was just switched on. */
  plug(line: Duplex): void
  /** Adds one who looks. It gets the record from byte `from` on, by default only what is still to come. */
  attach(viewer: Duplex, from?: number): void
  close(): void
}

interface Viewer {
  readonly stream: Duplex
  /** The next byte of the record that it gets. */
  at: number
  isFull: boolean
}

/** How long bytes are gathered: QEMU hands them over one by one. */
const GATHER_MS = 10
/** One who types this far ahead of the machine loses what it types. */
const AHEAD_MAX = 64 * 1024
const CHUNK = 64 * 1024

/**
 * @param file the record; appended to, so that it survives the keeper
 * @param recordMax bytes; beyond it the record becomes `FILE.1` and a new one begins
 */
export function openSerialHub(file: string, recordMax = 64 * 1024 * 1024): SerialHub {
  const viewers = new Set<Viewer>()
  let record = openSync(file, 'a+', 0o600)
  let recorded = statSync(file).size
  let gathered: Buffer[] = []
  let timer: NodeJS.Timeout | undefined
  let current: Duplex | undefined

  function flush(): void {
    clearTimeout(timer)
    timer = undefined
    if (gathered.length === 0) return
    const bytes = Buffer.concat(gathered)
    gathered = []
    for (let at = 0; at < bytes.length;) at += writeSync(record, bytes, at)
    recorded += bytes.length
    for (const viewer of viewers) feed(viewer)
    if (recorded > recordMax) rotate()
  }

  function feed(viewer: Viewer): void {
    while (!viewer.isFull && viewer.at < recorded) {
      const chunk = Buffer.allocUnsafe(Math.min(CHUNK, recorded - viewer.at))
      const length = readSync(record, chunk, 0, chunk.length, viewer.at)
      viewer.at += length
      viewer.isFull = !viewer.stream.write(chunk.subarray(0, length))
    }
  }

  /** One that has not kept up loses what it had still to get of the old record. */
  function rotate(): void {
    closeSync(record)
    renameSync(file, `${file}.1`)
    record = openSync(file, 'a+', 0o600)
    recorded = 0
    for (const viewer of viewers) viewer.at = 0
  }

  return {
    plug(line) {
      current?.destroy()
      current = line
      line.on('data', (bytes: Buffer) => {
        gathered.push(bytes)
        timer ??= setTimeout(flush, GATHER_MS)
      })
      line.on('error', () => line.destroy())
      line.on('close', () => {
        flush()
        if (current === line) current = undefined
      })
    },
    attach(stream, from) {
      flush()
      const viewer: Viewer = { stream, at: Math.min(from ?? recorded, recorded), isFull: false }
      stream.on('data', (bytes: Buffer) => {
        if (current !== undefined && current.writableLength < AHEAD_MAX) current.write(bytes)
      })
      stream.on('drain', () => {
        viewer.isFull = false
        feed(viewer)
      })
      stream.on('error', () => stream.destroy())
      stream.on('close', () => viewers.delete(viewer))
      viewers.add(viewer)
      feed(viewer)
    },
    close() {
      flush()
      current?.destroy()
      for (const { stream } of viewers) stream.destroy()
      viewers.clear()
      closeSync(record)
    },
  }
}
