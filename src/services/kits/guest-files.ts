/** The scripts of `guest/` as they go into the initrd: read from the product's own folder, executable, sorted. */
import { readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { CpioEntry } from '../../formats/cpio/archive.ts'

export type GuestFile = Extract<CpioEntry, { kind: 'file' }>

export const GUEST_DIRECTORY = fileURLToPath(new URL('../../../guest', import.meta.url))

/** `guest/init` becomes /init, `guest/lib/x` /lib/bareboat/x, `guest/agent/x` /agent/x. */
export async function guestEntries(directory: string = GUEST_DIRECTORY): Promise<GuestFile[]> {
  const entries: GuestFile[] = [await entryOf(join(directory, 'init'), 'init')]
  for (const [folder, target] of [
    ['lib', 'lib/bareboat'],
    ['agent', 'agent'],
    ['tools', 'tools'],
  ] as const)
    for (const name of (await readdir(join(directory, folder))).toSorted())
      entries.push(await entryOf(join(directory, folder, name), `${target}/${name}`))
  return entries
}

async function entryOf(file: string, path: string): Promise<GuestFile> {
  return { path, kind: 'file', mode: 0o755, bytes: await readFile(file) }
}
