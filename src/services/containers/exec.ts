/** Commands and files beside a running workload: `exec`, `attach`, `cp`, `top`. */
import { AppError } from '../../base/errors.ts'
import { byteStringOf } from '../../formats/tar/byte-string.ts'
import { fileExtents } from '../../formats/tree/tree.ts'
import type { BlobStore } from '../images/ports.ts'
import { hostnameOf } from '../boot/spec.ts'
import type { Agent, Tty } from './agent.ts'
import type { ContainersService } from './containers.ts'
import type { GuestProcess } from './ports.ts'
import { resolveUser } from './user.ts'

export interface ExecRequest {
  readonly argv: readonly string[]
  readonly env: readonly string[]
  readonly workdir?: string
  readonly user?: string
  readonly tty?: Tty
}

export interface ExecDeps {
  readonly containers: ContainersService
  readonly agent: Agent
  readonly blobs: Pick<BlobStore, 'readExtents'>
}

export interface StatOfPath {
  readonly name: string
  readonly type: 'file' | 'directory' | 'symlink' | 'other'
  readonly mode: number
  readonly sizeBytes: number
  readonly target?: string
}

export type ExecService = ReturnType<typeof createExec>

export function createExec({ containers, agent, blobs }: ExecDeps) {
  return {
    /** Runs a command in the root of a running workload. Its exit status follows docker: 126, 127, 128+n. */
    async exec(reference: string, request: ExecRequest): Promise<GuestProcess> {
      const { container, live, prepared } = await containers.findLive(reference, 'exec in')
      const { workload, tree } = prepared
      const user =
        request.user === undefined
          ? workload
          : await resolveUser(request.user, async (path) => {
              const entry = tree.resolve(byteStringOf(path))
              if (entry?.kind !== 'file') return undefined
              const parts: Uint8Array[] = []
              for await (const part of blobs.readExtents(fileExtents(entry), 0, entry.size)) parts.push(part)
              return Buffer.concat(parts).toString('latin1')
            })
      const env = new Map<string, string>([['HOSTNAME', hostnameOf(container)]])
      const home = request.user === undefined ? [] : [`HOME=${user.home}`]
      const term = request.tty ? ['TERM=xterm'] : []
      for (const pair of [...workload.env, ...home, ...term, ...request.env]) {
        const at = pair.indexOf('=')
        if (at > 0) env.set(pair.slice(0, at), pair.slice(at + 1))
      }
      const words = [
        'enter',
        String(user.uid),
        String(user.gid),
        user.groups.join(','),
        request.workdir ?? workload.workdir,
        ...[...env].map(([key, value]) => `${key}=${value}`),
        '--',
        ...request.argv,
      ]
      return agent.run(live, words, request.tty)
    },

    /** A way into the workload's own standard input. @throws {AppError} conflict when it was started without one */
    async feed(
      reference: string,
    ): Promise<{ write(bytes: Uint8Array): Promise<void>; end(): Promise<void>; close(): Promise<void> }> {
      const { container, live } = await containers.findLive(reference, 'write to')
      if (!container.options.stdin)
        throw new AppError('conflict', `Cannot write to container "${container.name}": it was started without -i`)
      const process = await agent.run(live, ['feed'])
      return {
        write: (bytes) => process.write(bytes),
        async end() {
          process.endInput()
          await process.exit
          await agent.command(live, ['feed', '--eof'])
        },
        close: async () => {
          process.endInput()
          await process.exit
        },
      }
    },

    async resize(reference: string, rows: number, columns: number): Promise<void> {
      const { live } = await containers.findLive(reference, 'resize')
      await agent.command(live, ['resize', String(rows), String(columns)])
    },

    async signal(reference: string, signal: string): Promise<void> {
      const { live } = await containers.findLive(reference, 'signal')
      await agent.command(live, ['signal', signal])
    },

    /** A tar of a path of the running workload, its last name first in each entry. */
    async tarOut(reference: string, path: string): Promise<GuestProcess> {
      const { live } = await containers.findLive(reference, 'copy from')
      return agent.run(live, ['tar-out', path])
    },

    /** Unpacks a tar into a directory of the running workload. */
    async tarIn(reference: string, directory: string): Promise<GuestProcess> {
      const { live } = await containers.findLive(reference, 'copy to')
      return agent.run(live, ['tar-in', directory])
    },

    /** @throws {AppError} not_found when there is no such path */
    async stat(reference: string, path: string): Promise<StatOfPath> {
      const { container, live } = await containers.findLive(reference, 'look into')
      await using process = await agent.run(live, ['stat-path', path])
      process.endInput()
      const parts: Uint8Array[] = []
      for await (const part of process.stdout) parts.push(part)
      if ((await process.exit) !== 0)
        throw new AppError(
          'not_found',
          `Cannot find "${path}" in container "${container.name}": no such file or directory`,
        )
      return parseStat(path, Buffer.concat(parts).toString('utf8'))
    },

    /** Titles, and a row for each process of the workload. */
    async top(reference: string): Promise<{ titles: string[]; processes: string[][] }> {
      const { live } = await containers.findLive(reference, 'list the processes of')
      const [header = '', ...rows] = (await agent.command(live, ['top'])).trimEnd().split('\n')
      return { titles: header.split('\t'), processes: rows.map((row) => row.split('\t')) }
    },
  }
}

/** Type bits of a mode (inode(7)). */
const TYPES: Readonly<Record<number, StatOfPath['type']>> = { 0o10: 'file', 0o04: 'directory', 0o12: 'symlink' }

/** `HEX-MODE SIZE UID GID MTIME TARGET`, as the agent prints it; the target in base64 or `-`. */
function parseStat(path: string, line: string): StatOfPath {
  const match = /^([0-9a-f]{1,8}) (\d+) \d+ \d+ -?\d+ (\S+)\s*$/.exec(line)
  if (!match) throw new AppError('bad_peer', `Cannot read what the machine says of "${path}"`)
  const mode = Number.parseInt(match[1]!, 16)
  const target = match[3] === '-' ? undefined : Buffer.from(match[3]!, 'base64').toString('utf8')
  return {
    name:
      path
        .split('/')
        .filter((part) => part !== '')
        .at(-1) ?? '/',
    type: TYPES[mode >> 12] ?? 'other',
    mode: mode & 0o7777,
    sizeBytes: Number(match[2]),
    ...(target === undefined ? {} : { target }),
  }
}
