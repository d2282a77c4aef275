/**
 * A daemon's NFS side as a process of its own, for tests in a network namespace: `node nfs-host.ts '{"directory":"/tmp/x",…}'`.
 * Each line of its input is a JSON list, `[operation, argument…]`; each is answered by one line, `{"value":…}` or `{"error":…}`. The
 * first line says `ready`. SIGTERM ends it in order.
 */
import { spawnSync } from 'node:child_process'
import { createInterface } from 'node:readline'
import { join } from 'node:path'
import { explain } from '../../src/base/errors.ts'
import { quietLog } from '../../src/base/log.ts'
import { createGanesha } from '../../src/drivers/nfs/ganesha.ts'
import { openRootDirectories } from '../../src/drivers/nfs/root-directories.ts'
import type { Tree } from '../../src/formats/tree/tree.ts'
import { openNfsRoots } from '../../src/services/nfs/roots.ts'

export interface NfsHostConfig {
  /** Where roots and the server's own files are kept. */
  readonly directory: string
  /** What every root is a copy of. */
  readonly sample: string
  readonly address: string
  readonly port: number
}

if (import.meta.main) {
  const { directory, sample, address, port } = JSON.parse(process.argv[2]!) as NfsHostConfig
  await using server = createGanesha({ log: quietLog, directory: join(directory, 'server'), address, port })
  const store = await openRootDirectories({
    log: quietLog,
    directory,
    async unpack(_tree, to) {
      const { status, stderr } = spawnSync('cp', ['-a', sample, to], { encoding: 'utf8' })
      if (status !== 0) throw new Error(stderr)
    },
  })
  const roots = await openNfsRoots({ log: quietLog, store, server, host: address, port })
  const stop = new AbortController()
  const { signal } = stop
  const task = server.task.run(signal, () => {})
  const none = {} as Tree
  const OPERATIONS: Record<string, (...args: string[]) => Promise<unknown>> = {
    /** The states of all containers that there are, as `ID=live` or `ID=over`. */
    resume: (...states) =>
      roots.resume(
        async (id) => (states.find((state) => state.startsWith(id))?.split('=')[1] as 'live' | undefined) ?? 'gone',
      ),
    prepare: (id, reset) => roots.prepare(id!, none, { resetAccessTimes: reset === 'reset', signal }),
    open: (id, machine) => roots.open(id!, machine!),
    shut: (id) => roots.shut(id!),
    remove: (id) => roots.remove(id!),
    accessed: async (id) => Buffer.from(await roots.accessed(id!, signal)).toString('latin1'),
    problems: async () => server.problems(),
  }
  const say = (line: unknown): void => void process.stdout.write(`${JSON.stringify(line)}\n`)
  const lines = createInterface(process.stdin)
  process.once('SIGTERM', () => lines.close())
  say({ value: 'ready' })
  for await (const line of lines) {
    const [operation, ...args] = JSON.parse(line) as string[]
    try {
      say({ value: (await OPERATIONS[operation!]!(...args)) ?? null })
    } catch (error) {
      say({ error: explain(error) })
    }
  }
  stop.abort()
  await task
}
