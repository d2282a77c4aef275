/** The image of the demo: a root file system with Debian's static busybox, so that the demo needs no registry. */
import { spawn } from 'node:child_process'
import { chmod, copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Client } from '../../client/client.ts'

export const DEMO_IMAGE = 'localhost/demo/busybox:latest'
const APPLETS = 'sh cat echo ls ps uname hostname free df id date sleep env grep head tail wc vi top ip'.split(' ')

/** Makes the image and imports it. */
export async function importDemoImage(client: Client, signal: AbortSignal): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'bareboat-demo-'))
  try {
    await chmod(dir, 0o755)
    await mkdir(join(dir, 'bin'))
    await mkdir(join(dir, 'etc'))
    await mkdir(join(dir, 'tmp'))
    await chmod(join(dir, 'tmp'), 0o1777)
    await copyFile('/bin/busybox', join(dir, 'bin/busybox'))
    await chmod(join(dir, 'bin/busybox'), 0o755)
    await writeFile(join(dir, 'etc/passwd'), 'root:x:0:0:root:/:/bin/sh\n')
    await writeFile(join(dir, 'etc/group'), 'root:x:0:\n')
    const links = APPLETS.map((applet) => `ln -s busybox bin/${applet}`).join('; ')
    const tar = spawn(
      'sh',
      ['-c', `cd "$1" && { ${links}; } && tar -c --sort=name --mtime=@0 --owner=0 --group=0 .`, 'sh', dir],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    )
    await client.images.import({ body: tar.stdout }, DEMO_IMAGE, () => {}, { signal })
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}
