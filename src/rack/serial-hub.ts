/**
 * One machine's serial line. QEMU comes and goes with the machine's power; the hub stays: it records every byte from the first
 * one and gives it to all who look (SOL of the BMC, `rack console`), and passes on what they type.
 */
import { closeSync, openSync, readSync, renameSync, statSync, writeSync } from 'node:fs'
import type { Duplex } from 'node:stream'

export interface SerialHub {
  /** Connects the line of a machine that was just switched on. */
  plug(line: Duplex): void
  /**
   * Adds one who looks. It first gets what the record holds from `fromByte` on, if that is asked, then everything that comes.
   */
  attach(viewer: Duplex, fromByte?: number): void
  close(): void
}

/** How long bytes are gathered: QEMU hands them over one by one. */
const GATHER_MS = 10
/** A viewer that is this far behind is cut off; one that types this far ahead loses what it types. */
const BEHIND_MAX = 4 * 1024 * 1024
const AHEAD_MAX = 64 * 1024

/**
 * @param file the record; appended to, so that it survives the keeper
 * @param recordMax bytes; beyond it the record becomes `FILE.1` and a new one begins
 */
export function openSerialHub(file: string, recordMax = 64 * 1024 * 1024): SerialHub {
  const viewers = new Set<Duplex>()
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
    writeAll(record, bytes)
    recorded += bytes.length
    for (const viewer of viewers) {
      viewer.write(bytes)
      if (viewer.writableLength > BEHIND_MAX) viewer.destroy()
    }
    if (recorded > recordMax) rotate()
  }

  function rotate(): void {
    closeSync(record)
    renameSync(file, `${file}.1`)
    record = openSync(file, 'a+', 0o600)
    recorded = 0
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
    attach(viewer, fromByte) {
      flush()
      viewer.on('data', (bytes: Buffer) => {
        if (current !== undefined && current.writableLength < AHEAD_MAX) current.write(bytes)
      })
      viewer.on('error', () => viewer.destroy())
      viewer.on('close', () => viewers.delete(viewer))
      if (fromByte !== undefined) replay(record, fromByte, recorded, viewer)
      viewers.add(viewer)
    },
    close() {
      flush()
      current?.destroy()
      for (const viewer of viewers) viewer.destroy()
      closeSync(record)
    },
  }
}

/** Queues the record whole, in one step with joining the viewers, so that no byte is lost or doubled in between. */
function replay(record: number, from: number, to: number, viewer: Duplex): void {
  const CHUNK = 1024 * 1024
  for (let at = from; at < to;) {
    const chunk = Buffer.allocUnsafe(Math.min(CHUNK, to - at))
    const length = readSync(record, chunk, 0, chunk.length, at)
    if (length === 0) return
    viewer.write(chunk.subarray(0, length))
    at += length
  }
}

function writeAll(file: number, bytes: Buffer): void {
  for (let at = 0; at < bytes.length;) at += writeSync(file, bytes, at)
}
