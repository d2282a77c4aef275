/** Runs a program to its end: bytes in, bytes out. */
import { spawn } from 'node:child_process'
import { AppError, systemCode } from '../../base/errors.ts'

const OUTPUT_MAX_BYTES = 2 ** 30
const COMPLAINT_MAX = 2000

/**
 * @returns what it wrote to its standard output
 * @throws {AppError} unsupported where the program is missing, bad_peer with its own words when it fails
 */
export async function runProgram(
  program: string,
  args: readonly string[],
  options: { cwd?: string; input?: Uint8Array; signal?: AbortSignal } = {},
): Promise<Uint8Array> {
  const { input, ...spawnOptions } = options
  const child = spawn(program, args, { ...spawnOptions, stdio: ['pipe', 'pipe', 'pipe'] })
  const chunks: Buffer[] = []
  let sizeBytes = 0
  let complaint = ''
  child.stdout.on('data', (chunk: Buffer) => {
    sizeBytes += chunk.length
    if (sizeBytes > OUTPUT_MAX_BYTES) child.kill()
    else chunks.push(chunk)
  })
  child.stderr.on('data', (chunk: Buffer) => {
    complaint = (complaint + chunk.toString()).slice(-COMPLAINT_MAX)
  })
  // The program may end before it has read all; its exit code says what that means.
  child.stdin.on('error', () => {})
  child.stdin.end(input)
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', resolve)
  }).catch((cause: unknown) => {
    if (systemCode(cause) !== 'ENOENT') throw cause
    throw new AppError('unsupported', `Cannot run "${program}": it is not installed`, { cause })
  })
  if (code !== 0)
    throw new AppError('bad_peer', `Cannot run "${program}": it ended with ${code ?? 'a signal'}: ${complaint.trim()}`)
  return Buffer.concat(chunks)
}
