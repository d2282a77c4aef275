/** What a process costs: time, processor time, memory, descriptors; from proc(5) and GNU time. */
import { execFile } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

export interface Took {
  readonly ms: number
  /** User and system, of a program and its children. */
  readonly cpuMs: number
}

/** Time and processor time of a program and its children. @param folder scratch; the program's home @throws what it said, when it fails */
export function timed(folder: string, words: readonly string[]): Promise<Took & { readonly stdout: string }> {
  const file = join(folder, 'time')
  const env = { ...process.env, HOME: folder }
  const startMs = performance.now()
  return new Promise((resolve, reject) =>
    execFile('time', ['-o', file, '-f', '%U %S', ...words], { maxBuffer: 1 << 26, env }, (error, stdout, stderr) => {
      const ms = performance.now() - startMs
      const short = [...words.slice(0, 5), ...words.slice(-3)].map((word) => word.slice(0, 40)).join(' ')
      if (error) return reject(new Error(`${short}: ${(stderr + stdout).slice(0, 200)}`))
      const parts = readFileSync(file, 'utf8').trim().split(' ')
      resolve({ ms, cpuMs: parts.reduce((sum, part) => sum + Number(part) * 1000, 0), stdout })
    }),
  )
}

/** Processor time of a process so far, milliseconds (ticks of 10 ms). */
export function cpuMsOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ')
  return (Number(fields[11]) + Number(fields[12])) * 10
}

export function descriptorsOf(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length
}

export function peakMemoryMB(pid: number): number {
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) / 1024
}

export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN
}
