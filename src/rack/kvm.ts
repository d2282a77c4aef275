/**
 * Whether KVM is of use here. That /dev/kvm opens says nothing: some kernels only interpret the guest. So a guest that has to
 * count is run against the clock, once for each kernel and QEMU; the answer is kept in the state directory.
 */
import { spawn, spawnSync } from 'node:child_process'
import { accessSync, constants, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { release, tmpdir } from 'node:os'
import { join } from 'node:path'
import { kvmAnswerPath } from './layout.ts'
import { QEMU } from './qemu-line.ts'

/** 2^25 rounds take a processor some 10 ms, and an interpreter minutes. */
const ROUNDS_LOG2 = 25
const DEADLINE_MS = 2000
/** isa-debug-exit ends QEMU with (value << 1) | 1. */
const EXIT_VALUE = 0x15
const EXIT_CODE = (EXIT_VALUE << 1) | 1

/**
 * The accelerator to use.
 * @param stateDir where the answer is kept
 */
export async function probeKvm(stateDir: string, signal?: AbortSignal): Promise<'kvm' | 'tcg'> {
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK)
  } catch {
    return 'tcg'
  }
  const on = `${release()} ${spawnSync(QEMU, ['--version'], { encoding: 'utf8' }).stdout?.split('\n', 1)[0] ?? ''}`
  const kept = keptAnswer(stateDir, on)
  if (kept !== undefined) return kept
  const accel = (await countsInTime('kvm', signal)) ? 'kvm' : 'tcg'
  writeFileSync(kvmAnswerPath(stateDir), `${JSON.stringify({ on, accel })}\n`, { mode: 0o600 })
  return accel
}

/**
 * A firmware image of 64 KiB that counts down from 2^ROUNDS_LOG2 in real mode and then ends QEMU.
 * The processor starts at its last 16 bytes (Intel SDM volume 3A §10.1.4).
 */
export function countingFirmware(): Uint8Array {
  const image = new Uint8Array(64 * 1024)
  const code = [
    ...[0x66, 0xb9, 0, 0, 0, 1 << (ROUNDS_LOG2 - 24)], // mov ecx, 2^ROUNDS_LOG2
    ...[0x66, 0x49], //                                   dec ecx
    ...[0x75, 0xfc], //                                   jnz back to dec
    ...[0xba, 0xf4, 0x00], //                             mov dx, 0xf4
    ...[0xb0, EXIT_VALUE], //                             mov al, EXIT_VALUE
    0xee, //                                              out dx, al
    0xf4, //                                              hlt
  ]
  image.set(code, 0xff00)
  image.set([0xe9, 0x0d, 0xff], 0xfff0) // jmp 0xff00, which is 0xf3 before the next instruction at 0xfff3
  return image
}

/** Runs the counting guest; true when it ended by itself within the deadline. */
export async function countsInTime(
  accel: 'kvm' | 'tcg',
  signal?: AbortSignal,
  deadlineMs = DEADLINE_MS,
): Promise<boolean> {
  const dir = mkdtempSync(join(tmpdir(), 'bareboat-kvm-'))
  try {
    const bios = join(dir, 'count.bin')
    writeFileSync(bios, countingFirmware())
    const args = ['-accel', accel, '-machine', 'pc', '-m', '16', '-nodefaults', '-no-user-config', '-display', 'none']
    const child = spawn(QEMU, [...args, '-device', 'isa-debug-exit,iobase=0xf4,iosize=0x01', '-bios', bios], {
      stdio: 'ignore',
      timeout: deadlineMs,
      killSignal: 'SIGKILL',
      ...(signal === undefined ? {} : { signal }),
    })
    return await new Promise((resolve) => {
      child.once('error', () => resolve(false))
      child.once('close', (code) => resolve(code === EXIT_CODE))
    })
  } finally {
    rmSync(dir, { recursive: true })
  }
}

function keptAnswer(stateDir: string, on: string): 'kvm' | 'tcg' | undefined {
  try {
    const kept: unknown = JSON.parse(readFileSync(kvmAnswerPath(stateDir), 'utf8'))
    if (typeof kept !== 'object' || kept === null || !('on' in kept) || !('accel' in kept) || kept.on !== on)
      return undefined
    return kept.accel === 'kvm' ? 'kvm' : kept.accel === 'tcg' ? 'tcg' : undefined
  } catch {
    return undefined
  }
}
