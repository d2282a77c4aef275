/** The scripts of `guest/` as they go into the initrd: read from the product's own folder, executable, sorted. */
import { readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { GuestFile } from '../../services/kits/ports.ts'

const GUEST_DIRECTORY = fileURLToPath(new URL('../../../guest', import.meta.url))
const TARGETS = [
  ['lib', 'lib/bareboat'],
  ['agent', 'agent'],
  ['tools', 'tools'],
] as const

/** `guest/init` becomes /init, `guest/lib/x` /lib/bareboat/x, `guest/agent/x` /agent/x, `guest/tools/x` /tools/x. */
export async function readGuestFiles(): Promise<GuestFile[]> {
  const entries = [await entryOf(join(GUEST_DIRECTORY, 'init'), 'init')]
  for (const [folder, target] of TARGETS)
    for (const name of (await readdir(join(GUEST_DIRECTORY, folder))).toSorted())
      entries.push(await entryOf(join(GUEST_DIRECTORY, folder, name), `${target}/${name}`))
  return entries
}

async function entryOf(file: string, path: string): Promise<GuestFile> {
  return { kind: 'file', path, mode: 0o755, bytes: await readFile(file) }
}
