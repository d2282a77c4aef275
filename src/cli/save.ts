/** What comes from the server, written to where a person wants it: whole or not at all. */
import { createHash, type Hash } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { rename, rm, writeFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { AppError, systemCode } from '../base/errors.ts'
import type { Download } from '../client/calls.ts'
import { writeOut } from './io.ts'
import { humanSize } from './output/human.ts'
import { showSteps } from './output/progress.ts'
import type { Session } from './session.ts'

export interface Saved {
  readonly path: string
  readonly sizeBytes: number
}

/** @throws {AppError} invalid, when standard output is a terminal */
export function refuseTerminal(session: Session, doing: string): void {
  if (session.io.stdout.isTTY === true)
    throw new AppError('invalid', `${doing}: standard output is a terminal; use -o FILE or redirect it`)
}

/** To standard output. */
export async function printOctets(session: Session, { bytes }: Download): Promise<void> {
  for await (const chunk of bytes) {
    session.signal.throwIfAborted()
    await writeOut(session.io.stdout, chunk)
  }
}

/**
 * To a file, which appears whole or not at all. Its progress is shown on a terminal.
 * @param hashes told of every byte
 */
export async function saveFile(
  session: Session,
  path: string,
  download: Download,
  hashes: readonly Hash[] = [],
): Promise<Saved> {
  const partial = `${path}.${process.pid}.partial`
  const file = createWriteStream(partial)
  try {
    await pipeline(watched(session, basename(path), download, hashes), file, { signal: session.signal })
    await rename(partial, path)
    return { path, sizeBytes: file.bytesWritten }
  } catch (cause) {
    await rm(partial, { force: true })
    session.signal.throwIfAborted()
    if (cause instanceof AppError) throw cause
    throw new AppError('invalid', `Cannot write "${path}": ${systemCode(cause) ?? 'it did not arrive whole'}`, {
      cause,
    })
  }
}

/** A file and beside it `.md5` and `.sha256`, as md5sum and sha256sum write and check them. */
export async function saveWithDigests(session: Session, path: string, download: Download): Promise<Saved[]> {
  const hashes = [createHash('md5'), createHash('sha256')] as const
  const saved = [await saveFile(session, path, download, hashes)]
  for (const [at, suffix] of ['md5', 'sha256'].entries())
    saved.push(await saveText(`${path}.${suffix}`, `${hashes[at]!.digest('hex')}  ${basename(path)}\n`))
  return saved
}

/** A small file, whole or not at all. */
export async function saveText(path: string, text: string): Promise<Saved> {
  const partial = `${path}.${process.pid}.partial`
  try {
    await writeFile(partial, text)
    await rename(partial, path)
    return { path, sizeBytes: Buffer.byteLength(text) }
  } catch (cause) {
    await rm(partial, { force: true })
    throw new AppError('invalid', `Cannot write "${path}": ${systemCode(cause) ?? String(cause)}`, { cause })
  }
}

/** The bytes as they pass, with their progress on a terminal. @param step what is shown */
export async function* watched(
  session: Session,
  step: string,
  { bytes, sizeBytes }: Download,
  hashes: readonly Hash[] = [],
): AsyncGenerator<Uint8Array> {
  using bars = showSteps(session, { quiet: session.io.stderr.isTTY !== true })
  let currentBytes = 0
  for await (const chunk of bytes) {
    for (const hash of hashes) hash.update(chunk)
    currentBytes += chunk.length
    const total = sizeBytes === undefined ? {} : { totalBytes: sizeBytes }
    bars.show({
      step,
      status: `writing ${sizeBytes === undefined ? humanSize(currentBytes) : ''}`.trim(),
      currentBytes,
      ...total,
    })
    yield chunk
  }
  bars.show({ step, status: 'written', currentBytes })
}
