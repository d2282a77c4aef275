/** An image as a machine gets it, by Debian's own programs: EROFS, then the dm-verity superblock and hash tree. */
import { execFileSync, spawn } from 'node:child_process'
import { closeSync, copyFileSync, openSync, readSync, statSync, truncateSync, writeSync } from 'node:fs'
import { connect as connectTo } from 'node:net'
import { poll } from '../../src/base/clock.ts'

export interface VerityImage {
  readonly path: string
  readonly rootHash: string
  /** For the spec. */
  readonly spec: Readonly<Record<string, number>>
}

/** @param extra more arguments for mkfs.erofs */
export function makeVerityImage(folder: string, path: string, extra: readonly string[] = []): VerityImage {
  execFileSync('mkfs.erofs', [...extra, path, folder], { stdio: 'ignore' })
  const blocks = Math.ceil(statSync(path).size / 4096)
  truncateSync(path, blocks * 4096)
  const where = [`--data-blocks=${blocks}`, `--hash-offset=${blocks * 4096}`]
  const said = execFileSync('veritysetup', ['format', '--salt=-', ...where, path, path], { encoding: 'utf8' })
  truncateSync(path, Math.ceil(statSync(path).size / 4096) * 4096)
  const rootHash = /^Root hash:\s*([0-9a-f]{64})$/m.exec(said)![1]!
  return {
    path,
    rootHash,
    spec: { BB_DATA_BLOCKS: blocks, BB_HASH_START: blocks + 1, BB_DEVICE_BYTES: statSync(path).size },
  }
}

/** A copy with one bit changed. */
export function flipBit(path: string, copy: string, offset: number): void {
  copyFileSync(path, copy)
  const file = openSync(copy, 'r+')
  const byte = Buffer.alloc(1)
  readSync(file, byte, 0, 1, offset)
  byte[0] = byte[0]! ^ 4
  writeSync(file, byte, 0, 1, offset)
  closeSync(file)
}

/** nbdkit, which offers each file of a folder under its name. */
export async function startNbdServer(folder: string, address: string, port = 10809) {
  const start = () => {
    const child = spawn('nbdkit', ['-f', '-r', '-i', address, '-p', String(port), 'file', `dir=${folder}`], {
      stdio: 'ignore',
    })
    return { child, ended: new Promise((resolve) => child.once('exit', resolve)) }
  }
  const listening = () =>
    poll(
      () =>
        new Promise<true | undefined>((resolve) => {
          const socket = connectTo(port, address, () => resolve(true))
          socket.on('connect', () => socket.destroy()).on('error', () => resolve(undefined))
        }),
      { everyMs: 50, deadlineMs: 10_000 },
    )
  let running = start()
  await listening()
  const kill = async () => {
    running.child.kill('SIGKILL')
    await running.ended
  }
  return {
    kill,
    async restart() {
      running = start()
      await listening()
    },
    freeze: () => running.child.kill('SIGSTOP'),
    thaw: () => running.child.kill('SIGCONT'),
    [Symbol.asyncDispose]: kill,
  }
}
